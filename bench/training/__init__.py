"""Training a network with a learning rule, up to checkpoints."""

"""The study inductive_biases."""

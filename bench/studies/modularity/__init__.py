"""The study modularity."""

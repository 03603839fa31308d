"""The study pilot."""

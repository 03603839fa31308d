"""The study time."""

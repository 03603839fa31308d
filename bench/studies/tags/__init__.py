"""The study tags."""

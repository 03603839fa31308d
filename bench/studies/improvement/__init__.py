"""The study improvement."""

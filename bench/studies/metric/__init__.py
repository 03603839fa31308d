"""The study metric."""

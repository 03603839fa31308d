"""The study certificates."""

"""The study identification."""

"""The study modes."""

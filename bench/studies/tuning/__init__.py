"""The study tuning."""

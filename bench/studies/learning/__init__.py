"""The study learning."""

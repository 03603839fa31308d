"""The study benchmark."""

"""The study three_components."""

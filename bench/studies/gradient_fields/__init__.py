"""The study gradient_fields."""

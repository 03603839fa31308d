"""The study identify_rule."""

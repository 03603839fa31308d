"""The study representation_change."""

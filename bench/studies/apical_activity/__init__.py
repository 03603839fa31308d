"""The study apical_activity."""

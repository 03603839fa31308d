"""The study scaling."""

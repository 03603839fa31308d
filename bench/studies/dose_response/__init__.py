"""The study dose_response."""

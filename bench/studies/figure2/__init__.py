"""The study figure2."""

"""The study brain_set."""

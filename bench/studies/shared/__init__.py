"""Tasks that more than one study makes."""

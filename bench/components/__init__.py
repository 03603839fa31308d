"""Components by name: what is known, what it is called, and what runs with what."""

"""What neurons compute and where they look, found from their responses (Klindt et al. 2017)."""

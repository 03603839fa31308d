"""What is measured of a rule at fixed weights: bias, variance, progress, with intervals."""

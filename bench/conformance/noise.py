"""Tests of mean and variance of draws against what they are said to be."""

import numpy as np

Array = np.ndarray

DRAWS = 8192
"""Draws of the estimator; the standard error of a variance is then about 2 to 4 %."""
THRESHOLD = 4.5
"""Of each z-test: one false alarm in 300 000, in 150 000 for two-sided ones."""


def mean_z(rows: Array, mean: Array) -> float:
    """Test the mean of draws ``(K, P)``: half of them choose a direction, the others tell.

    z is standard normal if the mean is the one given, else shifted to positive values.
    """
    half = len(rows) // 2
    deviations = rows - mean
    along = deviations[half:] @ deviations[:half].mean(axis=0)
    error = float(along.std(ddof=1)) / half**0.5
    if error <= 1e-14 * float(mean @ mean):
        # No noise: the difference is rounding, or it is one.
        far = np.linalg.norm(deviations.mean(axis=0)) > 1e-12 * np.linalg.norm(mean)
        return float("inf") if far else 0.0
    return float(along.mean()) / error


def variance_z(rows: Array, variance: float) -> tuple[float, float]:
    """Test the summed variance of draws ``(K, P)`` against the one given: z, and their ratio."""
    squares = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1) * len(rows) / (len(rows) - 1)
    found, error = float(squares.mean()), float(squares.std(ddof=1)) / len(rows) ** 0.5
    if variance == 0:
        return (0.0, 1.0) if found <= 1e-24 * float((rows**2).sum()) else (np.inf, np.inf)
    return (found - variance) / error if error > 0 else np.inf, found / variance

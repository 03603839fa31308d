"""Bringing what is read to zero mean and unit variance."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def standard(values: Array) -> tuple[Array, Array]:
    """What to take off values ``(B, ...)`` and what to divide them by, over their first axis.

    A constant is divided by 1: its standard deviation is the rounding error of its mean, by which
    it would become noise, and what differs from it elsewhere a huge number.

    Returns
    -------
    mean, deviation : ndarray, shape (...)
    """
    constant = values.min(axis=0) == values.max(axis=0)
    mean = np.where(constant, values[0], values.mean(axis=0))
    return mean, np.where(constant, 1.0, values.std(axis=0))

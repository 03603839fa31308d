"""Exponents of power laws, fitted on doubly logarithmic axes, with seeds as replicates."""

from dataclasses import dataclass

import numpy as np

from plausibench.bench.measuring.statistics import student_quantile
from plausibench.kernels.errors import InputError

Array = np.ndarray

ROUNDING = 1e-12
"""Range of a logarithm up to which its values differ by rounding."""
LEAST = 1e-6
"""Smallest squared relative error of a point, in units of the largest."""


@dataclass(frozen=True)
class Law:
    """A line to be fitted, with the exponent that theory gives, or None.

    ``against`` names the column of x, ``shift`` is added to it: gaussian noise adds 1 to the
    number of weights or nodes. ``between`` bounds the x that are fitted.
    """

    axis: str
    rule: str
    quantity: str
    against: str
    theory: float | None
    held: str
    estimator: str = "antithetic"
    shift: int = 0
    between: tuple[float, float] = (0.0, float("inf"))


@dataclass(frozen=True)
class Exponent:
    """Exponent of ``y = factor x^value`` with its 95 % interval; NaN ends with one replicate."""

    value: float
    low: float
    high: float
    factor: float


def exponent(x: Array, y: Array, errors: Array | None = None, level: float = 0.95) -> Exponent:
    """Fit ``log y`` against ``log x`` by weighted least squares.

    Every replicate is fitted with the same weights, the inverse of the mean squared relative
    error at each x; the interval is Student's t over the replicates' slopes. It therefore covers
    whatever makes replicates differ, correlation along x within a replicate included, and the
    weights only make it shorter. What varies by rounding is constant and has the exponent 0, and
    no point weighs a million times as much as another: an error of rounding says nothing.

    Parameters
    ----------
    x
        Positive, at least two different values, ``(N,)``.
    y
        Positive, a row for each replicate, ``(R, N)``.
    errors
        Standard errors of ``y``, ``(R, N)``, 0 where they are exact; by default, all points weigh
        the same.
    level
        Coverage of the interval.

    Returns
    -------
    Exponent

    Raises
    ------
    InputError
        If shapes do not fit, fewer than two values of x differ, or a value is not positive.
    """
    x, y = np.asarray(x, dtype=np.float64), np.atleast_2d(np.asarray(y, dtype=np.float64))
    if x.ndim != 1 or y.shape[1:] != x.shape or np.unique(x).size < 2:
        raise InputError(
            f"x: shape {x.shape} does not fit y of shape {y.shape}; allowed are (N,) and (R, N) "
            "with at least two different x"
        )
    if not (x > 0).all() or not (y > 0).all():
        raise InputError("y: a logarithm needs positive values of x and y")
    weight = np.ones(x.size)
    if errors is not None and np.isfinite(errors).all() and np.any(np.asarray(errors) > 0):
        relative = ((np.asarray(errors) / y) ** 2).mean(axis=0)
        weight = 1 / np.maximum(relative, LEAST * relative.max())
    weight /= weight.sum()
    along, logs = np.log(x), np.log(y)
    constant = np.ptp(logs, axis=1) < ROUNDING
    logs[constant] = logs[constant].mean(axis=1, keepdims=True)
    centred = weight * (along - weight @ along)
    # Less the first value, so that a constant has a slope of exactly 0.
    slopes = (logs - logs[:, :1]) @ centred / (centred @ along)
    value, half, count = float(slopes.mean()), float("nan"), len(slopes)
    if count > 1:
        half = student_quantile(level, count - 1) * float(slopes.std(ddof=1)) / np.sqrt(count)
    factor = float(np.exp((logs.mean(axis=0) - value * along) @ weight))
    return Exponent(value, value - half, value + half, factor)

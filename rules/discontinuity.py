"""The jump of a regression at a threshold, as weights of the trials."""

import numpy as np

from plausibench.kernels.errors import choose, positive

Array = np.ndarray

REGRESSIONS = ("local_constant", "local_linear")
FEWEST = 6
"""Trials on a side that a line needs, or a mean is taken.

A line through n trials whose drives lie within s of one another misses by 1 / s, and they do with
probability s^(n - 1). Squared draws then have a tail of index (n - 1) / 2: their mean, the variance
of the estimator, needs n > 3, and an interval for it, which rests on the variance of squared draws,
n > 5.
"""


def check(window: float, regression: str) -> None:
    """Refuse options that do not fit."""
    positive("window", window)
    choose("regression", regression, REGRESSIONS)


def jump_weights(x: Array, window: float, regression: str) -> tuple[Array, Array]:
    """Weights whose sum with ``y`` over trials is the fitted jump of ``y`` at ``x = 0``.

    Parameters
    ----------
    x
        Distances from the threshold ``(S, T, ...)`` in T trials.
    window
        Largest distance that counts.
    regression
        local_linear: a line on each side, where there are enough trials; local_constant: a
        mean on each side.

    Returns
    -------
    tuple
        Weights ``(S, T, ...)``, and whether trials were on both sides ``(S, ...)``; where they
        were not, the weights are 0.
    """
    near = np.abs(x) < window
    above, enough = _limit_weights(x, near & (x >= 0), regression)
    below, also = _limit_weights(x, near & (x < 0), regression)
    fitted = enough & also
    return (above - below) * fitted[:, None], fitted


def _limit_weights(x: Array, chosen: Array, regression: str) -> tuple[Array, Array]:
    """Weights of the fitted value at ``x = 0``, and whether anything was there to fit."""
    count = chosen.sum(axis=1, keepdims=True)
    weights = chosen / np.maximum(count, 1)
    if regression == "local_linear":
        middle = (weights * x).sum(axis=1, keepdims=True)
        apart = chosen * (x - middle)
        square = (apart**2).sum(axis=1, keepdims=True)
        line = (count >= FEWEST) & (square > 0)
        weights -= apart * np.divide(middle, square, out=np.zeros_like(square), where=line)
    return weights, count[:, 0] > 0

"""Bias, variance and progress of an estimator from streaming sums.

Everything is computed from the deviations d = estimate - g of the samples from the reference
gradient g: their number n, sum S, squared length Q = sum |d|^2 and A2 = sum (d . g)^2, each kept
for 20 groups of samples. The sums add up, so shards merge by addition, and the delete-a-group
jackknife needs only the inner products between the groups' sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Array = np.ndarray

GROUPS = 20
RELATIVE = (
    "bias_squared",
    "variance",
    "direction_bias",
    "magnitude_bias",
    "scale_free_bias",
    "gain",
    "progress",
)
QUANTITIES = (*RELATIVE, "absolute_bias_squared", "absolute_variance")
LEAST_DIMENSION = 10.0
LEAST_SAMPLES = 1000


@dataclass(frozen=True)
class GroupSums:
    """Sums over the samples of each of G groups, for one slice of the gradient.

    Attributes
    ----------
    count
        Samples n, ``(G,)``.
    gram
        Inner products ``S_i . S_j`` of the groups' sums of deviations, ``(G, G)``.
    cross
        ``S_i . g``, ``(G,)``.
    squares
        ``sum |d|^2``, ``(G,)``.
    cross_squares
        ``sum (d . g)^2``, ``(G,)``.
    reference
        ``|g|^2``.
    """

    count: Array
    gram: Array
    cross: Array
    squares: Array
    cross_squares: Array
    reference: float


def whole(parts: Mapping[str, GroupSums], cross_squares: Array) -> GroupSums:
    """Sums for the whole net; ``(d . g)^2`` is not additive over slices and is given."""
    listed = list(parts.values())
    return GroupSums(
        count=listed[0].count,
        gram=np.sum([p.gram for p in listed], axis=0),
        cross=np.sum([p.cross for p in listed], axis=0),
        squares=np.sum([p.squares for p in listed], axis=0),
        cross_squares=cross_squares,
        reference=float(sum(p.reference for p in listed)),
    )


def quantities(sums: GroupSums) -> dict[str, Array]:
    """Every quantity from all groups, and with each group left out, ``(1 + G,)``.

    The estimators are those of a U-statistic: mean squared distance minus V/K. They may be
    negative and are never clipped; where the squared length of the mean comes out negative,
    what needs its root is NaN.

    Returns
    -------
    dict
        The quantities of ``QUANTITIES``; element 0 uses all groups.
    """
    count = _leave_out(sums.count)
    length = _leave_out_gram(sums.gram)
    squares = _leave_out(sums.squares)
    cross = _leave_out(sums.cross)
    cross_squares = _leave_out(sums.cross_squares)
    g2 = sums.reference
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squares - length / count) / (count - 1)
        bias = (length - squares) / (count * (count - 1))
        along = g2 + cross / count
        mean2 = length / count**2 + 2 * cross / count + g2 - variance / count
        along_variance = (cross_squares - cross**2 / count) / (count - 1)
        along2 = along**2 - along_variance / count
        return _relative(bias, variance, along, along2, mean2, g2)


def exact_quantities(mean: Array, variance: float, reference: Array) -> dict[str, Array]:
    """Every quantity from the exact mean and total variance of a slice, ``(1,)`` each."""
    deviation = mean - reference
    g2 = float(reference @ reference)
    along = np.array([float(mean @ reference)])
    bias = np.array([float(deviation @ deviation)])
    mean2 = np.array([float(mean @ mean)])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _relative(bias, np.array([variance]), along, along**2, mean2, g2)
    if mean2[0] == 0 and g2 > 0:
        # No scalar makes an estimate of nothing better.
        found["scale_free_bias"] = np.ones(1)
    return found


def _relative(
    bias: Array, variance: Array, along: Array, along2: Array, mean2: Array, g2: float
) -> dict[str, Array]:
    scale = np.float64(g2)
    length = np.sqrt(np.where(mean2 > 0, mean2, np.nan))
    return {
        "bias_squared": bias / scale,
        "variance": variance / scale,
        "direction_bias": 1 - along / (np.sqrt(scale) * length),
        "magnitude_bias": length / np.sqrt(scale) - 1,
        "scale_free_bias": 1 - along2 / (scale * length**2),
        "gain": along / scale,
        "progress": along2 / (scale * np.where(mean2 + variance > 0, mean2 + variance, np.nan)),
        "absolute_bias_squared": bias,
        "absolute_variance": variance,
    }


def combine_scale_free(parts: Mapping[str, tuple[Array, float]]) -> Array:
    """Bias left over with the best scalar for every slice, weighted by ``|g|^2`` of the slice."""
    total = sum(g2 for _, g2 in parts.values())
    weighted = [values * g2 for values, g2 in parts.values() if g2 > 0]
    return np.sum(weighted, axis=0) / np.float64(total)


def interval(values: Array, level: float = 0.95) -> tuple[float, float, float]:
    """Value and jackknife interval from the values with all and with each group left out.

    Returns
    -------
    value, low, high
        ``low`` and ``high`` are NaN with fewer than two groups.
    """
    value, left_out = float(values[0]), values[1:]
    groups = left_out.size
    if groups < 2:
        return value, float("nan"), float("nan")
    with np.errstate(invalid="ignore", over="ignore"):
        spread = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
    half = student_quantile(level, groups - 1) * float(spread)
    return value, value - half, value + half


def mean_interval(values: Array, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values ``(N,)`` and its interval by Student's t.

    Returns
    -------
    mean, low, high
        ``low`` and ``high`` are NaN for a single value, and all are for none.
    """
    if values.size < 2:
        mean = float(values[0]) if values.size else float("nan")
        return mean, float("nan"), float("nan")
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) / np.sqrt(values.size)
    half = student_quantile(level, values.size - 1) * spread
    return mean, mean - half, mean + half


@lru_cache(maxsize=64)
def student_quantile(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def effective_dimension(sums: GroupSums) -> float:
    """d_eff = (tr Sigma)^2 / tr(Sigma^2): how many directions the noise fills.

    tr(Sigma^2) is the unbiased statistic of Chen, Zhang & Zhong 2010 over the groups' means,
    each divided by its number of samples; NaN with fewer than four groups, or without noise.
    """
    groups = sums.count.size
    if groups < 4:
        return float("nan")
    # Scaled so that every group mean has the covariance Sigma.
    scale = 1 / np.sqrt(sums.count)
    mean = sums.gram.sum() / sums.count.sum() ** 2
    to_mean = sums.gram.sum(axis=1) / sums.count.sum()
    centred = (
        sums.gram
        - np.outer(sums.count, to_mean)
        - np.outer(to_mean, sums.count)
        + np.outer(sums.count, sums.count) * mean
    )
    x = scale[:, None] * centred * scale[None, :]
    off = x - np.diag(np.diag(x))
    s2 = (off**2).sum()
    rows = off.sum(axis=1)
    s3 = (rows**2).sum() - s2
    s4 = off.sum() ** 2 - 4 * s3 - 2 * s2
    g = groups
    trace2 = s2 / (g * (g - 1)) - 2 * s3 / (g * (g - 1) * (g - 2))
    trace2 += s4 / (g * (g - 1) * (g - 2) * (g - 3))
    count = sums.count.sum()
    variance = (sums.squares.sum() - sums.gram.sum() / count) / (count - 1)
    if not trace2 > 0 or not variance > 0:
        return float("nan")
    return float(variance**2 / trace2)


def _leave_out(values: Array) -> Array:
    total = values.sum()
    if values.size < 2:
        return np.array([total], dtype=np.float64)
    return np.concatenate([[total], total - values]).astype(np.float64)


def _leave_out_gram(gram: Array) -> Array:
    total = gram.sum()
    if len(gram) < 2:
        return np.array([total])
    return np.concatenate([[total], total - 2 * gram.sum(axis=1) + np.diag(gram)])

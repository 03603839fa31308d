"""Bias, variance and progress of an estimator from streaming sums.

Everything is computed from the deviations d = estimate - g of the samples from the reference
gradient g: their number n, sum S, squared length Q = sum |d|^2 and A2 = sum (d . g)^2, each kept
for 20 groups of samples. The sums add up, so shards merge by addition, and the delete-a-group
jackknife needs only the inner products between the groups' sums.

Where a rule has a companion c, from the same draws and with a known mean m, the deviations are
those of estimate - c + m: their mean is the same, and noise that both have is gone from it. The
variance of the estimate is that of c plus ``V(estimate - c) + 2 Cov(estimate - c, c)``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from plausibench.bench.measuring.deviations import products

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
LEAST_PAIRED = 320
"""Draws from which intervals cover where a companion is subtracted: 16 in each group."""

SAMPLED = ("sampled", "companion")
"""Methods whose values come from draws, and have intervals."""

NO_GRADIENT = "no gradient"
"""Flag of what is relative to a gradient that is 0."""
NOT_FINITE = "not finite"
"""Flag of what comes of numbers that are not."""
UNDEFINED = "undefined"
"""Flag of an exact value that does not exist, such as the direction of nothing."""


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
    exponent
        The unit of length is ``2**exponent``: squares of numbers far from 1 would not be numbers.
    shared
        Where a companion c with the mean m was subtracted from the samples, and m added:
        ``sum 2 (sample - c) . (c - m)``, and what an odd part adds, ``(G,)``; None without one.
    companion
        Variance of the companion, ``(1,)`` where it is known, or ``(1 + G,)``: from all groups, and
        with each left out; None without one.
    """

    count: Array
    gram: Array
    cross: Array
    squares: Array
    cross_squares: Array
    reference: float
    exponent: int = 0
    shared: Array | None = None
    companion: Array | None = None


def whole(parts: Mapping[str, GroupSums], cross_squares: Array, exponent: int = 0) -> GroupSums:
    """Sums for the whole net; ``(d . g)^2`` is not additive over slices and is given.

    It is in the unit ``2**exponent``, which the sums of the slices are brought to.
    """
    listed = list(parts.values())
    shifts = [2 * (part.exponent - exponent) for part in listed]

    def added(name: str) -> Array:
        pairs = zip(listed, shifts, strict=True)
        return np.sum([np.ldexp(getattr(part, name), shift) for part, shift in pairs], axis=0)

    paired = listed[0].shared is not None
    return GroupSums(
        count=listed[0].count,
        gram=added("gram"),
        cross=added("cross"),
        squares=added("squares"),
        cross_squares=cross_squares,
        reference=float(
            sum(np.ldexp(part.reference, shift) for part, shift in zip(listed, shifts, strict=True))
        ),
        exponent=exponent,
        shared=added("shared") if paired else None,
        companion=added("companion") if paired else None,
    )


class Shift(NamedTuple):
    """A vector that is taken from every sample: ``S_i`` of each group, g, and itself along it."""

    along: Array
    cross: float
    length: float


def whole_shift(shifts: Iterable[Shift], exponents: Iterable[int]) -> Shift:
    """The shift of the whole net from those of its slices, each times 2 to an exponent."""
    scaled = [
        [np.ldexp(value, power) for value in shift]
        for shift, power in zip(shifts, exponents, strict=True)
    ]
    along, cross, length = (np.sum(values, axis=0) for values in zip(*scaled, strict=True))
    return Shift(along, float(cross), float(length))


def moved(sums: GroupSums, shift: Shift) -> GroupSums:
    """The sums with a vector taken from every sample."""
    n = sums.count
    across = np.outer(shift.along, n)
    return replace(
        sums,
        gram=sums.gram - across - across.T + np.outer(n, n) * shift.length,
        cross=sums.cross - n * shift.cross,
        squares=sums.squares - 2 * shift.along + n * shift.length,
        cross_squares=sums.cross_squares - 2 * shift.cross * sums.cross + n * shift.cross**2,
    )


def unit(largest: float, most: int = 200) -> int:
    """Exponent of a unit in which a number is near 1; 0 if the number is between 2**-/+ ``most``.

    Its squares, and theirs, are then neither 0 nor infinite. Changing to a unit that is a power
    of 2 leaves every bit of a number as it is.
    """
    power = int(np.frexp(largest)[1])
    return power if np.isfinite(largest) and abs(power) > most else 0


def quantities(sums: GroupSums) -> dict[str, Array]:
    """Every quantity from all groups, and with each group left out, ``(1 + G,)``.

    The estimators are those of a U-statistic: mean squared distance minus V/K. They may be
    negative and are never clipped; where the squared length of the mean comes out negative,
    what needs its root is NaN. Without a gradient, what is relative to it is NaN.

    Returns
    -------
    dict
        The quantities of ``QUANTITIES``, and relative to ``|g|^2`` also ``squared_length``,
        ``second_moment`` and ``spread``, that is, ``|mu|^2``, ``E|estimate|^2`` and the variance of
        what is averaged, less than that of the estimate where there is a companion; element 0 uses
        all groups.
    """
    count = _leave_out(sums.count)
    freedom = np.where(count > 1, count - 1, np.nan)  # a single draw has no variance
    length = _leave_out_gram(sums.gram)
    squares = _leave_out(sums.squares)
    cross = _leave_out(sums.cross)
    cross_squares = _leave_out(sums.cross_squares)
    g2 = sums.reference
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spread = (squares - length / count) / freedom
        variance = spread
        if sums.shared is not None:
            # Of the companion, and what the samples have besides.
            variance = spread + _leave_out(sums.shared) / count + sums.companion
        bias = (length - squares) / (count * freedom)
        along = g2 + cross / count
        mean2 = length / count**2 + 2 * cross / count + g2 - spread / count
        along_variance = (cross_squares - cross**2 / count) / freedom
        along2 = along**2 - along_variance / count
        found = _relative(bias, variance, along, along2, mean2, g2, sums.exponent)
        return {**found, "spread": spread / np.float64(g2 if g2 > 0 else np.nan)}


class Products(NamedTuple):
    """Inner products of an exact mean mu and the reference g, of a slice or of several.

    Attributes
    ----------
    apart, along, mean, reference
        ``|mu - g|^2``, ``mu . g``, ``|mu|^2`` and ``|g|^2``.
    """

    apart: float
    along: float
    mean: float
    reference: float


def products_of(mean: Array, reference: Array, power: int = 0) -> Products:
    """Inner products of flat arrays in the unit ``2**power``."""
    mean, g = (np.ldexp(array, -power) if power else array for array in (mean, reference))
    return Products(*products(mean, g))


def exact_quantities(products: Products, variance: float, power: int = 0) -> dict[str, Array]:
    """Every quantity from the exact mean and total variance of a slice, ``(1,)`` each.

    The products are in the unit ``2**power``.
    """
    bias, along, mean2 = (np.array([value]) for value in products[:3])
    g2 = products.reference
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spread = np.ldexp(np.array([variance]), -2 * power)
        found = _relative(bias, spread, along, along**2, mean2, g2, power)
    if mean2[0] == 0 and g2 > 0:
        # No scalar makes an estimate of nothing better.
        found["scale_free_bias"] = np.ones(1)
    return found


def _relative(
    bias: Array,
    variance: Array,
    along: Array,
    along2: Array,
    mean2: Array,
    g2: float,
    exponent: int,
) -> dict[str, Array]:
    scale = np.float64(g2) if g2 > 0 else np.float64(np.nan)
    length = np.sqrt(np.where(mean2 > 0, mean2, np.nan))
    moment = np.where(mean2 + variance > 0, mean2 + variance, np.nan)
    # A step along a mean that points uphill, or a multiple of it, is no progress.
    downhill2 = np.where(along <= 0, 0.0, along2)
    return {
        "bias_squared": bias / scale,
        "variance": variance / scale,
        "direction_bias": 1 - along / (np.sqrt(scale) * length),
        "magnitude_bias": length / np.sqrt(scale) - 1,
        "scale_free_bias": 1 - downhill2 / (scale * length**2),
        "gain": along / scale,
        "progress": downhill2 / (scale * moment),
        "absolute_bias_squared": np.ldexp(bias, 2 * exponent),
        "absolute_variance": np.ldexp(variance, 2 * exponent),
        "squared_length": mean2 / scale,
        "second_moment": moment / scale,
    }


class Ends(NamedTuple):
    """A value, its interval, and whether the draws resolve it."""

    value: float
    low: float
    high: float
    resolved: bool = True


def intervals(values: Mapping[str, Array]) -> dict[str, Ends]:
    """Value and 95 % interval of every quantity, from those of all groups and without each.

    Most are by the jackknife, as :func:`interval` says, except where it would not hold:

    - ``direction_bias`` and ``magnitude_bias`` are ratios and roots, off by ``-V/(2 K |mu|^2)``
      with V the variance along the mean: the jackknife takes this away, to first order.
    - ``progress`` has the interval of its root, which has a sign, squared.
    - ``scale_free_bias`` is :func:`scale_free` of the slice alone.
    """
    found = {name: Ends(*interval(values[name])) for name in QUANTITIES}
    for name in ("direction_bias", "magnitude_bias"):
        if _long(values):
            found[name] = _corrected(values[name])
        else:
            found[name] = found[name]._replace(resolved=False)
    found["progress"] = _progress(values)
    found["scale_free_bias"] = scale_free({"": (values, 1.0)})
    return {
        name: ends._replace(resolved=ends.resolved and bool(np.isfinite(ends[:3]).all()))
        for name, ends in found.items()
    }


def _progress(values: Mapping[str, Array]) -> Ends:
    """Progress, which is a square, with the interval of its root.

    The root has a sign, and is linear in the estimates where the square is not: where the gain
    is hardly told from 0, an interval of the square itself does not cover.
    """
    value = float(values["progress"][0])
    with np.errstate(invalid="ignore"):
        _, low, high = interval(values["gain"] / np.sqrt(values["second_moment"]))
    if np.isnan(low):
        return Ends(value, low, high)
    # Downhill only, and no more than all there is; the value itself may be below 0.
    low, high = (min(max(end, 0.0), 1.0) ** 2 for end in (low, high))
    return Ends(value, min(value, low), max(value, high))


def blurred(name: str, ends: Ends, error: float) -> tuple[Ends, bool]:
    """Widen an interval by what rounding may make of the mean, and say whether that is most of it.

    ``error`` is the length of a deviation of the mean, relative to that of the gradient; of
    ``absolute_bias_squared`` it is absolute.
    """
    size = abs(ends.value)
    if not (error > 0 and np.isfinite(size)):
        return ends, False
    more = {
        "bias_squared": error * (2 * np.sqrt(size) + error),
        "absolute_bias_squared": error * (2 * np.sqrt(size) + error),
        "direction_bias": error * (np.sqrt(2 * size) + error),
        "scale_free_bias": 2 * error * (np.sqrt(size) + error),
        "magnitude_bias": error,
        "gain": error,
        "progress": 2 * error * size,
    }.get(name, 0.0)
    wider = ends._replace(low=float(ends.low - more), high=float(ends.high + more))
    return wider, bool(more > (ends.high - ends.low) / 2)


def scale_free(parts: Mapping[str, tuple[Mapping[str, Array], float]]) -> Ends:
    """Bias left over with the best scalar for every slice, weighted by ``|g|^2`` of the slice.

    Where its mean points uphill no scalar helps, and all is left over. What the draws do not tell
    about a slice widens the interval by its share of ``|g|^2``, and no slice is left out: where
    the length of its mean is not resolved, all between 0 and 1 is possible, and the value is
    halfway; where the sign of its gain is not, all that the interval of the cosine allows.

    Parameters
    ----------
    parts
        For every slice its values, as :func:`quantities` gives them, and ``|g|^2``.

    Returns
    -------
    Ends
        Unresolved if more of the interval is owed to this than to the noise of the others.
    """
    told: list[Array] = []
    possible = np.zeros(3)  # value, low and high of what is not
    for values, share in parts.values():
        if not share > 0:
            continue  # no gradient that a scalar could bring it nearer to
        free = values["scale_free_bias"]
        gain, _, most_gain = interval(values["gain"])
        if not np.isfinite(gain):
            possible += np.nan
        elif most_gain < 0:
            possible += share
        elif not _long(values):
            possible += share * np.array([0.5, 0.0, 1.0])
        else:
            _, least, most = interval(values["gain"] / np.sqrt(values["squared_length"]))
            if least <= 0:
                low = min(free[0], 1 - min(most, 1.0) ** 2)
                possible += share * np.array([free[0], low, max(free[0], 1.0)])
            else:
                told.append(free * share)
    total = np.float64(sum(share for _, share in parts.values()))
    if not (total > 0 and np.isfinite(possible).all()):
        return Ends(np.nan, np.nan, np.nan, resolved=False)
    ends = interval(np.sum(told, axis=0) / total) if told else (0.0, 0.0, 0.0)
    possible /= total
    value, low, high = (ends + possible).tolist()
    return Ends(value, low, high, resolved=possible[2] - possible[1] <= ends[2] - ends[1])


def exact_scale_free(parts: Mapping[str, tuple[Array, float]]) -> Array:
    """Bias left over with the best scalar for every slice, from exact values ``(1,)``."""
    weighted = [values * g2 for values, g2 in parts.values() if g2 > 0]
    total = np.float64(sum(g2 for _, g2 in parts.values()))
    return np.sum(weighted, axis=0) / total if weighted else np.array([np.nan])


def _long(values: Mapping[str, Array]) -> bool:
    """Whether the squared length of the mean is resolved, to half of itself."""
    value, low, _ = interval(values["squared_length"])
    return low > value / 2


def _corrected(values: Array) -> Ends:
    """Without its bias of the order 1 / K, as the jackknife sees it."""
    value, low, high = interval(values)
    shift = (values.size - 2) * (value - float(values[1:].mean()))
    return Ends(value + shift, low + shift, high + shift)


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

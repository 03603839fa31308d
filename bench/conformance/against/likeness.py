"""How alike two estimators are: their means, less the noise in these, and their variances."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Arrays = Mapping[str, Array]

GROUPS = 20
"""Groups of draws, for intervals by leaving one out."""


@dataclass(frozen=True)
class Law:
    """Mean and spread of an estimator, from draws in groups, or exactly.

    Attributes
    ----------
    means
        Mean of each group of draws, ``(G, P)`` per parameter; G = 1 where nothing is drawn.
    spreads
        Variance of a draw, summed over the entries of a parameter, from each group, ``(G,)``.
    lengths
        Length of each draw, all parameters together, ``(K,)``.
    """

    means: dict[str, Array]
    spreads: dict[str, Array]
    lengths: Array

    @property
    def drawn(self) -> bool:
        """Whether its draws differ."""
        return len(next(iter(self.means.values()))) > 1

    @property
    def mean(self) -> dict[str, Array]:
        """Mean of all draws, flat, ``(P,)`` per parameter."""
        return {name: groups.mean(axis=0) for name, groups in self.means.items()}


def law_of(sample: Arrays) -> Law:
    """The law of an estimator that draws nothing."""
    flat = {name: np.asarray(array, np.float64).reshape(1, -1) for name, array in sample.items()}
    length = sum(float((rows * rows).sum()) for rows in flat.values()) ** 0.5
    return Law(flat, {name: np.zeros(1) for name in flat}, np.array([length]))


def sampled_law(samples: Iterable[Arrays], count: int) -> Law:
    """The law from ``count`` draws, at least two for each group; they are not kept."""
    sums: dict[str, Array] = {}
    squares: dict[str, Array] = {}
    sizes = np.zeros(GROUPS)
    lengths = np.zeros(count)
    for number, sample in enumerate(samples):
        group = number * GROUPS // count
        sizes[group] += 1
        for name, array in sample.items():
            flat = np.asarray(array, np.float64).reshape(-1)
            if name not in sums:
                sums[name] = np.zeros((GROUPS, flat.size))
                squares[name] = np.zeros(GROUPS)
            square = float(flat @ flat)
            sums[name][group] += flat
            squares[name][group] += square
            lengths[number] += square
    means = {name: rows / sizes[:, None] for name, rows in sums.items()}
    spreads = {
        name: (squares[name] - sizes * (rows * rows).sum(axis=1)) / (sizes - 1)
        for name, rows in means.items()
    }
    return Law(means, spreads, np.sqrt(lengths))


@dataclass(frozen=True)
class Interval:
    """A value with its interval by the jackknife over groups."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies within."""
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Products:
    """Inner products of two laws at one parameter, without the noise in the means.

    Parameters
    ----------
    theirs, ours
        Means of groups, ``(G, P)`` or ``(1, P)`` each; their draws are independent.
    spreads
        Of the two, ``(G,)`` each.
    """

    def __init__(self, theirs: Array, ours: Array, spreads: tuple[Array, Array]) -> None:
        self.grams = theirs @ theirs.T, theirs @ ours.T, ours @ ours.T
        self.spreads = spreads

    @property
    def groups(self) -> int:
        """Groups that an interval can leave out one of."""
        return max(self.grams[1].shape)

    def products(self, left_out: int | None = None) -> tuple[float, float, float]:
        """``<t, t>``, ``<t, o>`` and ``<o, o>`` of the means, unbiased, one group left out."""
        theirs, between, ours = self.grams
        rows, columns = (_kept(len(gram), left_out) for gram in (theirs, ours))
        cross = float(between[np.ix_(rows, columns)].mean())
        return _apart(theirs, rows), cross, _apart(ours, columns)

    def variances(self, left_out: int | None = None) -> tuple[float, float]:
        """Variance of a draw of each."""
        theirs, ours = (s[_kept(len(s), left_out)].mean() for s in self.spreads)
        return float(theirs), float(ours)


def interval(
    parts: Sequence[Products], statistic: Callable[[int | None], float], wide: float
) -> Interval:
    """A statistic of products, give or take ``wide`` standard errors by leaving out one group."""
    groups = max(part.groups for part in parts)
    value = statistic(None)
    if groups == 1:
        return Interval(value, value, value)
    left_out = np.array([statistic(group) for group in range(groups)])
    if not np.isfinite([value, *left_out]).all():
        ends = (value, value) if (left_out == value).all() else (-np.inf, np.inf)
        return Interval(value, *ends)
    error = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
    return Interval(value, float(value - wide * error), float(value + wide * error))


def _kept(count: int, left_out: int | None) -> Array:
    kept = np.arange(count)
    return kept if left_out is None or count == 1 else kept[kept != left_out]


def _apart(gram: Array, kept: Array) -> float:
    """Squared length of a mean, from products of different groups."""
    part = gram[np.ix_(kept, kept)]
    if len(kept) == 1:
        return float(part[0, 0])
    return float((part.sum() - np.trace(part)) / (len(kept) * (len(kept) - 1)))

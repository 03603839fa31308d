"""Averages over seeds with their intervals, by the kind of quantity.

Student's t holds for values that scatter alike to both sides of their mean. A variance over seeds
has a long tail, and a share a wall: there t covers too little, and its ends lie where no value can
be. So the kind of a quantity says what is averaged, and on which scale its interval is made:

- *signed* (and unbiased estimates, which may be negative): the mean, and Student's t;
- *positive* (variances, costs, losses): the geometric mean, and Student's t of the logarithms;
- *share* (accuracy, progress): the mean, and Student's t on the scale ``arcsin sqrt``, on which
  the scatter of shares does not depend on where they are (delta method);
- *skewed share* (scale-free and direction bias): the mean of the logits, and their Student's t.

Where a seed lies on a bound (exactly, or by rounding), its logarithm or logit does not exist: then
the mean, and Student's t on the scale of shares. An estimate beyond a bound is noise about it, and
one on the right side of it may be: no logarithm of noise is near zero, and its interval would leave
the bound out by chance. Then the mean, and Student's t, moved and cut into the bounds; ``noisy``
makes a kind of which this is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from plausibench.bench.measuring.statistics import student_quantile

Array = np.ndarray
Ends = tuple[float, float, float]

MEAN, GEOMETRIC, LOGIT = "mean", "geometric mean", "logit mean"
"""What an average is: of the values, of their logarithms, or of their logits."""


CUT = "mean, cut"
"""Of a kind that is averaged by the mean and Student's t, moved and cut into its bounds."""


class Kind(NamedTuple):
    """Bounds of a quantity, infinite where it has none, and what is averaged over seeds."""

    low: float
    high: float
    average: str


SIGNED = Kind(-np.inf, np.inf, MEAN)
POSITIVE = Kind(0.0, np.inf, GEOMETRIC)
SHARE = Kind(0.0, 1.0, MEAN)
SKEWED = Kind(0.0, 1.0, LOGIT)
COSINE = Kind(-1.0, 1.0, MEAN)

KINDS: Mapping[str, Kind] = {
    "variance": POSITIVE,
    "absolute_variance": POSITIVE,
    "variance_within": POSITIVE,
    "variance_total": POSITIVE,
    "train_loss": POSITIVE,
    "test_loss": POSITIVE,
    "forward_passes": POSITIVE,
    "state_size": POSITIVE,
    "scale_free_bias": SKEWED,
    "direction_bias": Kind(0.0, 2.0, LOGIT),
    "magnitude_bias": Kind(-1.0, np.inf, GEOMETRIC),  # of lengths: 1 + magnitude bias
    "progress": SHARE,
    "test_accuracy": SHARE,
    "accuracy": SHARE,
    "accuracy, cut": SHARE,
    "accuracy, whole response": SHARE,
    "type_accuracy": SHARE,
    "performance": SHARE,
    "licks A": SHARE,
    "licks B": SHARE,
    "loss": POSITIVE,
    "alignment": COSINE,
    "cosine": COSINE,
}
"""Kinds of quantities by name; others are signed. A loss that can be negative is averaged as if
signed wherever a seed is not positive."""

ENDS = ["value", "low", "high"]
"""An average and the ends of its interval, as columns."""

SHARES = "mean of shares"


def noisy(kind: Kind) -> Kind:
    """The same bounds, where seeds do not tell themselves whether they are inside."""
    return kind._replace(average=CUT)


def averages(values: Array, groups: Array, kinds: Sequence[Kind]) -> pd.DataFrame:
    """Average of each group of seeds, with its 95 % interval.

    Parameters
    ----------
    values
        Finite values, one a seed and group, ``(N,)``.
    groups
        Number of each value's group, ``(N,)``.
    kinds
        Kind of each value, the same in all of a group, ``(N,)``.

    Returns
    -------
    DataFrame
        Columns ``value``, ``low``, ``high``, ``seeds`` and ``average`` (``MEAN``, ``GEOMETRIC`` or
        ``LOGIT``), indexed by group. The ends are NaN for one seed.
    """
    named, place = np.unique(groups, return_inverse=True)
    data = pd.DataFrame(list(kinds), columns=list(Kind._fields)).assign(value=values, group=place)
    data = data.astype({"low": float, "high": float, "value": float})
    data["scale"] = scales(data)
    data["placed"] = forth(data)
    grouped = data.groupby("group", sort=True)
    found = grouped[["low", "high", "scale"]].first()
    seeds = grouped["value"].count()
    quantiles = {n: student_quantile(0.95, n - 1) for n in seeds.unique() if n > 1}
    half: pd.Series = (
        grouped["placed"].std() * seeds.map(quantiles) / np.sqrt(seeds.where(seeds > 1))
    )
    centre = grouped["placed"].mean()
    moved = centre.clip(found["low"], found["high"]).where(found["scale"] == MEAN, centre)
    ends = {"value": moved, "low": moved - half, "high": moved + half}
    share = found["scale"] == SHARES
    angle, slope = _angle(centre[share], found[share])
    for name, side in (("low", -1), ("high", 1)):
        ends[name] = ends[name].where(~share, angle + side * half[share] * slope)
    # Alike to the last bit: the way there and back would add rounding errors.
    alike = grouped["value"].max() == grouped["value"].min()
    first = grouped["value"].first()
    for name, end in ends.items():
        taken = back(end, found)
        if name != "value":
            taken = taken.mask(share, _unangle(end[share], found[share]))
        taken = taken.mask(alike, first).clip(found["low"], found["high"])
        ends[name] = taken if name == "value" else taken.where(seeds > 1)
    said = found["scale"].replace(SHARES, MEAN)
    return pd.DataFrame({**ends, "seeds": seeds, "average": said}).set_index(named)


def average(values: Iterable[float], kind: Kind = SIGNED) -> Ends:
    """Average of the finite values with its 95 % interval, as of :func:`averages`."""
    given = np.array(list(values), dtype=float)
    given = given[np.isfinite(given)]
    if not given.size:
        return (float("nan"),) * 3
    row = averages(given, np.zeros(given.size, dtype=int), [kind] * given.size).iloc[0]
    return float(row["value"]), float(row["low"]), float(row["high"])


def scales(data: pd.DataFrame) -> pd.Series:
    """Scale of every value, the same in all of a ``group``."""
    value, low, high = data["value"], data["low"], data["high"]
    between = np.isfinite(high) & (value >= low) & (value <= high)
    inside = (value > low) & (value < high)
    between, inside = (each.groupby(data["group"]).transform("all") for each in (between, inside))
    average = data["average"]
    transformed = inside & average.isin([GEOMETRIC, LOGIT])
    chosen = np.select([transformed, between & (average != CUT)], [average, SHARES], MEAN)
    return pd.Series(chosen, data.index)


def forth(data: pd.DataFrame) -> pd.Series:
    """Values on the scale on which they are averaged."""
    placed = data["value"].copy()
    for scale in (GEOMETRIC, LOGIT):
        own = data[data["scale"] == scale]
        above = own["value"] - own["low"]
        below = 1.0 if scale == GEOMETRIC else own["high"] - own["value"]
        placed[own.index] = np.log(above / below)
    return placed


def back(placed: pd.Series, found: pd.DataFrame) -> pd.Series:
    """The inverse of :func:`forth`."""
    value = placed.copy()
    own = found[found["scale"] == GEOMETRIC]
    with np.errstate(over="ignore"):
        value[own.index] = own["low"] + np.exp(placed[own.index])
    own = found[found["scale"] == LOGIT]
    share = 0.5 * (1 + np.tanh(placed[own.index] / 2))
    value[own.index] = own["low"] + (own["high"] - own["low"]) * share
    return value


def _angle(mean: pd.Series, found: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Angle of the mean of shares, and how much it changes with the mean."""
    span = found["high"] - found["low"]
    share = ((mean - found["low"]) / span).clip(0, 1)
    with np.errstate(divide="ignore"):
        slope = 1 / (2 * span * np.sqrt(share * (1 - share)))
    return np.arcsin(np.sqrt(share)), slope


def _unangle(angle: pd.Series, found: pd.DataFrame) -> pd.Series:
    share = np.sin(angle.clip(0, np.pi / 2)) ** 2
    return found["low"] + (found["high"] - found["low"]) * share

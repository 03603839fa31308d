"""Which values of a column are marked: a set that holds the best one with 95 % confidence.

Rules at one cell share seeds, and with them weights and data: what makes a seed easy moves all of
them alike. So each rule is compared with the best one by its differences over the seeds that both
have. Few seeds tell little about the spread of a difference: it is shrunken to that of the other
rules as far as they agree (Smyth 2004), and taken as the larger of the two, so that a rule that
scatters more than others is not dropped for it. Holm 1979 keeps the chance of any false drop at
5 %.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import digamma, gammaincinv, polygamma, stdtr, stdtrit

from plausibench.bench.measuring.seed_intervals import GEOMETRIC, KINDS, SIGNED
from plausibench.bench.report.aggregate import CELL, NONNEGATIVE, ROUNDING, least
from plausibench.bench.report.columns import LESS, MORE, UNIT_OF_LOSS, Column

Array = np.ndarray

RATE = 0.05
JACKKNIFE = 19
"""Degrees of freedom of the intervals of one seed."""
CHANCE = 1e-3
"""How rarely a variance is taken for smaller than those of other rules when it is not."""
WIDEST = 1.0
"""Wider an interval relative to the gradient may not be where a value is to be near another."""


def best(rows: pd.DataFrame, column: Column, seeds: pd.DataFrame) -> pd.Series:
    """Mark the best value of each block of a table, and all that are not told apart from it.

    Parameters
    ----------
    rows : DataFrame
        Rows of the table, with the columns of ``CELL``, ``block``, and of the column to mark
        ``NAME``, ``NAME_low``, ``NAME_high``, ``NAME_state`` and ``NAME_bound``.
    column
        The column.
    seeds : DataFrame
        Values of the column over seeds: ``CELL``, ``seed`` and ``value``.

    Returns
    -------
    Series
        True where a value is marked. A value that is not resolved (an upper bound, a gain whose
        interval holds zero) is not; nor is one alone.
    """
    if column.ideal is None:
        return pd.Series(False, index=rows.index)
    name = column.name
    seeds = seeds[np.isfinite(seeds["value"])]
    wide = seeds.pivot_table(index=list(CELL), columns="seed", values="value", dropna=False)
    places = pd.MultiIndex.from_frame(rows[list(CELL)])
    values = wide.reindex(places).to_numpy(dtype=float)
    if column.relative:
        zeros = least(column.quantity, rows[f"{name}_method"])
        values = np.where(np.abs(values) < zeros[:, None], 0.0, values)
    ends = rows[[name, f"{name}_low", f"{name}_high", f"{name}_state", f"{name}_bound"]]
    ends = ends.set_axis(["value", "low", "high", "state", "bound"], axis=1)
    block = ["block", "objective"] if column.quantity.startswith(UNIT_OF_LOSS) else ["block"]
    known = ends["value"].notna().to_numpy()
    columns = [ends[end].to_numpy() for end in ("value", "low", "high", "state", "bound")]
    found = np.zeros(len(rows), dtype=bool)
    number = rows.groupby(block, dropna=False).ngroup().to_numpy()
    for each in np.unique(number):
        own = np.flatnonzero((number == each) & known)
        if len(own) > 1:
            inside = Ends(*(end[own] for end in columns))
            found[own] = _kept(inside, values[own], column)
    return pd.Series(found, index=rows.index)


@dataclass(frozen=True)
class Ends:
    """Averages over seeds of the rows of a block, as of ``aggregate``."""

    value: Array
    low: Array
    high: Array
    state: Array
    bound: Array


def _kept(ends: Ends, values: Array, column: Column) -> Array:
    """Which rows of one block are marked; ``values`` are theirs, ``(rows, seeds)``."""
    zero, bounded = ends.state == "zero", ends.state == "bounded"
    least = column.ideal in (LESS, 0.0) and column.quantity in NONNEGATIVE
    if least and zero.any():
        return zero
    resolved = _resolved(ends, column)
    if not resolved.any():
        return resolved
    reach = np.where(bounded, ends.bound, ends.value)
    ideal = float(column.ideal or 0.0)
    distance = {MORE: -reach, LESS: reach}.get(ideal, reach if least else np.abs(reach - ideal))
    first = int(np.argmin(np.where(resolved | bounded, distance, np.inf)))
    rivals = np.flatnonzero(resolved & (np.arange(len(resolved)) != first))
    kept = resolved.copy()
    if rivals.size:
        p = _worse(ends, values, first, rivals, column, least=least)
        kept[rivals] = _holm(p) > RATE
    return kept


def _resolved(ends: Ends, column: Column) -> Array:
    known = ends.low < ends.high
    if column.ideal == MORE:
        return ~(known & (ends.low <= 0))
    if column.quantity in ("gain", "magnitude_bias"):
        return ~(known & (ends.high - ends.low > WIDEST))
    return np.asarray(ends.state != "bounded")


def _worse(
    ends: Ends, values: Array, first: int, rivals: Array, column: Column, *, least: bool
) -> Array:
    """How probable differences as large as those of the rivals from the first are by chance."""
    half = np.nan_to_num((ends.high - ends.low) / 2)
    error = half / stdtrit(JACKKNIFE, 0.975)
    if column.ideal == MORE:
        return differences(-values, Alone(-ends.value, error), first, rivals)
    if least or column.ideal == LESS:
        positive = least or KINDS.get(column.quantity, SIGNED).average == GEOMETRIC
        shown = values[[first, *rivals]]
        if positive and (np.isnan(shown) | (shown > 0)).all():
            with np.errstate(divide="ignore", invalid="ignore"):
                alone = Alone(np.log(ends.value), error / ends.value)
                return differences(np.log(values), alone, first, rivals)
        return differences(values, Alone(ends.value, error), first, rivals)
    # On which side of the ideal the first one lies is not known: the better for it counts.
    ideal = float(column.ideal or 0.0)
    side = np.where(ends.value < ideal, -1.0, 1.0)
    found = []
    for sign in (-1.0, 1.0):
        side[first] = sign
        alone = Alone(side * (ends.value - ideal), error)
        found.append(differences(side[:, None] * (values - ideal), alone, first, rivals))
    return np.minimum(2 * np.maximum(*found), 1.0)


@dataclass(frozen=True)
class Alone:
    """Values with the standard errors of their own intervals: all that one seed has."""

    value: Array
    error: Array


def differences(values: Array, alone: Alone, first: int, rivals: Array) -> Array:
    """One-sided p-values of each rival's being further away than the first.

    Parameters
    ----------
    values
        Distances from the ideal, NaN where a seed has none, ``(rows, seeds)``.
    alone
        What is known without comparing seeds; used where two rows share fewer than two seeds.
    first, rivals
        Rows to compare.

    Returns
    -------
    Array
        ``(rivals,)``
    """
    change = values[rivals] - values[first]
    count = np.isfinite(change).sum(axis=1)
    several = count > 1
    p = np.ones(len(rivals))
    if several.any():
        own = change[several]
        mean, spread = np.nanmean(own, axis=1), np.nanvar(own, axis=1, ddof=1)
        size = np.nanmax(np.abs(values[rivals[several]]), axis=1)
        freedom = count[several] - 1.0
        equal = np.nanmax(np.abs(own), axis=1) <= ROUNDING * size
        constant = ~equal & (np.sqrt(spread) <= ROUNDING * size)
        vary = ~equal & ~constant
        found = np.where(equal, 1.0, np.where(mean > 0, 0.0, 1.0))
        variance, shrunken = _shrunken(spread[vary], freedom[vary])
        error = np.sqrt(variance / count[several][vary])
        found[vary] = stdtr(shrunken, -mean[vary] / error)
        p[several] = found
    single = rivals[~several]
    gap = alone.value[single] - alone.value[first]
    error = np.hypot(alone.error[single], alone.error[first])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stdtr(JACKKNIFE, -gap / error)
    tied = np.abs(gap) <= ROUNDING * np.abs(alone.value[single])
    certain = np.where(gap > 0, 0.0, 1.0)
    p[~several] = np.where(tied, 1.0, np.where(error > 0, found, certain))
    return p


def _shrunken(variance: Array, freedom: Array) -> tuple[Array, Array]:
    """The larger of the own variance and the moderated one, with its degrees of freedom.

    A variance so much smaller than the others' that chance does not explain it stays what it is.
    """
    found, shrunken = moderated(variance, freedom)
    apart = freedom * variance < 2 * gammaincinv(freedom / 2, CHANCE) * found
    return np.where(apart, variance, np.maximum(found, variance)), np.where(
        apart, freedom, shrunken
    )


def moderated(variance: Array, freedom: Array) -> tuple[Array, Array]:
    """Variances shrunken to their common one, and the degrees of freedom that they then have.

    The logarithms of variances scatter by chance, by an amount that the degrees of freedom say;
    what they scatter more is theirs (Smyth 2004, section 6.2).
    """
    if len(variance) < 2:
        return variance, freedom
    logs = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    own = logs.var(ddof=1) - polygamma(1, freedom / 2).mean()
    if own <= 0:
        # No more scatter than chance makes: one variance for all.
        common = np.exp(logs.mean())
        return np.full_like(variance, common), np.full_like(freedom, freedom.sum())
    prior = 2 * _inverse_trigamma(float(own))
    common = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))
    return (prior * common + freedom * variance) / (prior + freedom), prior + freedom


def _inverse_trigamma(value: float) -> float:
    found = 0.5 + 1 / value
    for _ in range(30):  # Newton's steps on 1 / trigamma, which is convex: they do not overshoot
        trigamma = float(polygamma(1, found))
        found += trigamma * (1 - trigamma / value) / float(polygamma(2, found))
    return found


def _holm(p: Array) -> Array:
    """p-values adjusted for their number, in the order given."""
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return adjusted

"""Values over seeds: their average with its interval, and whether it is told apart from zero."""

import numpy as np
import pandas as pd

from plausibench.bench.measuring.seed_intervals import (
    ENDS,
    KINDS,
    POSITIVE,
    SIGNED,
    Kind,
    averages,
    noisy,
)
from plausibench.bench.measuring.statistics import SAMPLED
from plausibench.bench.training.nulls import NULL

CELL = ("task", "architecture", "objective", "rule", "protocol", "step")
"""What tells one measured cell from another, the seed apart."""
KEYS = (*CELL, "kind", "projection", "quantity")
"""What tells one value from another; on averaging curves ``samples`` does so too."""

ROUNDING = 1e-12
"""Relative quantities smaller than this are rounding errors of an exact zero."""


def least(quantity: pd.Series | str, method: pd.Series) -> np.ndarray:
    """Relative values below which there is only rounding.

    Less than ``ROUNDING`` of a squared bias from companions, which no noise hides: rounding of the
    mean, squared.
    """
    fine = (method == "companion") & (quantity == "bias_squared")
    return np.where(fine, ROUNDING**2, ROUNDING)


NONNEGATIVE = frozenset(
    {
        "bias_squared",
        "variance",
        "direction_bias",
        "scale_free_bias",
        "absolute_bias_squared",
        "absolute_variance",
        "variance_feedback",
        "variance_data",
        "variance_within",
        "variance_total",
        "marginal_bias_squared",
        "conditional_bias_squared",
    }
)
"""Quantities that cannot be below zero, although their unbiased estimates can."""


def aggregate(frame: pd.DataFrame, *, plain: bool = False) -> pd.DataFrame:
    """Average of every value over seeds, with its 95 % interval.

    Parameters
    ----------
    frame : DataFrame
        Tidy long table of a run, one row per value and seed.
    plain
        Whether to take the mean and Student's t of every quantity, whatever its bounds.

    Returns
    -------
    DataFrame
        The columns of ``frame`` without ``seed``, in the order of first appearance, and

        ``value``, ``low``, ``high``
            Average over the seeds with a finite value, and its interval, by the quantity's
            bounds (see ``bench.seed_intervals``); with one seed, the row's own interval. A
            squared bias is averaged like what is positive where every seed tells it apart from
            zero, else it is an unbiased estimate that may be negative, and keeps its sign. The
            interval of a scale-free bias holds what draws left open in its seeds.
        ``average``
            Which: ``mean``, ``geometric mean`` or ``logit mean``.
        ``seeds``
            How many seeds had a finite value.
        ``lost``
            The seeds that had none, listed in a text.
        ``state``
            ``missing`` (no finite value), ``zero`` (to rounding), ``bounded`` (a quantity
            that cannot be negative, whose interval includes zero, unless each seed by itself is
            above zero) or ``resolved``.
        ``bound``
            Upper bound of a bounded value: the end of its interval, at least the half width,
            so that an estimate far below zero bounds no tighter than one at zero
            (power-constrained as in Cowan et al. 2011); NaN for others.

        Of ``samples`` and ``effective_dimension`` the smallest is kept; what differs between
        seeds in ``redrawn``, ``reference``, ``method`` and ``flag`` is listed.
    """
    data = frame.assign(
        value=frame["value"].where(np.isfinite(frame["value"])),
        averaged=frame["samples"].where(frame["kind"] == "averaging", 0),
    )
    keys = [*KEYS, "averaged"]
    data["group"] = data.groupby(keys, sort=False, dropna=False).ngroup()
    groups = data.groupby("group", sort=True)
    found = groups[keys].first()
    valid = data[data["value"].notna()]
    above = _above_zero(valid)
    kinds = _kinds(valid, above) if not plain else [SIGNED] * len(valid)
    low, high = (np.array([kind[end] for kind in kinds], dtype=float) for end in (0, 1))
    snapped = _snapped(valid, low, high)
    over = averages(snapped, valid["group"].to_numpy(), kinds)
    found[[*ENDS, "average"]] = over[[*ENDS, "average"]].reindex(found.index)
    found["average"] = found["average"].fillna("")
    found["seeds"] = groups["value"].count()
    alone = found["seeds"] == 1
    own = _moved(valid, low, high).groupby("group")[ENDS].first().reindex(found.index)
    found[ENDS] = found[ENDS].where(~alone, own)
    _widen(found, valid)
    above = above.groupby(valid["group"]).all().reindex(found.index, fill_value=False)
    found["lost"] = _listed(data.loc[data["value"].isna()], "seed").reindex(found.index).fillna("")
    for column in ("samples", "effective_dimension"):
        found[column] = groups[column].min()
    for column in ("redrawn", "reference", "method", "flag"):
        found[column] = _listed(data, column).reindex(found.index).fillna("")
    found["state"], found["bound"] = _states(found, above)
    order = [name for name in frame.columns if name != "seed"]
    return found[[*order, "average", "seeds", "lost", "state", "bound"]].reset_index(drop=True)


def settings(cells: pd.DataFrame) -> pd.Series:
    """Name the setting of each row: what may stand side by side in one picture or table.

    Rules may run on different architectures and objectives where each rule has one pair of
    them: then the task is the setting. Where a rule has several pairs, each pair is one.

    Parameters
    ----------
    cells : DataFrame
        Any table with the columns task, architecture, objective and rule. Nulls, which stand
        beside the rules of a setting on networks of their own, make no setting.

    Returns
    -------
    Series
        A text per row, with the index of ``cells``.
    """
    names = cells["task"].astype(object).copy()
    rules = cells[cells["protocol"] != NULL] if "protocol" in cells else cells
    pairs = rules[["task", "architecture", "objective", "rule"]].drop_duplicates()
    repeated = pairs.loc[pairs.duplicated(["task", "rule"]), "task"].unique()
    split = cells["task"].isin(repeated)
    names[split] = (
        cells.loc[split, "task"]
        + ", "
        + cells.loc[split, "architecture"]
        + ", "
        + cells.loc[split, "objective"]
    )
    return names


def open_range(rows: pd.DataFrame) -> pd.Series:
    """Whether a value is the middle of a range in which all is possible, and no estimate.

    So is an unresolved scale-free bias: that seeds agree in it tells nothing.
    """
    unresolved = rows["flag"].str.contains("unresolved", regex=False)
    return unresolved & (rows["quantity"] == "scale_free_bias")


def _above_zero(rows: pd.DataFrame) -> pd.Series:
    """Whether a value that cannot be negative is above zero by itself: exactly, or told apart."""
    absolute = rows["quantity"].str.startswith("absolute_")
    exact = ~rows["method"].isin(SAMPLED) | (rows["low"] == rows["high"])
    lowest = rows["value"].where(exact, rows["low"])
    zero = least(rows["quantity"], rows["method"]) * ~absolute
    return rows["quantity"].isin(NONNEGATIVE) & (lowest > zero)


def _kinds(rows: pd.DataFrame, above: pd.Series) -> list[Kind]:
    """Kind of each value, by its name and by what every seed of its group tells by itself.

    A squared bias is positive where every seed tells that it is. A quantity with bounds is noisy
    where the own interval of a seed reaches one.
    """
    kinds = [KINDS.get(name, SIGNED) for name in rows["quantity"]]
    low, high = (np.array([kind[end] for kind in kinds], dtype=float) for end in (0, 1))
    reaches = (rows["low"] <= low) | (rows["high"] >= high)
    reaches &= rows["method"].isin(SAMPLED) & (rows["low"] < rows["high"])
    positive = above.groupby(rows["group"]).transform("all")
    unsure = reaches.groupby(rows["group"]).transform("any")
    return [
        (POSITIVE if own else SIGNED) if kind is SIGNED else noisy(kind) if far else kind
        for kind, own, far in zip(kinds, positive, unsure, strict=True)
    ]


def _snapped(rows: pd.DataFrame, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values of seeds, with those that rounding keeps from a bound set to it."""
    values = rows["value"].to_numpy(dtype=float)
    relative = ~rows["quantity"].str.startswith(("absolute_", "train_", "test_l")).to_numpy()
    near = least(rows["quantity"], rows["method"])
    for bound in (low, high):
        values = np.where(relative & (np.abs(values - bound) < near), bound, values)
    return values


def _moved(rows: pd.DataFrame, low: np.ndarray, high: np.ndarray) -> pd.DataFrame:
    """Values with their own intervals, moved and cut into the bounds."""
    inside = rows["value"].clip(low, high)
    ends = rows[ENDS].add(inside - rows["value"], axis=0).clip(low, high, axis=0)
    return rows[["group"]].assign(**ends.assign(value=inside))


def _widen(found: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Give a scale-free bias over seeds at least the mean of their own intervals.

    What the draws of a seed leave open stands in its interval, and by half in its value: the
    scatter of values over seeds does not tell of it, and more seeds do not take it away.
    """
    sampled = rows["method"].isin(SAMPLED) & rows["low"].notna()
    ends = (
        rows[sampled & (rows["quantity"] == "scale_free_bias")]
        .groupby("group")[["low", "high"]]
        .mean()
        .clip(0, 1)
    )
    both = found["seeds"].reindex(ends.index) > 1
    ends = ends[both]
    found.loc[ends.index, "low"] = np.minimum(found.loc[ends.index, "low"], ends["low"])
    found.loc[ends.index, "high"] = np.maximum(found.loc[ends.index, "high"], ends["high"])


def _listed(data: pd.DataFrame, column: str) -> pd.Series:
    """Distinct entries of a column in each group, in one text."""
    distinct = data[["group", column]].drop_duplicates()
    distinct = distinct[distinct[column].astype(str) != ""]
    texts = distinct[column].astype(str)
    if distinct["group"].is_unique:
        return texts.set_axis(distinct["group"])
    return texts.groupby(distinct["group"]).agg(", ".join)


def _states(found: pd.DataFrame, above: pd.Series) -> tuple[pd.Series, pd.Series]:
    nonnegative = found["quantity"].isin(NONNEGATIVE)
    size = found[["value", "low", "high"]].abs().max(axis=1)
    absolute = found["quantity"].str.startswith("absolute_")
    zero = nonnegative & (size <= least(found["quantity"], found["method"]) * ~absolute)
    includes_zero = (found["low"] <= 0) | (found["low"].isna() & (found["value"] <= 0))
    bounded = nonnegative & ~zero & includes_zero & ~above
    states = np.select(
        [found["value"].isna(), zero, bounded], ["missing", "zero", "bounded"], "resolved"
    )
    half = (found["high"] - found["low"]) / 2
    bound = pd.concat([found["high"], half], axis=1).max(axis=1).where(bounded)
    return pd.Series(states, found.index), bound

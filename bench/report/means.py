"""Means over the seeds of a study with their intervals: as numbers, tables and marks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.measuring.seed_intervals import (
    ENDS,
    KINDS,
    SHARE,
    SIGNED,
    Ends,
    average,
    averages,
)
from plausibench.bench.report import notation
from plausibench.bench.report.render import Table, plain
from plausibench.kernels.errors import counted

__all__ = [
    "ENDS",
    "Ends",
    "average",
    "band",
    "bars",
    "columns",
    "over_seeds",
    "seeds",
    "share",
    "table",
]

ROUNDING = 1e-12
"""Values that a study finds to be smaller than this are shown as 0."""


def share(values: Iterable[float]) -> Ends:
    """As :func:`average`, of shares: the interval stays between 0 and 1."""
    return average(values, SHARE)


def seeds(rows: pd.DataFrame) -> str:
    """How many seeds a table has, in words."""
    return counted(rows["seed"].nunique(), "seed")


def columns(name: str, ends: Iterable[float]) -> dict[str, float]:
    """A value and the ends of its interval as columns of a raw table."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Average ``value`` over the seeds of each group.

    Parameters
    ----------
    rows : DataFrame
        With columns ``value`` and those of ``keys``; each seed has one row in each group. A
        column ``quantity`` says what is averaged, and so of which kind it is.
    keys
        What a group is.

    Returns
    -------
    DataFrame
        Columns ``keys``, ``value``, ``low``, ``high`` and ``seeds``, in the order of the rows.
        A value that is not finite is left out of its group.
    """
    finite = rows[np.isfinite(rows["value"].astype(float))]
    groups = finite.groupby(list(keys), sort=False, dropna=False)
    names = finite["quantity"] if "quantity" in finite else pd.Series("", finite.index)
    kinds = [KINDS.get(str(name), SIGNED) for name in names]
    number = groups.ngroup().to_numpy()
    ends = averages(finite["value"].to_numpy(dtype=float), number, kinds)
    found = finite[list(keys)].iloc[[*np.unique(number, return_index=True)[1]]]
    return found.reset_index(drop=True).assign(**ends[[*ENDS, "seeds"]].reset_index(drop=True))


def table(
    title: str,
    found: pd.DataFrame,
    keys: Mapping[str, str],
    quantities: Mapping[str, str],
    notes: Sequence[str] = (),
    rounding: float = ROUNDING,
) -> Table:
    """Lay means out: a row for each group, a column for each quantity.

    Parameters
    ----------
    title
        One line.
    found : DataFrame
        As of :func:`over_seeds`, with a column ``quantity``.
    keys
        Columns that say what a row is, with their headings.
    quantities
        Quantities to show, with their headings.
    notes
        Sentences below.
    rounding
        What is smaller is rounding, and shown as 0.
    """
    cells, raw = [], []
    for group, part in found.groupby(list(keys), sort=False, dropna=False):
        line = dict(zip(keys.values(), map(str, group), strict=True))
        numbers = dict(zip(keys, group, strict=True))
        for quantity, heading in quantities.items():
            own = part[part["quantity"] == quantity]
            ends = own[ENDS].iloc[0] if len(own) else [float("nan")] * 3
            ends = [0.0 if abs(end) < rounding else float(end) for end in ends]
            # Seeds that differ in their last bits are alike.
            line[heading] = notation.number(*(float(f"{end:.9g}") for end in ends))
            numbers |= columns(quantity, ends)
        cells.append(line)
        raw.append(numbers)
    return plain(title, cells, raw, len(keys), notes)


def bars(
    axes: Axes,
    places: Iterable[float],
    ends: Sequence[Ends] | pd.DataFrame,
    *,
    across: bool = False,
    logarithmic: bool = False,
    **look: Any,
) -> None:
    """Markers with bars for their intervals.

    Parameters
    ----------
    axes
        Where to draw.
    places
        One a mean.
    ends
        Of :func:`average`, or the columns ``ENDS`` of :func:`over_seeds`.
    across
        Whether values are drawn from left to right, and places from below.
    logarithmic
        Whether the axis of values is: a bar to below zero has no end there, and is cut.
    **look
        Of ``Axes.errorbar``.
    """
    if not len(ends):  # an axis without data would get limits from nothing
        return
    mean, low, high = np.array(ends, dtype=float).T
    below = np.minimum(mean - low, 0.9 * mean) if logarithmic else mean - low
    # A mean below zero has no place on a logarithmic axis, and so no bar.
    widths = np.maximum(np.nan_to_num([below, high - mean]), 0)
    look = {"elinewidth": 0.9, "zorder": 4, **look}
    if across:
        axes.errorbar(mean, list(places), xerr=widths, **look)
    else:
        axes.errorbar(list(places), mean, yerr=widths, **look)


def band(axes: Axes, x: Iterable[float], ends: Sequence[Ends] | pd.DataFrame, **look: Any) -> None:
    """Line with a band for its intervals, as :func:`bars`."""
    if not len(ends):
        return
    mean, low, high = np.array(ends, dtype=float).T
    (line,) = axes.plot(list(x), mean, **look)
    axes.fill_between(list(x), low, high, color=line.get_color(), alpha=0.18, linewidth=0)

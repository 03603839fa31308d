"""Values of a study over its seeds: means with intervals, and tables of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.report import notation
from plausibench.bench.report.render import Table
from plausibench.bench.statistics import mean_interval

ROUNDING = 1e-12
"""Values that a study finds to be smaller than this are shown as 0."""


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean of ``value`` over the seeds of each group, with its 95 % interval by Student's t.

    Parameters
    ----------
    rows : DataFrame
        With columns ``value`` and those of ``keys``; each seed has one row in each group.
    keys
        What a group is.

    Returns
    -------
    DataFrame
        Columns ``keys``, ``value``, ``low``, ``high`` and ``seeds``, in the order of the rows.
        A value that is not finite is left out of its group.
    """
    finite = rows[np.isfinite(rows["value"].astype(float))]
    found = []
    for group, part in finite.groupby(list(keys), sort=False, dropna=False):
        mean, low, high = mean_interval(part["value"].to_numpy(dtype=float))
        line = dict(zip(keys, group, strict=True))
        found.append({**line, "value": mean, "low": low, "high": high, "seeds": len(part)})
    return pd.DataFrame(found, columns=[*keys, "value", "low", "high", "seeds"])


def table(
    title: str,
    found: pd.DataFrame,
    keys: Mapping[str, str],
    columns: Mapping[str, str],
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
    columns
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
        for quantity, heading in columns.items():
            own = part[part["quantity"] == quantity]
            ends = own[["value", "low", "high"]].iloc[0] if len(own) else [float("nan")] * 3
            value, low, high = (0.0 if abs(end) < rounding else float(end) for end in ends)
            # Seeds that differ in their last bits are alike.
            line[heading] = notation.number(*(float(f"{end:.9g}") for end in (value, low, high)))
            numbers |= {quantity: value, f"{quantity}_low": low, f"{quantity}_high": high}
        cells.append(line)
        raw.append(numbers)
    laid = pd.DataFrame(cells, dtype=object)
    return Table(
        title=title,
        cells=laid,
        best=pd.DataFrame(False, index=laid.index, columns=laid.columns),
        raw=pd.DataFrame(raw),
        keys=len(keys),
        notes=tuple(notes),
    )


def bars(
    axes: Axes,
    places: Sequence[float],
    found: pd.DataFrame,
    *,
    colour: str,
    marker: str = "o",
    filled: bool = True,
    line: tuple[float, tuple[float, ...]] | str = "none",
) -> None:
    """Draw means with bars for their intervals, and a line through them if one is asked for."""
    value, low, high = (found[name].to_numpy(dtype=float) for name in ("value", "low", "high"))
    axes.errorbar(
        places,
        value,
        yerr=[np.nan_to_num(value - low), np.nan_to_num(high - value)],
        linestyle=line,
        linewidth=0.9,
        color=colour,
        marker=marker,
        markersize=4.5,
        markerfacecolor=colour if filled else "white",
        elinewidth=1.0,
        zorder=4,
    )

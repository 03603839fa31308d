"""What the reports of studies share: means over replicates with intervals, and plain tables."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.report.render import Table
from plausibench.bench.statistics import student_quantile

Ends = tuple[float, float, float]


def interval(values: Iterable[float]) -> Ends:
    """Mean of the finite values with its 95 % interval by Student's t; NaN where unknown."""
    found = np.array([value for value in values if np.isfinite(value)])
    if not found.size:
        return (float("nan"),) * 3
    mean = float(found.mean())
    if found.size == 1:
        return mean, float("nan"), float("nan")
    half = student_quantile(0.95, found.size - 1) * found.std(ddof=1) / np.sqrt(found.size)
    return mean, mean - float(half), mean + float(half)


def share(values: Iterable[float]) -> Ends:
    """As :func:`interval`, of shares: the interval ends at 0 and at 1."""
    mean, low, high = interval(values)
    # A comparison with NaN is false, and leaves the unknown end as it is.
    return mean, 0.0 if low < 0 else low, 1.0 if high > 1 else high


def columns(name: str, ends: Ends) -> dict[str, float]:
    """A value and the ends of its interval as columns of a raw table."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def table(
    title: str,
    cells: Sequence[dict[str, str]],
    raw: Sequence[dict[str, Any]],
    keys: int,
    notes: Sequence[str],
) -> Table:
    """Table of which no cell is marked as best."""
    laid = pd.DataFrame(list(cells), dtype=object)
    return Table(
        title=title,
        cells=laid,
        best=pd.DataFrame(False, index=laid.index, columns=laid.columns),
        raw=pd.DataFrame(list(raw)),
        keys=keys,
        notes=tuple(notes),
    )


def bars(axes: Axes, places: Iterable[float], ends: Sequence[Ends], **look: Any) -> None:
    """Markers with vertical bars for their intervals."""
    mean, low, high = np.array(ends).T
    below, above = np.nan_to_num(mean - low), np.nan_to_num(high - mean)
    axes.errorbar(list(places), mean, yerr=[below, above], elinewidth=0.9, zorder=4, **look)


def band(axes: Axes, x: Iterable[float], ends: Sequence[Ends], **look: Any) -> None:
    """Line with a band for its intervals."""
    mean, low, high = np.array(ends).T
    (line,) = axes.plot(list(x), mean, **look)
    axes.fill_between(list(x), low, high, color=line.get_color(), alpha=0.18, linewidth=0)

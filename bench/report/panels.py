"""What the pictures share: choosing rows, placing values, panels and notes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.measuring.seed_intervals import GEOMETRIC, LOGIT, MEAN
from plausibench.bench.report.aggregate import aggregate, settings
from plausibench.bench.report.columns import FLAWS
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import LINES, SIZES, Style, label
from plausibench.kernels.errors import InputError, choose, show

AVERAGES = {
    MEAN: "means",
    GEOMETRIC: "geometric means (of what is positive)",
    LOGIT: "means of the logits (of biases between 0 and 1)",
}
"""What captions call what stands for several seeds."""


@dataclass(frozen=True)
class Mark:
    """A value on a :class:`~plausibench.bench.report.scale.Scale`.

    Attributes
    ----------
    place
        Where the marker is.
    low, high
        Ends of the interval's bar; equal to ``place`` where there is none.
    bound
        Whether the marker is an upper bound.
    zero
        Whether it lies on the strip for zeros.
    """

    place: float
    low: float
    high: float
    bound: bool = False
    zero: bool = False


def mark(row: pd.Series, scale: Scale) -> Mark | None:
    """Place an aggregated value; None for one that cannot be drawn."""
    if row["state"] == "zero":
        return Mark(scale.zero, scale.zero, scale.zero, zero=True)
    if row["state"] == "bounded":
        bound = float(row["bound"])
        return Mark(bound, bound, bound, bound=True) if bound > 0 else None
    value = float(row["value"])
    if not value > 0:
        return None
    low, high = float(row["low"]), float(row["high"])
    if not np.isfinite(low + high):
        return Mark(value, value, value)
    return Mark(value, max(low, scale.floor), high)


def fit(rows: pd.DataFrame, *, strip: bool | None = None) -> Scale:
    """Scale on which all of the aggregated values fit."""
    shown = rows["value"].where(rows["state"] == "resolved", rows["bound"])
    # A bar that reaches far down does not stretch the axis; it ends at the break.
    low = rows["low"].clip(lower=shown / 30).where(rows["state"] == "resolved")
    high = rows["high"].where(rows["state"] == "resolved")
    zeros = bool((rows["state"] == "zero").any()) if strip is None else strip
    return Scale.fit(pd.concat([shown, low, high]), strip=zeros)


def point(
    axes: Axes, look: Style, x: Mark, y: Mark, *, filled: bool = True, alpha: float = 1.0
) -> None:
    """Draw a marker with bars for its intervals and arrows for its bounds."""
    colour = look.colour
    axes.plot([x.low, x.high], [y.place] * 2, color=colour, linewidth=1.1, alpha=alpha, zorder=3)
    axes.plot([x.place] * 2, [y.low, y.high], color=colour, linewidth=1.1, alpha=alpha, zorder=3)
    for bounded, away in ((x.bound, (-11, 0)), (y.bound, (0, -11))):
        if bounded:
            axes.annotate(
                "",
                (x.place, y.place),
                away,
                textcoords="offset points",
                arrowprops={
                    "arrowstyle": "<|-",
                    "color": colour,
                    "linewidth": 1.1,
                    "mutation_scale": 5,
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
                zorder=3,
            )
    axes.plot(
        [x.place],
        [y.place],
        marker=look.marker,
        markersize=SIZES.get(look.marker, 5.0),
        markerfacecolor=colour if filled else "none",
        markeredgecolor=colour,
        markeredgewidth=0.9,
        linestyle="none",
        zorder=5 if filled else 4,
    )


def lanes(places: Sequence[float], gap: float) -> list[tuple[int, int]]:
    """Lane of each place, and lanes in its cluster: no two of a lane are closer than ``gap``."""
    found = [(0, 1)] * len(places)
    order = np.argsort(places, kind="stable")
    clusters = np.split(order, np.flatnonzero(np.diff(np.array(places)[order]) >= gap) + 1)
    for cluster in clusters:
        last: list[float] = []
        chosen = []
        for index in cluster:
            free = [n for n, place in enumerate(last) if places[index] - place >= gap]
            lane = free[0] if free else len(last)
            last[lane : lane + 1] = [places[index]]
            chosen.append(lane)
        for index, lane in zip(cluster, chosen, strict=True):
            found[index] = (lane, len(last))
    return found


def select(
    frame: pd.DataFrame,
    kinds: Iterable[str],
    quantities: Iterable[str],
    projection: str = "all",
    protocols: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Aggregate the rows that a picture shows.

    Raises
    ------
    InputError
        If a projection, protocol or step is not in the frame, or the frame holds more than
        one setting.
    """
    if settings(frame).nunique() > 1:
        found = ", ".join(settings(frame).unique())
        raise InputError(f"frame: it holds several settings ({found}); give the rows of one")
    chosen = frame["kind"].isin(list(kinds)) & frame["quantity"].isin(list(quantities))
    if frame[chosen].empty:
        return aggregate(frame[chosen])
    projection = choose("projection", projection, frame.loc[chosen, "projection"].unique())
    chosen &= frame["projection"] == projection
    for protocol in protocols or ():
        choose("protocols", protocol, frame["protocol"].unique())
    if protocols is not None:
        chosen &= frame["protocol"].isin(list(protocols))
    known = sorted(frame["step"].unique())
    for step in steps or ():
        if step not in known:
            listed = ", ".join(map(str, known))
            raise InputError(f"steps: {show(step)} is not a checkpoint; choose one of {listed}")
    if steps is not None:
        chosen &= frame["step"].isin(list(steps))
    return aggregate(frame[chosen])


def few(steps: Iterable[int], most: int) -> list[int]:
    """At most so many of the checkpoints, evenly chosen, the first and the last among them."""
    known = sorted({int(step) for step in steps})
    if len(known) <= most:
        return known
    places = np.unique(np.linspace(0, len(known) - 1, most).round().astype(int))
    return [known[place] for place in places] if most > 1 else known[-1:]


def columns(rows: pd.DataFrame, most: int = 5) -> tuple[pd.DataFrame, list[str]]:
    """Rows of as many checkpoints as panels have room for, and a sentence if some are left out."""
    steps = rows["step"].unique()
    shown = few(steps, most)
    if len(shown) == len(steps):
        return rows, []
    said = f"{len(shown)} of {len(steps)} checkpoints are shown, evenly chosen."
    return rows[rows["step"].isin(shown)], [said]


def protocols_of(rows: pd.DataFrame) -> list[str]:
    """Protocols in the order in which to show them."""
    present = set(rows["protocol"])
    return [p for p in LINES if p in present] + sorted(present - set(LINES))


def step_title(step: int) -> str:
    """Title of a checkpoint."""
    return "at initialisation" if step == 0 else f"after {step} steps"


def title(axes: Axes, text: str) -> None:
    """Title of a panel, left-aligned above it."""
    axes.set_title(text, loc="left", pad=4)


def notes(units: pd.DataFrame | None, rows: pd.DataFrame, *, arrows: bool = False) -> list[str]:
    """Sentences that name what a picture lacks: runs that did not end, seeds without a value.

    With ``arrows`` they also say what the arrows mean, if there are any.
    """
    found = []
    if arrows and (rows["state"] == "bounded").any():
        found.append("Arrows: upper bounds, as the 95 % interval includes zero.")
    if units is not None and len(units):
        here = units[units["protocol"].isin(rows["protocol"])]
        here = here[here["task"].isin(rows["task"])]
        # A rule without any value belongs to every picture of its task.
        pairs = rows[["architecture", "objective"]].drop_duplicates()
        shown = (
            here[["architecture", "objective"]]
            .apply(tuple, axis=1)
            .isin(list(pairs.itertuples(index=False, name=None)))
        )
        here = here[shown | ~here["rule"].isin(rows["rule"])]
        for status, verb in (
            ("diverged", "Diverged"),
            ("failed", "Failed"),
            ("unsupported", "Cannot run"),
        ):
            names = _counted(here, status)
            if names:
                found.append(f"{verb}: {'; '.join(names)}.")
    lost = rows[rows["state"] == "missing"]
    for flag, said in FLAWS.items():
        flagged = lost["flag"].str.contains(flag, regex=False)
        names = sorted({label(rule) for rule in lost.loc[flagged, "rule"]})
        if names:
            found.append(f"{said} at some points: {', '.join(names)}.")
        lost = lost[~flagged]
    if len(lost):
        names = sorted({label(rule) for rule in lost["rule"]})
        found.append(f"Without a finite value at some points: {', '.join(names)}.")
    bare = rows[(rows["state"] != "missing") & rows["low"].isna() & (rows["method"] != "exact")]
    if len(bare):
        names = sorted({label(rule) for rule in bare["rule"]})
        found.append(f"Without an interval at some points: {', '.join(names)}.")
    return found


def _counted(units: pd.DataFrame, status: str) -> list[str]:
    names = []
    for (rule, protocol), group in units.groupby(["rule", "protocol"], sort=False):
        bad = int((group["status"] == status).sum())
        if bad:
            share = "" if bad == len(group) else f", {bad} of {len(group)} seeds"
            names.append(f"{label(str(rule))} ({LINES.get(str(protocol), protocol)}{share})")
    return names


def averaged(rows: pd.DataFrame) -> str:
    """Sentence for captions that says what values and intervals are."""
    seeds = int(rows["seeds"].max())
    if seeds == 1:
        said = "One seed, with the measurement's own 95 % intervals"
    else:
        shown = [name for name in AVERAGES if (rows["average"] == name).any()]
        which = " or ".join(AVERAGES[name] for name in shown)
        said = f"{which.capitalize()} over {seeds} seeds with 95 % intervals (Student's t)"
    return f"{said}; a marker hides intervals narrower than itself."

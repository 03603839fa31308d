"""The plane of many rules: a panel for each family of them, beside all others in grey."""

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.report import panels, style
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.plane import AXES, LABELS, VARIANCE, Placed, spread
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError, choose

TITLES = {"perturbation": "perturbation, a global outcome"}
"""What a panel is called, where not by its family."""
ANCHOR = "backprop"
"""Drawn in every panel."""
MANY = 12
"""Rules beyond which one panel is too full."""
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "h", "<", ">")
ACROSS = 3
ENDS = (1e-4, 100.0)
"""Least and largest squared bias that is told from others."""


def families(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    axis: str = "raw",
    step: int | None = None,
) -> Picture:
    """Draw every rule in the plane of bias and variance, family by family.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    axis
        ``raw`` or ``scale_free``, as for the plane.
    step
        Checkpoint; by default the last.

    Raises
    ------
    InputError
        If an argument is not allowed, the frame holds several settings, or nothing to draw.
    """
    bias = AXES[choose("axis", axis, AXES)]
    step = int(frame["step"].max()) if step is None else step
    rows = panels.select(frame, ("conditional",), (bias, "variance"), steps=[step])
    if rows.empty:
        raise InputError("frame: it holds no bias and variance to draw")
    rows, said = _within(rows, bias)
    across = panels.fit(rows[rows["quantity"] == bias])
    up = panels.fit(rows[rows["quantity"] == "variance"])
    marks: dict[str, dict[str, tuple[Mark, Mark]]] = {}
    for (rule, protocol), own in rows.groupby(["rule", "protocol"], sort=False):
        by_name = {row["quantity"]: row for _, row in own.iterrows()}
        if bias in by_name and "variance" in by_name:
            x, y = panels.mark(by_name[bias], across), panels.mark(by_name["variance"], up)
            if x is not None and y is not None:
                marks.setdefault(str(rule), {})[str(protocol)] = (x, y)
    grouped = members(list(marks))
    lines = -(-len(grouped) // ACROSS)
    longest = max(len(group) for group in grouped.values())
    with style.theme():
        figure, part = style.canvas(
            style.PAGE,
            0.3 + (1.75 + 0.14 * (longest + 1)) * lines,
            [
                style.handle(Style("0.3", "o", style.SOLID, "filled: shared weights")),
                _open("open: own training"),
                style.handle(Style("0.82", "o", style.SOLID, "all other rules")),
            ],
            [*said, *panels.notes(units, rows, arrows=True)],
        )
        drawn = part.subplots(lines, ACROSS, sharex=True, sharey=True, squeeze=False).flat
        for axes, (family, group) in zip(drawn, grouped.items(), strict=False):
            across.apply(axes, "x")
            up.apply(axes, "y")
            axes.tick_params(labelbottom=True)
            _draw(axes, _apart(marks, group, across, up), group)
            panels.title(axes, family)
        for axes in list(drawn)[len(grouped) :]:
            axes.set_axis_off()
        part.supxlabel(LABELS[axis], fontsize=8)
        part.supylabel(VARIANCE, fontsize=8)
    name = "families" if axis == "raw" else f"families-{axis}"
    caption = (
        f"Bias and variance of gradient estimates after {step} steps, a panel for each family. "
        f"{panels.averaged(rows)} Both axes are logarithmic, with a strip for exact zeros."
    )
    return style.finished(name, figure, caption)


def _within(rows: pd.DataFrame, bias: str) -> tuple[pd.DataFrame, list[str]]:
    """Rows with biases beyond ``ENDS`` moved there, and sentences that say so."""
    least, most = ENDS
    own = rows["quantity"] == bias
    small = own & (rows["state"] == "resolved") & (rows["value"] < least)
    large = own & (rows["value"] > most)
    said = []
    if small.any():
        said.append(f"A bias below {least:g} is drawn as a bound at {least:g}.")
    if large.any():
        names = ", ".join(sorted({style.label(rule) for rule in rows.loc[large, "rule"]}))
        said.append(f"Beyond {most:g}, and drawn there: {names}.")
    rows = rows.copy()
    rows.loc[small, "state"] = "bounded"
    rows.loc[small, "bound"] = least
    for column in ("value", "low", "high"):
        rows.loc[own, column] = rows.loc[own, column].clip(upper=most)
    rows.loc[own, "bound"] = rows.loc[own, "bound"].clip(lower=least, upper=most)
    return rows, said


def _apart(
    marks: Mapping[str, Mapping[str, tuple[Mark, Mark]]],
    group: Sequence[str],
    across: Scale,
    up: Scale,
) -> dict[str, dict[str, tuple[Mark, Mark]]]:
    """Marks of a panel, with those that would hide each other on the strips moved apart."""
    moved = {rule: dict(places) for rule, places in marks.items()}
    placed = [
        Placed(rule, protocol, *marks[rule][protocol]) for rule in group for protocol in marks[rule]
    ]
    for one in spread(placed, across, up):
        moved[one.rule][one.kind] = (one.x, one.y)
    return moved


def members(rules: Sequence[str]) -> dict[str, list[str]]:
    """Selectors by the title of their panel, in the order of the panels."""
    grouped: dict[str, list[str]] = {}
    for rule in sorted(rules, key=style.place):
        name = rule.partition("[")[0]
        if name != ANCHOR:
            family = style.family(name)
            grouped.setdefault(TITLES.get(family, family), []).append(rule)
    return grouped


def _draw(
    axes: Axes, marks: Mapping[str, Mapping[str, tuple[Mark, Mark]]], group: Sequence[str]
) -> None:
    for rule, places in marks.items():
        if rule not in group:
            for x, y in places.values():
                axes.plot([x.place], [y.place], "o", color="0.82", markersize=2.5, zorder=0)
    colours = sns.color_palette("colorblind").as_hex()
    looks = {
        rule: Style(
            colours[number % len(colours)],
            MARKERS[number % len(MARKERS)],
            style.SOLID,
            style.label(rule, 42),
        )
        for number, rule in enumerate(group)
    }
    if ANCHOR in marks:
        looks[ANCHOR] = style.styles([ANCHOR])[ANCHOR]
    for rule, look in looks.items():
        places = marks[rule]
        for protocol, (x, y) in places.items():
            panels.point(axes, look, x, y, filled=protocol == "shared")
        if len(places) == 2:
            (x, y), (other, above) = places.values()
            axes.plot(
                [x.place, other.place],
                [y.place, above.place],
                color=look.colour,
                linewidth=0.6,
                alpha=0.6,
                zorder=1,
            )
    axes.legend(
        handles=[style.handle(look) for look in looks.values()],
        loc="upper left",
        bbox_to_anchor=(-0.05, -0.13),
        fontsize=6.5,
        borderaxespad=0,
        labelspacing=0.25,
        handletextpad=0.3,
    )


def _open(text: str) -> Line2D:
    entry = style.handle(Style("0.3", "o", style.SOLID, text))
    entry.set_markerfacecolor("white")
    return entry

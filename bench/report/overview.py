"""A run at a glance: the plane with a path for every rule, and beside it whether it matters.

One row for each task. Left the plane of bias and variance, where every rule is named at its point,
with its path since initialisation. Right, in the same colours, how much of the gradient's progress
a rule makes early, and how much more accurate than frozen hidden layers it ends.
"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plausibench.bench.report import names, panels, sketch, style
from plausibench.bench.report.aggregate import settings
from plausibench.bench.report.nulls import ABOVE, beside, parted
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.plane import LABELS as LABELS_OF_AXES
from plausibench.bench.report.plane import VARIANCE, Placed, lanes, spread
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import PAGE, SMALL, Picture, Style
from plausibench.bench.training.nulls import LINEAR, READOUT
from plausibench.kernels.errors import InputError

MOST = 3
"""Tasks that stand below each other in one picture."""
LEFT, PLANE, LABELS, DOTS, GAP = 0.5, 2.86, 1.38, 1.0, 0.16
"""Widths in inches: margin, plane, names of the rows, each panel of dots, between those."""
TOP, BELOW, LEAST, EACH = 0.38, 0.46, 2.7, 0.17
"""Heights in inches: titles, labels of the axes, the least of a row and what a rule takes of it."""
WRAPPED = 25
"""Characters of a name in one line, in the plane."""
SAID = (
    "Lines: from initialisation (small dot) to the end of training. Grey: sketch of Richards et "
    "al. 2019. Dotted: linear."
)
"""What stands below."""
APART = 10.0
"""Points of type between markers without variance: room for a name beside each."""
TICKS = {1: "1", 1e-2: "0.01", 1e-4: "0.0001", 1e-6: "1e-6", 1e-8: "1e-8"}
"""Labels of progress: more do not fit."""


def overview(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw where every rule lies in the plane, how it came there, and how well it learns.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    looks
        Styles of the rules, by default of those in the frame.

    Raises
    ------
    InputError
        If the frame holds nothing to draw.
    """
    rules, nulls = parted(frame)
    if not (rules["kind"] == "conditional").any():
        raise InputError("frame: it holds no bias and variance to draw")
    protocol = "own" if (rules["protocol"] == "own").any() else str(rules["protocol"].iloc[0])
    looks = looks or style.styles(rules["rule"])
    rows: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for name, part in rules.groupby(settings(rules), sort=False):
        places = part[["task", "objective"]].drop_duplicates()
        with_nulls = pd.concat([part, nulls.merge(places, on=["task", "objective"])])
        measured = panels.select(
            part, ("conditional",), ("bias_squared", "variance", "progress"), "all", [protocol]
        )
        reached = panels.select(beside(with_nulls), ("null",), ABOVE.values())
        rows[str(name)] = measured, reached[reached["protocol"] == protocol]
    notes = [
        SAID,
        *(
            note
            for measured, _ in rows.values()
            for note in panels.notes(units, measured, arrows=True)
        ),
    ]
    lines = [
        line for note in dict.fromkeys(notes) for line in textwrap.wrap(note, int(PAGE / 0.056))
    ]
    heights = [max(LEAST, EACH * measured["rule"].nunique()) for measured, _ in rows.values()]
    foot = 0.125 * len(lines) + 0.06
    height = sum(heights) + (TOP + BELOW) * len(rows) + foot
    with style.theme():
        figure = Figure(figsize=(PAGE, height))
        top = height
        for (name, (measured, reached)), own in zip(rows.items(), heights, strict=True):
            bottom = top - TOP - own
            title = f"{name}, {style.LINES.get(protocol, protocol)}"
            _row(figure, (bottom, own, height), title, measured, reached, looks)
            top = bottom - BELOW
        figure.text(
            0.05 / PAGE,
            0.04 / height,
            "\n".join(map(style.escape, lines)),
            fontsize=SMALL,
            va="bottom",
            color="0.25",
        )
    return style.finished("overview", figure, _caption(next(iter(rows.values()))[0]))


def _row(
    figure: Figure,
    place: tuple[float, float, float],
    title: str,
    measured: pd.DataFrame,
    reached: pd.DataFrame,
    looks: Mapping[str, Style],
) -> None:
    """Draw the panels of one task; ``place`` is their bottom and height, and the figure's."""
    bottom, own, height = place
    last, early = _steps(measured)
    rules = _sorted(measured, reached, early)

    def axes_at(left: float, width: float) -> Axes:
        return figure.add_axes((left / PAGE, bottom / height, width / PAGE, own / height))

    plane = axes_at(LEFT, PLANE)
    _plane(plane, measured, looks, (72 * PLANE, 72 * own))
    panels.title(plane, f"How biased, how noisy? ({title})")
    left = LEFT + PLANE + LABELS
    _progress(axes_at(left, DOTS), measured[measured["step"] == early], rules, looks, early)
    _named(figure, (left - 0.07) / PAGE, bottom / height, own / height, rules, looks)
    gained = axes_at(left + DOTS + GAP, DOTS)
    if reached.empty:
        gained.set_axis_off()
    else:
        _gained(gained, reached[reached["step"] == last], rules, looks, last)


def _steps(measured: pd.DataFrame) -> tuple[int, int]:
    """The last checkpoint, and the first after initialisation."""
    steps = sorted(int(step) for step in measured["step"].unique())
    return steps[-1], next((step for step in steps if step > 0), steps[0])


def _sorted(measured: pd.DataFrame, reached: pd.DataFrame, early: int) -> list[str]:
    """Rules from the best: by what they gain over frozen hidden layers, else by progress."""
    progress = measured[(measured["quantity"] == "progress") & (measured["step"] == early)]
    value = progress.set_index("rule")["value"]
    gained = reached[reached["quantity"] == ABOVE[READOUT]]
    if len(gained):
        last = gained[gained["step"] == gained["step"].max()]
        value = last.set_index("rule")["value"]
    known = list(dict.fromkeys(measured["rule"]))
    return sorted(known, key=lambda rule: -float(value.get(rule, float("-inf"))))


def _plane(
    axes: Axes, rows: pd.DataFrame, looks: Mapping[str, Style], room: tuple[float, float]
) -> None:
    across = panels.fit(rows[rows["quantity"] == "bias_squared"])
    up = panels.fit(rows[rows["quantity"] == "variance"])
    up = up.roomy(lanes(_ends(_courses(rows, looks, across, up)), across), APART / room[1])
    across.apply(axes, "x")
    up.apply(axes, "y")
    courses = _courses(rows, looks, across, up)
    ends = spread(_ends(courses), across, up)
    anchors = [_point(p.x, p.y, across, up, room) for p in ends]
    passed = [
        place
        for p, end in zip(ends, anchors, strict=True)
        for place in _along(
            [
                *(
                    _point(_beside(x, p.x), _beside(y, p.y), across, up, room)
                    for x, y in courses[p.rule][:-1]
                ),
                end,
            ]
        )
    ]
    shares = [(x / room[0], y / room[1]) for x, y in (*anchors, *passed)]
    boxes, ghosts = sketch.layout(sketch.places(courses), looks, across, up, shares)
    sketch.draw(axes, boxes, ghosts)
    for p in ends:
        path = [(_beside(x, p.x).place, _beside(y, p.y).place) for x, y in courses[p.rule][:-1]]
        _path(axes, [*path, (p.x.place, p.y.place)], looks[p.rule])
        panels.point(axes, looks[p.rule], p.x, p.y)
    faint = [(ghost.x * room[0], ghost.y * room[1]) for ghost in ghosts]
    texts = [textwrap.fill(looks[p.rule].label, WRAPPED) for p in ends]
    placed = names.place(anchors, texts, room, [*passed, *faint])
    for p, anchor, text, name in zip(ends, anchors, texts, placed, strict=True):
        _write(axes, text, name, anchor, looks[p.rule], room)
    axes.set_xlabel(LABELS_OF_AXES["raw"], labelpad=1)
    axes.set_ylabel(VARIANCE, labelpad=1)


Course = list[tuple[Mark, Mark]]
"""Bias and variance of a rule along its training."""


def _courses(
    rows: pd.DataFrame, looks: Mapping[str, Style], across: Scale, up: Scale
) -> dict[str, Course]:
    courses: dict[str, Course] = {}
    for rule in style.ordered(rows["rule"], looks):
        of_rule = rows[rows["rule"] == rule]
        for _, cell in of_rule.groupby("step", sort=True):
            by_name = {row["quantity"]: row for _, row in cell.iterrows()}
            if "bias_squared" in by_name and "variance" in by_name:
                x = panels.mark(by_name["bias_squared"], across)
                y = panels.mark(by_name["variance"], up)
                if x is not None and y is not None:
                    courses.setdefault(rule, []).append((x, y))
    return courses


def _ends(courses: Mapping[str, Course]) -> list[Placed]:
    return [Placed(rule, "conditional", *course[-1]) for rule, course in courses.items()]


def _beside(mark: Mark, end: Mark) -> Mark:
    """A mark of a path; on the strip for zeros it keeps the lane of the path's end."""
    return end if mark.zero and end.zero else mark


def _point(
    x: Mark, y: Mark, across: Scale, up: Scale, room: tuple[float, float]
) -> tuple[float, float]:
    """Place of a mark in points of type from the lower left corner."""
    return across.fraction(x.place) * room[0], up.fraction(y.place) * room[1]


def _along(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a path and some between them, without its end."""
    shares = (0.0, 0.25, 0.5, 0.75)
    return [
        (x + share * (u - x), y + share * (v - y))
        for (x, y), (u, v) in pairwise(points)
        for share in shares
    ]


def _path(axes: Axes, points: Sequence[tuple[float, float]], look: Style) -> None:
    axes.plot(*zip(*points, strict=True), color=look.colour, linewidth=0.8, alpha=0.7, zorder=2)
    if len(points) > 1:
        axes.plot(
            *points[0], marker="o", markersize=2.2, color=look.colour, linestyle="none", zorder=2
        )


def _write(
    axes: Axes,
    text: str,
    name: names.Name,
    anchor: tuple[float, float],
    look: Style,
    room: tuple[float, float],
) -> None:
    axes.text(
        (name.left + name.right) / 2 / room[0],
        (name.bottom + name.top) / 2 / room[1],
        text,
        transform=axes.transAxes,
        fontsize=SMALL,
        color=look.colour,
        ha="center",
        va="center",
        linespacing=1.0,
        zorder=7,
    )
    if name.joined:
        x, y = names.end(name, anchor)
        axes.add_line(
            Line2D(
                [anchor[0] / room[0], x / room[0]],
                [anchor[1] / room[1], y / room[1]],
                transform=axes.transAxes,
                color=look.colour,
                linewidth=0.4,
                zorder=1,
            )
        )


def _progress(
    axes: Axes, rows: pd.DataFrame, rules: Sequence[str], looks: Mapping[str, Style], step: int
) -> None:
    rows = rows[rows["quantity"] == "progress"]
    uphill = bool((rows["value"] <= 0).any())
    scale = panels.fit(rows, strip=uphill)
    scale.apply(axes, "x")
    for _, row in rows.iterrows():
        line, value = rules.index(row["rule"]), panels.mark(row, scale)
        if value is None and float(row["value"]) <= 0:
            value = Mark(scale.zero, scale.zero, scale.zero, zero=True)
        if value is not None:
            panels.point(axes, looks[row["rule"]], value, Mark(line, line, line))
    _rows(axes, len(rules))
    shown = {at: text for at, text in TICKS.items() if 10**scale.low <= at <= 10**scale.high}
    zero = {scale.zero: "0"} if uphill else {}
    axes.set_xticks([*shown, *zero], [*shown.values(), *zero.values()])
    axes.set_xlabel("progress ρ²,\nshare of the gradient's", labelpad=1, fontsize=SMALL)
    panels.title(axes, f"A good step?\n{panels.step_title(step)}")


def _gained(
    axes: Axes, rows: pd.DataFrame, rules: Sequence[str], looks: Mapping[str, Style], step: int
) -> None:
    linear = rows[rows["quantity"] == ABOVE[LINEAR]].set_index("rule")["value"]
    rows = rows[rows["quantity"] == ABOVE[READOUT]]
    # Both are differences from one accuracy, so theirs is that of the nulls.
    both = (rows.set_index("rule")["value"] - linear).dropna()
    if len(both):
        first = style.ordered(both.index, looks)[0]
        axes.axvline(both[first], color="0.3", linewidth=0.9, linestyle=style.DOTTED, zorder=0)
    for _, row in rows[rows["value"].notna()].iterrows():
        line, value = rules.index(row["rule"]), float(row["value"])
        low, high = (value if pd.isna(row[end]) else float(row[end]) for end in ("low", "high"))
        panels.point(axes, looks[row["rule"]], Mark(value, low, high), Mark(line, line, line))
    axes.axvline(0.0, color="0.3", linewidth=0.7, linestyle=style.DASHED, zorder=0)
    _rows(axes, len(rules))
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("test accuracy above\nfrozen hidden layers", labelpad=1, fontsize=SMALL)
    panels.title(axes, f"Does it learn?\n{panels.step_title(step)}")


def _rows(axes: Axes, count: int) -> None:
    """A line for each rule, the first on top."""
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for line in range(count):
        axes.axhline(line, color="0.9", linewidth=0.5, zorder=-3)


def _named(
    figure: Figure,
    right: float,
    bottom: float,
    height: float,
    rules: Sequence[str],
    looks: Mapping[str, Style],
) -> None:
    for line, rule in enumerate(rules):
        figure.text(
            right,
            bottom + height * (1 - (line + 0.6) / (len(rules) + 0.2)),
            looks[rule].label,
            fontsize=SMALL,
            color=looks[rule].colour,
            ha="right",
            va="center",
        )


def _caption(rows: pd.DataFrame) -> str:
    return (
        "Learning rules in the plane of gradient bias and variance, measured, and what follows. "
        f"{panels.averaged(rows)} Left: squared distance between the mean of the estimate and the "
        "reference gradient, and the trace of its covariance, both relative to the squared length "
        "of that gradient; a line is the path of a rule in its training, from the small dot at "
        "initialisation; the axes are logarithmic, with a strip for exact zeros beyond the break. "
        "Right: the share of the exact gradient's progress per step under isotropic curvature, "
        "and the test accuracy less that of the same network with frozen hidden layers, seed by "
        "seed. Grey: where Richards et al. 2019, Fig. 2, sketch the rules (no scale)."
    )

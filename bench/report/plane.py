"""The measured plane of bias and variance (Fig. 2 of Richards et al. 2019, which is a sketch)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.report import panels, sketch, style
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.scale import SPREAD, ZERO, Scale
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError, choose

AXES = {"raw": "bias_squared", "scale_free": "scale_free_bias"}
LABELS = {
    "raw": r"squared bias $\|\mathrm{E}\,\hat{g} - g\|^2 / \|g\|^2$",
    "scale_free": "squared bias with the best scale for each parameter",
}
NEAR = 0.075
"""Share of an axis within which the markers of two rules hide each other."""
APART = 0.06
"""Share of the upright axis between markers without variance that lie above each other."""
VARIANCE = r"variance $\mathrm{tr\,Cov}\,\hat{g}\, / \|g\|^2$"


@dataclass(frozen=True)
class Placed:
    """A rule's point in one panel."""

    rule: str
    kind: str
    x: Mark
    y: Mark


def plane(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    axis: str = "raw",
    protocols: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    projection: str = "all",
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw every rule in the plane of relative squared bias and relative variance.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    axis
        ``raw`` for the squared bias, ``scale_free`` for what is left of it with the best
        scalar for each parameter.
    protocols, steps
        Rows and columns of panels; by default all in the frame.
    projection
        ``all`` for the whole net, or a parameter's name.
    looks
        Styles of the rules, by default of those in the frame.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If an argument is not allowed, the frame holds several settings, or nothing to draw.
    """
    bias = AXES[choose("axis", axis, AXES)]
    rows = panels.select(
        frame, ("conditional", "marginal"), (bias, "variance"), projection, protocols, steps
    )
    rows, left_out = panels.columns(rows) if steps is None else (rows, [])
    if rows.empty:
        raise InputError("frame: it holds no bias and variance to draw")
    looks = looks or style.styles(frame["rule"])
    across = panels.fit(rows[rows["quantity"] == bias])
    up = panels.fit(rows[rows["quantity"] == "variance"])
    columns, lines = sorted(rows["step"].unique()), panels.protocols_of(rows)
    rules = style.ordered(rows["rule"], looks)
    cells = {
        (protocol, step): rows[(rows["protocol"] == protocol) & (rows["step"] == step)]
        for protocol in lines
        for step in columns
    }
    placed = [_placed(cell, bias, looks, across, up) for cell in cells.values()]
    up = up.roomy(max(lanes(points, across) for points in placed), APART)
    grid = {
        place: spread(_placed(cell, bias, looks, across, up), across, up)
        for place, cell in cells.items()
    }
    taken = [
        (across.fraction(p.x.place), up.fraction(p.y.place)) for ps in grid.values() for p in ps
    ]
    sketched = sketch.places(rules)
    boxes, ghosts = sketch.layout(sketched, looks, across, up, taken)
    with style.theme():
        width = style.COLUMN if len(columns) == 1 else style.PAGE
        height = {1: 2.5, 2: 2.9}.get(len(columns), 2.2)
        figure, part = style.canvas(
            width,
            0.25 + height * len(lines),
            [*(style.handle(looks[rule]) for rule in rules), *_keys(rows, bool(sketched))],
            [*left_out, *panels.notes(units, rows)],
        )
        shape = (len(lines), len(columns))
        drawn = part.subplots(*shape, sharex=True, sharey=True, squeeze=False).flat
        for axes, ((protocol, step), points) in zip(drawn, grid.items(), strict=True):
            across.apply(axes, "x")
            up.apply(axes, "y")
            sketch.draw(axes, boxes, ghosts)
            _draw(axes, points, looks)
            panels.title(axes, f"{style.LINES.get(protocol, protocol)}, {panels.step_title(step)}")
        part.supxlabel(LABELS[axis], fontsize=8)
        part.supylabel(VARIANCE, fontsize=8)
    name = "plane" if axis == "raw" else f"plane-{axis}"
    return style.finished(name, figure, _caption(axis, rows))


def _placed(
    rows: pd.DataFrame, bias: str, looks: dict[str, Style], across: Scale, up: Scale
) -> list[Placed]:
    found = []
    for kind in ("conditional", "marginal"):
        of_kind = rows[rows["kind"] == kind]
        for rule in style.ordered(of_kind["rule"], looks):
            of_rule = of_kind[of_kind["rule"] == rule]
            own = {row["quantity"]: row for _, row in of_rule.iterrows()}
            if bias in own and "variance" in own:
                x, y = panels.mark(own[bias], across), panels.mark(own["variance"], up)
                if x is not None and y is not None:
                    found.append(Placed(rule, kind, x, y))
    return found


def lanes(points: Sequence[Placed], across: Scale) -> int:
    """Markers without variance that lie above each other, at most; 1 if none do."""
    along = [across.fraction(p.x.place) for p in points if p.y.zero]
    return max((count for _, count in panels.lanes(along, NEAR)), default=1)


def spread(points: list[Placed], across: Scale, up: Scale) -> list[Placed]:
    """Move markers that would hide each other apart, within the width of the strips."""
    moved = list(points)
    flat = [n for n, p in enumerate(points) if p.y.zero]
    for n, zero in _apart(flat, [across.fraction(points[n].x.place) for n in flat], up):
        moved[n] = replace(moved[n], y=zero)
    upright = [n for n, p in enumerate(points) if p.x.zero and not p.y.zero]
    for n, zero in _apart(upright, [up.fraction(points[n].y.place) for n in upright], across):
        moved[n] = replace(moved[n], x=zero)
    return moved


def _apart(members: list[int], along: list[float], scale: Scale) -> Iterator[tuple[int, Mark]]:
    for member, (lane, count) in zip(members, panels.lanes(along, NEAR), strict=True):
        offset = (lane - (count - 1) / 2) * min(0.3, SPREAD / max(count - 1, 1))
        place = scale.value((ZERO + offset) * scale.share)
        yield member, Mark(place, place, place, zero=True)


def _draw(axes: Axes, points: list[Placed], looks: dict[str, Style]) -> None:
    held = {p.rule: p for p in points if p.kind == "conditional"}
    for p in points:
        look = looks[p.rule]
        panels.point(axes, look, p.x, p.y, filled=p.kind == "conditional")
        if p.kind == "marginal" and p.rule in held:
            axes.plot(
                [held[p.rule].x.place, p.x.place],
                [held[p.rule].y.place, p.y.place],
                color=look.colour,
                linewidth=0.7,
                alpha=0.6,
                zorder=1,
            )


def _keys(rows: pd.DataFrame, sketched: bool) -> list[Line2D]:
    def key(text: str, **look: object) -> Line2D:
        return Line2D([], [], **{"color": "0.3", "linestyle": "none", "label": text, **look})  # type: ignore[arg-type]

    keys = []
    if (rows["kind"] == "marginal").any():
        keys += [
            key("filled: feedback held", marker="o"),
            key("open: feedback redrawn", marker="o", markerfacecolor="white"),
        ]
    if (rows["state"] == "bounded").any():
        keys.append(key("upper bound (95 %)", marker=r"$\leftarrow$", markersize=8))
    if sketched:
        keys.append(
            key(
                "sketch, Richards et al. 2019",
                marker="s",
                color="0.88",
                markersize=7,
            )
        )
    return keys


def _caption(axis: str, rows: pd.DataFrame) -> str:
    what = {
        "raw": "the squared distance between its mean and the reference gradient",
        "scale_free": "what is left of its squared bias with the best scalar for each parameter",
    }[axis]
    parts = [
        "Bias and variance of gradient estimates, measured.",
        panels.averaged(rows),
        f"Across: {what}.",
        "Up: the trace of its covariance.",
        "Both are relative to the squared length of the reference gradient.",
        "The axes are logarithmic, with a strip for exact zeros beyond the break.",
    ]
    if (rows["kind"] == "marginal").any():
        parts.append(
            "Filled markers: random feedback held; open markers, joined by a line: the same rule "
            "with feedback redrawn for each estimate."
        )
    if (rows["state"] == "bounded").any():
        parts.append(
            "Arrows: the interval includes zero; the marker is at its upper end, the bound."
        )
    parts.append(
        "Grey: where Richards et al. 2019, Fig. 2, sketch the rules (no scale; '?' as there)."
    )
    return " ".join(parts)

"""The measured plane of bias and variance (Fig. 2 of Richards et al. 2019, which is a sketch)."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from plausibench.bench import registry
from plausibench.bench.report import panels, style
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError, choose

AXES = {"raw": "bias_squared", "scale_free": "scale_free_bias"}
LABELS = {
    "raw": r"squared bias $\|\mathrm{E}\,\hat{g} - g\|^2 / \|g\|^2$",
    "scale_free": "squared bias with the best scale for each parameter",
}
VARIANCE = r"variance $\mathrm{tr\,Cov}\,\hat{g}\, / \|g\|^2$"
SKETCH = "0.62"


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
    if rows.empty:
        raise InputError("frame: it holds no bias and variance to draw")
    looks = looks or style.styles(frame["rule"])
    across = panels.fit(rows[rows["quantity"] == bias])
    up = panels.fit(rows[rows["quantity"] == "variance"])
    columns, lines = sorted(rows["step"].unique()), panels.protocols_of(rows)
    rules = style.ordered(rows["rule"], looks)
    sketched = sketch(rules)
    with style.theme():
        width = style.COLUMN if len(columns) == 1 else style.PAGE
        height = {1: 2.5, 2: 2.9}.get(len(columns), 2.25)
        figure, part = style.canvas(
            width,
            0.25 + height * len(lines),
            [*map(style.handle, map(looks.__getitem__, rules)), *_keys(rows, bool(sketched))],
            panels.notes(units, rows),
        )
        grid = part.subplots(len(lines), len(columns), sharex=True, sharey=True, squeeze=False)
        for line, protocol in enumerate(lines):
            for column, step in enumerate(columns):
                axes = grid[line, column]
                across.apply(axes, "x")
                up.apply(axes, "y")
                _sketch(axes, sketched, looks, across, up)
                here = rows[(rows["protocol"] == protocol) & (rows["step"] == step)]
                _points(axes, here, bias, looks, across, up)
                name = style.LINES.get(protocol, protocol)
                panels.title(axes, f"{name}, {panels.step_title(step)}")
        part.supxlabel(LABELS[axis], fontsize=8)
        part.supylabel(VARIANCE, fontsize=8)
    return Picture("plane" if axis == "raw" else "plane-scale_free", figure, _caption(axis, rows))


def sketch(rules: Sequence[str]) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """Place (bias, variance) on the scale none, low, high, with the rules there.

    Returns
    -------
    dict
        Place to (selector, whether the figure questions it), for rules without options.
    """
    found: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    known = registry.entries("rule")
    for rule in rules:
        if rule in known:
            card = registry.find("rule", rule).card  # type: ignore[attr-defined]
            if card.expected is not None:
                found.setdefault(card.expected, []).append((rule, card.questioned))
    return found


def _sketch(
    axes: Axes,
    sketched: dict[tuple[str, str], list[tuple[str, bool]]],
    looks: dict[str, Style],
    across: Scale,
    up: Scale,
) -> None:
    """Faint regions with faint markers: the sketch has no scale, only none, low and high."""
    for (bias, variance), rules in sketched.items():
        left, right = _span(bias, across)
        bottom, top = _span(variance, up)
        axes.add_patch(
            FancyBboxPatch(
                (left, bottom),
                right - left,
                top - bottom,
                boxstyle="round,pad=0,rounding_size=0.03",
                transform=axes.transAxes,
                facecolor="0.93",
                edgecolor="none",
                zorder=-4,
            )
        )
        for number, (rule, questioned) in enumerate(rules):
            x, y = right - 0.055 - 0.085 * number, top - 0.06
            look = looks[rule]
            axes.plot(
                [x],
                [y],
                transform=axes.transAxes,
                marker=look.marker,
                markersize=4.5,
                color=look.colour,
                alpha=0.35,
                markeredgewidth=0,
                linestyle="none",
                zorder=-2,
            )
            if questioned:
                axes.text(
                    x,
                    y - 0.035,
                    "?",
                    transform=axes.transAxes,
                    color=SKETCH,
                    fontsize=style.SMALL,
                    ha="center",
                    va="top",
                    zorder=-2,
                )


def _span(place: str, scale: Scale) -> tuple[float, float]:
    middle = scale.share + (1 - scale.share) / 2
    return {
        "none": (0.015, max(scale.share * 0.84, 0.1)),
        "low": (0.015, middle - 0.015),
        "high": (middle + 0.015, 0.985),
    }[place]


def _points(
    axes: Axes,
    rows: pd.DataFrame,
    bias: str,
    looks: dict[str, Style],
    across: Scale,
    up: Scale,
) -> None:
    pairs = []
    for kind in ("conditional", "marginal"):
        of_kind = rows[rows["kind"] == kind]
        for rule in style.ordered(of_kind["rule"], looks):
            own = of_kind[of_kind["rule"] == rule].set_index("quantity")
            if bias in own.index and "variance" in own.index:
                x, y = panels.mark(own.loc[bias], across), panels.mark(own.loc["variance"], up)
                if x is not None and y is not None:
                    pairs.append((rule, kind, x, y))
    placed = _spread([(x, y) for _, _, x, y in pairs], across, up)
    where = {pair[:2]: marks for pair, marks in zip(pairs, placed, strict=True)}
    for (rule, kind), (x, y) in where.items():
        panels.point(axes, looks[rule], x, y, filled=kind == "conditional")
        other = where.get((rule, "marginal"))
        if kind == "conditional" and other is not None:
            axes.plot(
                [x.place, other[0].place],
                [y.place, other[1].place],
                color=looks[rule].colour,
                linewidth=0.7,
                alpha=0.6,
                zorder=1,
            )


def _spread(marks: list[tuple[Mark, Mark]], across: Scale, up: Scale) -> list[tuple[Mark, Mark]]:
    """Move markers that would hide each other apart, within the width of the strips."""
    spread = list(marks)
    flat = [n for n, (_, y) in enumerate(marks) if y.zero]
    upright = [n for n, (x, y) in enumerate(marks) if x.zero and not y.zero]
    for members, scale, along, other in ((flat, up, across, 0), (upright, across, up, 1)):
        places = [along.fraction(marks[n][other].place) for n in members]
        chosen = panels.lanes(places, 0.075)
        count = max(chosen, default=0) + 1
        for n, lane in zip(members, chosen, strict=True):
            x, y = spread[n]
            offset = 0.42 + (lane - (count - 1) / 2) * min(0.34, 0.68 / max(count - 1, 1))
            place = scale.value(offset * scale.share)
            moved = Mark(place, place, place, zero=True)
            spread[n] = (x, moved) if other == 0 else (moved, y)
    return spread


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
    seeds = int(rows["seeds"].max())
    over = f"means over {seeds} seeds with 95 % intervals (Student's t)"
    if seeds == 1:
        over = "one seed with 95 % intervals (jackknife)"
    what = {
        "raw": "the squared distance between its mean and the reference gradient",
        "scale_free": "what is left of its squared bias with the best scalar for each parameter",
    }[axis]
    parts = [
        f"Bias and variance of gradient estimates, measured ({over}).",
        f"Across: {what}. Up: the trace of its covariance. Both are relative to the squared "
        "length of the reference gradient, on logarithmic axes with a strip for exact zeros "
        "beyond the break.",
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

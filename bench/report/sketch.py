"""Where Richards et al. 2019, Fig. 2, sketch the rules: a faint layer behind measured points.

The figure has no scale. Rules declare their place in it as none, low or high on either axis,
and a region stands for each such place.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from plausibench.bench.components import registry
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import SMALL, Style
from plausibench.kernels.errors import choose
from plausibench.rules.rule import Rule

Places = dict[tuple[str, str], list[tuple[str, bool]]]

LEVELS = ("none", "low", "high")
GAP = 0.085
"""Between the faint markers of a region, as a share of the panel."""


class Box(NamedTuple):
    """A region in shares of the panel."""

    left: float
    bottom: float
    right: float
    top: float


class Ghost(NamedTuple):
    """A faint marker in shares of the panel."""

    look: Style
    questioned: bool
    x: float
    y: float


def places(rules: Iterable[str]) -> Places:
    """Place (bias, variance) of each rule without options that the figure shows.

    Returns
    -------
    dict
        Place to pairs (selector, whether the figure puts a question mark on it).

    Raises
    ------
    InputError
        If a card expects a place that is not on the scale.
    """
    found: Places = {}
    known = registry.entries("rule")
    for rule in rules:
        component = registry.find("rule", rule) if rule in known else None
        if component is not None and issubclass(component, Rule):
            card = component.card
            for level in card.expected or ():
                choose(f"card of {rule}, expected", level, LEVELS)
            if card.expected is not None:
                found.setdefault(card.expected, []).append((rule, card.questioned))
    return found


def layout(
    sketched: Places,
    looks: Mapping[str, Style],
    across: Scale,
    up: Scale,
    taken: Sequence[tuple[float, float]],
) -> tuple[list[Box], list[Ghost]]:
    """Regions, and faint markers in them as far as possible from the places ``taken``."""
    boxes, ghosts = [], []
    for (bias, variance), rules in sketched.items():
        (left, right), (bottom, top) = _span(bias, across), _span(variance, up)
        box = Box(left, bottom, right, top)
        boxes.append(box)
        for (rule, questioned), (x, y) in zip(rules, _row(box, rules, taken), strict=True):
            ghosts.append(Ghost(looks[rule], questioned, x, y))
    return boxes, ghosts


def draw(axes: Axes, boxes: Iterable[Box], ghosts: Iterable[Ghost]) -> None:
    """Draw the faint layer in one panel."""
    for left, bottom, right, top in boxes:
        axes.add_patch(
            FancyBboxPatch(
                (left, bottom),
                right - left,
                top - bottom,
                boxstyle="round,pad=0,rounding_size=0.03",
                transform=axes.transAxes,
                facecolor="0.5",
                alpha=0.13,
                edgecolor="none",
                zorder=-4,
            )
        )
    for look, questioned, x, y in ghosts:
        axes.plot(
            [x],
            [y],
            transform=axes.transAxes,
            marker=look.marker,
            markersize=4.5,
            color=look.colour,
            alpha=0.4,
            markeredgewidth=0,
            linestyle="none",
            zorder=-2,
        )
        if questioned:
            axes.text(
                x + 0.027,
                y,
                "?",
                transform=axes.transAxes,
                color="0.45",
                fontsize=SMALL,
                va="center",
                zorder=-2,
            )


def _span(place: str, scale: Scale) -> tuple[float, float]:
    middle = scale.share + (1 - scale.share) / 2
    return {
        "none": (0.015, max(0.9 * scale.share, 0.1) - 0.015),
        "low": (0.015, middle - 0.015),
        "high": (middle + 0.015, 0.985),
    }[place]


def _row(
    box: Box, rules: Sequence[tuple[str, bool]], taken: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Row of places in a box, clear of those taken; near the top right if it can."""
    count, questioned = len(rules), any(questioned for _, questioned in rules)
    length = GAP * (count - 1)
    margin = 0.05 if box.right - box.left > 0.2 else 0.03
    right = box.right - margin - (0.035 if questioned else 0.0)
    ends = np.linspace(right, box.left + margin + length, 9)
    heights = np.linspace(box.top - margin, box.bottom + margin, 9)
    rows = [
        [(float(end) - length + GAP * n, float(height)) for n in range(count)]
        for height in heights
        for end in ends
    ]

    def clear(row: list[tuple[float, float]]) -> float:
        gaps = [np.hypot(x - a, y - b) for x, y in row for a, b in taken]
        return float(min(gaps, default=1.0))

    return next((row for row in rows if clear(row) > 0.12), max(rows, key=clear))

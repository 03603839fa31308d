"""Names beside points: where each goes, so that none hides another or a point."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from plausibench.bench.report.style import SMALL

SIDES = (0, 180, 90, 270, 45, 135, 225, 315, 22, 158, 202, 338, 67, 113, 247, 293)
"""Directions from a point in which its name may stand, in degrees, the best first."""
DISTANCES = (7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0, 80.0, 100.0)
"""From a point to the nearest edge of its name, points of type."""
LINE = 1.25
"""Height of a line of type, in sizes of it."""
NEAR = 9.0
"""A name farther from its point than this is joined to it by a line."""
ROUNDS = 6
ALONG = np.linspace(0.05, 0.95, 19)[:, None]
"""Shares of a line at which it is seen whether it strikes a name."""


class Name(NamedTuple):
    """The box of a name, in points of type, and whether a line joins it to its point."""

    left: float
    bottom: float
    right: float
    top: float
    joined: bool


def size(text: str, points: float = SMALL) -> tuple[float, float]:
    """Width and height of a name of one or more lines, in points of type."""
    font = FontProperties(family="DejaVu Sans", size=points)
    measure = TextToPath().get_text_width_height_descent
    lines = text.split("\n")
    return max(measure(line, font, ismath=False)[0] for line in lines), LINE * points * len(lines)


def place(
    anchors: Sequence[tuple[float, float]],
    texts: Sequence[str],
    room: tuple[float, float],
    taken: Sequence[tuple[float, float]] = (),
) -> list[Name]:
    """Find a place for the name of each point.

    Every name takes the place where it costs least: hiding another name costs most, then a
    point, then crossing or being crossed by the lines to other names, then distance. The search
    goes over all names a few times, so that the early ones make way.

    Parameters
    ----------
    anchors
        The points, in points of type from the lower left corner of the panel.
    texts
        Their names.
    room
        Width and height of the panel; no name leaves it.
    taken
        Further points that should stay visible.

    Returns
    -------
    list of Name
    """
    marks = np.array([*anchors, *taken], dtype=float).reshape(-1, 2)
    points = np.array(anchors, dtype=float).reshape(-1, 2)
    possible = [
        _candidates(point, size(text), room) for point, text in zip(points, texts, strict=True)
    ]
    alone = [_alone(boxes, point, marks) for boxes, point in zip(possible, points, strict=True)]
    # Which name is placed first matters: each has its turn, and the best of all is kept.
    tries = [_settled(points, possible, alone, first) for first in range(len(points))]
    _, best = min(tries, key=lambda tried: tried[0], default=(0.0, []))
    names = []
    for n, boxes, point in zip(best, possible, points, strict=True):
        left, bottom, right, top = map(float, boxes[n])
        names.append(Name(left, bottom, right, top, bool(_apart(boxes[n], point) > NEAR)))
    return names


def _settled(
    points: np.ndarray, possible: Sequence[np.ndarray], alone: Sequence[np.ndarray], first: int
) -> tuple[float, list[int]]:
    """Cost and places of all names, of which one was placed first."""
    count = len(points)
    chosen: dict[int, int] = {}

    def costs(index: int, boxes: np.ndarray) -> np.ndarray:
        others = [n for n in chosen if n != index]
        if not others:
            return np.zeros(len(boxes))
        theirs = np.array([possible[n][chosen[n]] for n in others])
        return _among(boxes, points[index], theirs, points[others])

    for _ in range(ROUNDS):
        before = dict(chosen)
        for index in [(first + n) % count for n in range(count)]:
            chosen[index] = int(np.argmin(alone[index] + costs(index, possible[index])))
        if chosen == before:
            break
    places = [chosen[n] for n in range(count)]
    total = sum(
        alone[n][place] + costs(n, possible[n][[place]])[0] for n, place in enumerate(places)
    )
    return float(total), places


def _candidates(
    point: np.ndarray, extent: tuple[float, float], room: tuple[float, float]
) -> np.ndarray:
    """Boxes ``(C, 4)`` in which a name may stand: left, bottom, right, top."""
    distance, side = (grid.ravel() for grid in np.meshgrid(DISTANCES, SIDES, indexing="ij"))
    ways = np.stack([np.cos(np.radians(side)), np.sin(np.radians(side))], axis=1)
    spread = np.array(extent)
    corners = point + ways * (distance[:, None] + spread / 2) - spread / 2
    corners = np.clip(corners, 1, np.maximum(np.array(room) - spread - 1, 1))
    return np.concatenate([corners, corners + spread], axis=1)


def _alone(boxes: np.ndarray, point: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """What each place costs by itself ``(C,)``: its distance, and the points that it hides."""
    far = _apart(boxes, point)
    hidden = (_apart(boxes[:, None], marks) < 4.0).sum(axis=1)
    elsewhere = np.hypot(*(marks - point).T) > 0.5
    passed = (_near(point, _ends(boxes, point), marks) & elsewhere).sum(axis=1)
    return np.asarray(far + 250.0 * hidden + 60.0 * np.where(far > NEAR, passed, 0))


def _among(
    boxes: np.ndarray, point: np.ndarray, theirs: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """What each place costs beside the names in other boxes ``(O, 4)``, of other points."""
    low = np.maximum(boxes[:, None, :2], theirs[:, :2])
    shared = np.minimum(boxes[:, None, 2:], theirs[:, 2:]) - low + (2, 0.5)
    cost = np.where((shared > 0).all(axis=2), 1000.0 + shared.prod(axis=2), 0.0)
    ends, their_ends = _ends(boxes, point), _ends(theirs, points)
    crossing = _cross(point, ends[:, None], points, their_ends)
    struck = _within(boxes[:, None, None], _along(points, their_ends)).any(axis=2)
    striking = _within(theirs[:, None], _along(point, ends)[:, None]).any(axis=2)
    lines = crossing.astype(int) + struck + striking
    return np.asarray((cost + 300.0 * lines).sum(axis=1))


def _ends(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where the lines from points end at their names; see :func:`end`."""
    return np.clip(points, boxes[..., :2] + (0, 1), boxes[..., 2:] - (0, 1))


def end(name: Name, anchor: tuple[float, float]) -> tuple[float, float]:
    """Where the line from a point ends at its name."""
    return (
        float(np.clip(anchor[0], name.left, name.right)),
        float(np.clip(anchor[1], name.bottom + 1, name.top - 1)),
    )


def _apart(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to boxes; 0 within."""
    apart = np.maximum(np.maximum(boxes[..., :2] - points, points - boxes[..., 2:]), 0)
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]))


def _within(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether boxes hold points."""
    x, y = points[..., 0], points[..., 1]
    inside = (boxes[..., 0] <= x) & (x <= boxes[..., 2])
    return np.asarray(inside & (boxes[..., 1] <= y) & (y <= boxes[..., 3]))


def _along(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Points along each line, ``(..., 19, 2)``."""
    starts, ends = np.broadcast_arrays(starts, ends)
    return np.asarray(starts[..., None, :] * (1 - ALONG) + ends[..., None, :] * ALONG)


def _near(start: np.ndarray, ends: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each line from a point passes through the markers of points, ``(lines, points)``."""
    way = ends - start
    length = np.maximum((way**2).sum(axis=1), 1e-12)
    share = np.clip(way @ (points - start).T / length[:, None], 0, 1)
    apart = points - start - share[..., None] * way[:, None]
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]) < 4.0)


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether lines from ``a`` to ``b`` cross those from ``c`` to ``d``."""

    def turn(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        u, v = q - p, r - p
        return np.asarray(u[..., 0] * v[..., 1] > u[..., 1] * v[..., 0])

    return np.asarray((turn(a, b, c) != turn(a, b, d)) & (turn(c, d, a) != turn(c, d, b)))

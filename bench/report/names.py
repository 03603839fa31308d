"""Names beside points: where each goes, so that none hides another or a point."""

from collections.abc import Iterator, Sequence
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
    possible = [
        list(_candidates(anchor, size(text), room))
        for anchor, text in zip(anchors, texts, strict=True)
    ]
    # Which name is placed first matters: each has its turn, and the best of all is kept.
    alone = [
        [_cost(name, anchor, (), marks) for name in places]
        for anchor, places in zip(anchors, possible, strict=True)
    ]
    tries = [_settled(anchors, possible, alone, marks, first) for first in range(len(anchors))]
    return min(tries, key=lambda names: _total(anchors, names, marks), default=[])


def _settled(
    anchors: Sequence[tuple[float, float]],
    possible: Sequence[Sequence[Name]],
    alone: Sequence[Sequence[float]],
    marks: np.ndarray,
    first: int,
) -> list[Name]:
    count = len(anchors)
    chosen: dict[int, Name] = {}
    for _ in range(ROUNDS):
        before = dict(chosen)
        for index in [(first + n) % count for n in range(count)]:
            others = [(anchors[n], name) for n, name in chosen.items() if n != index]
            least = np.inf
            for name, bound in zip(possible[index], alone[index], strict=True):
                # Other names only add to what a place costs by itself.
                if bound < least:
                    cost = _cost(name, anchors[index], others, marks)
                    if cost < least:
                        least, chosen[index] = cost, name
        if chosen == before:
            break
    return [chosen[index] for index in range(count)]


def _total(
    anchors: Sequence[tuple[float, float]], names: Sequence[Name], marks: np.ndarray
) -> float:
    placed = list(zip(anchors, names, strict=True))
    return sum(
        _cost(name, anchor, placed[:n] + placed[n + 1 :], marks)
        for n, (anchor, name) in enumerate(placed)
    )


def _candidates(
    anchor: tuple[float, float], extent: tuple[float, float], room: tuple[float, float]
) -> Iterator[Name]:
    (x, y), (width, height) = anchor, extent
    for distance in DISTANCES:
        for side in SIDES:
            across, up = np.cos(np.radians(side)), np.sin(np.radians(side))
            middle = x + across * (distance + width / 2), y + up * (distance + height / 2)
            left = float(np.clip(middle[0] - width / 2, 1, max(room[0] - width - 1, 1)))
            bottom = float(np.clip(middle[1] - height / 2, 1, max(room[1] - height - 1, 1)))
            box = Name(left, bottom, left + width, bottom + height, False)
            yield box._replace(joined=bool(_apart(box, np.array([[x, y]]))[0] > NEAR))


def _cost(
    name: Name,
    anchor: tuple[float, float],
    others: Sequence[tuple[tuple[float, float], Name]],
    marks: np.ndarray,
) -> float:
    cost = float(_apart(name, np.array([anchor]))[0])
    cost += 250.0 * float((_apart(name, marks) < 4.0).sum())
    if name.joined:
        passed = _near((anchor, end(name, anchor)), marks)
        cost += 60.0 * float((passed & (np.hypot(*(marks - anchor).T) > 0.5)).sum())
    for point, other in others:
        across = min(name.right, other.right) - max(name.left, other.left) + 2
        up = min(name.top, other.top) - max(name.bottom, other.bottom) + 0.5
        if across > 0 and up > 0:
            cost += 1000.0 + across * up
        mine, theirs = (anchor, end(name, anchor)), (point, end(other, point))
        cost += 300.0 * (_crosses(mine, theirs) + _hit(theirs, name) + _hit(mine, other))
    return cost


def end(name: Name, anchor: tuple[float, float]) -> tuple[float, float]:
    """Where the line from a point ends at its name."""
    return (
        float(np.clip(anchor[0], name.left, name.right)),
        float(np.clip(anchor[1], name.bottom + 1, name.top - 1)),
    )


def _apart(name: Name, points: np.ndarray) -> np.ndarray:
    """Distance of points to a box; 0 within."""
    across = np.maximum(np.maximum(name.left - points[:, 0], points[:, 0] - name.right), 0)
    up = np.maximum(np.maximum(name.bottom - points[:, 1], points[:, 1] - name.top), 0)
    return np.asarray(np.hypot(across, up))


def _hit(line: tuple[tuple[float, float], tuple[float, float]], name: Name) -> bool:
    """Whether a line passes through a box."""
    along = np.linspace(0.05, 0.95, 19)[:, None]
    points = np.array(line[0]) * (1 - along) + np.array(line[1]) * along
    return bool((_apart(name, points) == 0).any())


def _near(line: tuple[tuple[float, float], tuple[float, float]], points: np.ndarray) -> np.ndarray:
    """Whether a line passes through the markers of points."""
    start, way = np.array(line[0]), np.array(line[1]) - np.array(line[0])
    share = np.clip((points - start) @ way / max(float(way @ way), 1e-12), 0, 1)
    return np.asarray(np.hypot(*(points - start - share[:, None] * way).T) < 4.0)


def _crosses(
    one: tuple[tuple[float, float], tuple[float, float]],
    two: tuple[tuple[float, float], tuple[float, float]],
) -> bool:
    """Whether two lines cross."""
    (a, b), (c, d) = one, two

    def turn(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> bool:
        return (q[0] - p[0]) * (r[1] - p[1]) > (q[1] - p[1]) * (r[0] - p[0])

    return turn(a, b, c) != turn(a, b, d) and turn(c, d, a) != turn(c, d, b)

"""The performance surface: explained variance over neurons and images, and plans made from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausibench.kernels.errors import InputError, integer, number, refusal

Array = np.ndarray

STORED = Path(__file__).with_name("surface.csv")
"""The surface that ships: that of ``plausibench run identification``."""
COLUMNS = ("neurons", "samples", "explained_variance", "low", "high", "seeds")
FINE = 257
"""Lengths of a recording that are tried, between the shortest and the longest."""


@dataclass(frozen=True)
class Plan:
    """A recording, and what it lets one identify.

    Attributes
    ----------
    neurons
        Recorded together.
    samples
        Images shown.
    value, low, high
        Explained variance with its 95 % interval, interpolated.
    """

    neurons: int
    samples: int
    value: float
    low: float
    high: float

    @property
    def data(self) -> int:
        """Neurons times images."""
        return self.neurons * self.samples


@dataclass(frozen=True, eq=False)
class Surface:
    """Explained variance on a grid, between whose points it is linear in the logarithms.

    Attributes
    ----------
    neurons, samples
        Increasing, ``(n,)`` and ``(d,)``.
    values, low, high
        Means over seeds with 95 % intervals, ``(n, d)``.
    seeds
        How many.
    """

    neurons: Array
    samples: Array
    values: Array
    low: Array
    high: Array
    seeds: int

    def at(self, neurons: int, samples: int) -> Plan:
        """What a recording lets one identify.

        Raises
        ------
        InputError
            If it lies outside of the surface.
        """
        self._within("neurons", neurons, self.neurons)
        self._within("samples", samples, self.samples)
        means = (self._interpolated(grid, neurons, [samples])[0] for grid in self._grids)
        return Plan(neurons, samples, *map(float, means))

    def best(
        self, neurons: int | None = None, samples: int | None = None, budget: int | None = None
    ) -> Plan:
        """The recording with the most explained variance, of several the one with least data.

        Parameters
        ----------
        neurons, samples
            The most that can be recorded together, and shown; by default what the surface knows.
            More than it knows is more than is needed for what it promises.
        budget
            The most neurons times images.

        Raises
        ------
        InputError
            If a limit is not allowed, or nothing on the surface keeps it.
        """
        plans = self._allowed(neurons, samples, budget)
        return max(plans, key=lambda plan: (plan.value, -plan.data))

    def shortest(
        self,
        goal: float,
        neurons: int | None = None,
        samples: int | None = None,
        budget: int | None = None,
    ) -> Plan | None:
        """The recording of fewest images that reaches ``goal``; None if there is none.

        Of as many images, it is the one of fewest neurons.

        Raises
        ------
        InputError
            As for :meth:`best`, and if the goal is no share.
        """
        goal = number("goal", goal, above=0, below=1)
        plans = [p for p in self._allowed(neurons, samples, budget) if p.value >= goal]
        return min(plans, key=lambda plan: (plan.samples, plan.neurons), default=None)

    @property
    def _grids(self) -> tuple[Array, Array, Array]:
        return self.values, self.low, self.high

    def _allowed(self, neurons: int | None, samples: int | None, budget: int | None) -> list[Plan]:
        together = self._most("neurons", neurons, self.neurons)
        longest = self._most("samples", samples, self.samples)
        integer("budget", 1 if budget is None else budget, least=1)
        found: list[Plan] = []
        known = {int(count) for count in self.neurons if count <= together}
        for count in sorted(known.union(_spaced(int(self.neurons[0]), together, 65))):
            most = longest if budget is None else min(longest, budget // count)
            if most >= self.samples[0]:
                shown = _spaced(int(self.samples[0]), most, FINE)
                means = [self._interpolated(grid, count, shown) for grid in self._grids]
                found += [
                    Plan(count, n, *map(float, ends))
                    for n, *ends in zip(shown, *means, strict=True)
                ]
        if not found:
            least = int(self.neurons[0] * self.samples[0])
            raise refusal("budget", budget, f"at least {least}, the least that the surface knows")
        return found

    def _most(self, field: str, given: int | None, known: Array) -> int:
        least, most = int(known[0]), int(known[-1])
        if given is None:
            return most
        if integer(field, given, least=1) < least:
            raise refusal(field, given, f"at least {least}, the least that the surface knows")
        return min(given, most)

    def _within(self, field: str, value: int, known: Array) -> None:
        integer(field, value, least=int(known[0]), most=int(known[-1]))

    def _interpolated(self, grid: Array, neurons: int, samples: list[int]) -> Array:
        """Values of a grid for a number of neurons and several of images."""
        row = grid[0]  # of a surface with one number of neurons
        if len(self.neurons) > 1:
            above = int(np.searchsorted(self.neurons, neurons).clip(1, len(self.neurons) - 1))
            low, high = np.log(self.neurons[above - 1 : above + 1])
            share = (np.log(neurons) - low) / (high - low)
            row = (1 - share) * grid[above - 1] + share * grid[above]
        return np.interp(np.log(samples), np.log(self.samples), row)


def _spaced(first: int, last: int, count: int) -> list[int]:
    """Whole numbers from first to last, evenly on a logarithmic scale."""
    return sorted({round(x) for x in np.geomspace(first, last, count)})


def read_surface(path: Path) -> Surface:
    """Read a surface from its table.

    Raises
    ------
    InputError
        If the file is missing, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"surface: there is no {path}; plausibench run identification writes it")
    try:
        text = path.read_text(encoding="utf-8-sig")
        head, *lines = text.strip().splitlines()
        rows = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    except (OSError, ValueError) as error:
        raise InputError(f"surface: {path} is no table of numbers that can be read") from error
    if tuple(head.split(",")) != COLUMNS or rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
        raise InputError(f"surface: {path} does not have the columns {', '.join(COLUMNS)}")
    neurons, samples = (np.unique(rows[:, column]).astype(np.int64) for column in (0, 1))
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    grid = [(n, d) for n in neurons for d in samples]
    placed = rows[order, :2]
    if len(np.unique(placed, axis=0)) < len(placed):
        raise InputError(f"surface: {path} has a pair of neurons and images twice")
    if len(rows) != len(grid) or not (placed == np.array(grid)).all():
        raise InputError(
            f"surface: {path} is not complete: it has {len(rows)} values for {len(neurons)} "
            f"numbers of neurons and {len(samples)} of images, which are {len(grid)} pairs"
        )
    if not np.isfinite(rows[:, :3]).all() or not (rows[:, :2] >= 1).all():
        raise InputError(
            f"surface: {path} holds a value that is not finite, or numbers of neurons or images "
            "that are not positive"
        )
    shape = len(neurons), len(samples)
    values, low, high = (rows[order, column].reshape(shape) for column in (2, 3, 4))
    return Surface(neurons, samples, values, low, high, int(rows[:, 5].min()))

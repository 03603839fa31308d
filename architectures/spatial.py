"""Recurrent networks whose neurons have places, and what swaps of places do to their wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from plausibench.architectures.recurrent import RecurrentNetwork
from plausibench.kernels.compiled import kernel
from plausibench.kernels.places import distances

Array = np.ndarray

LEAST = 1e-12
"""A swap that saves a smaller share of all wire is not made: it may be rounding."""


@dataclass(frozen=True, eq=False, repr=False)
class SpatialNetwork(RecurrentNetwork):
    """A recurrent network whose neurons lie in the unit square.

    Parameters
    ----------
    places
        ``(N, 2)`` for each population that lies there, inputs and outputs included if they do.
    """

    places: Mapping[str, Array] = field(repr=False)

    @cached_property
    def distances(self) -> dict[str, Array]:
        """Length of every connection of a projection both of whose ends have places."""
        return {
            p.name: distances(self.places[p.target], self.places[p.source])
            for p in self.projections
            if p.target in self.places and p.source in self.places
        }

    def wire(self, population: str) -> "Wire":
        """What the length of wire depends on when neurons of a population change places."""
        own = self.places[population]
        shape = (len(own), len(own))
        coupling, outside = np.zeros(shape), np.zeros(shape)
        for p in self.projections:
            if p.name not in self.distances or population not in (p.target, p.source):
                continue
            weights = np.abs(self.parameters[p.name])
            if p.source == p.target:
                coupling += weights + weights.T
            elif p.target == population:
                outside += weights @ distances(self.places[p.source], own)
            else:
                outside += weights.T @ distances(self.places[p.target], own)
        return Wire(coupling, distances(own, own), outside)


@dataclass(frozen=True)
class Wire:
    """The wire of a population, as a function of where each of its neurons is.

    Attributes
    ----------
    coupling
        ``|W| + |W|^T`` of its weights onto itself, ``(N, N)``.
    distances
        Between its places, ``(N, N)``.
    outside
        Length of wire to other populations that neuron i would have at place p, ``(N, N)``.
    """

    coupling: Array
    distances: Array
    outside: Array

    @property
    def length(self) -> float:
        """Length of all wire, each synapse weighted by its ``|w|``; neuron i is at place i."""
        return float((self.coupling * self.distances).sum() / 2 + np.trace(self.outside))

    def changes(self) -> Array:
        """Change of the length by every swap of two neurons, ``(N, N)``; 0 on the diagonal.

        One matrix product gives all of them.
        """
        table = np.empty_like(self.coupling)
        _changes(self.coupling, self.distances, self._at_places(), table)
        return table

    def swaps(self, most: int) -> tuple[Array, int]:
        """Make the swap that saves most wire, again and again, until none saves any.

        Parameters
        ----------
        most
            Number of swaps after which to stop.

        Returns
        -------
        order
            The neuron that is at each place in the end, ``(N,)``.
        count
            Number of swaps.
        """
        coupling, order = self.coupling.copy(), np.arange(len(self.coupling))
        least = LEAST * self.length
        count = _swap(coupling, self.distances, self._at_places(), order, most, least)
        return order, count

    def _at_places(self) -> Array:
        """Length of all wire that neuron i would have at place p while the others stay."""
        return self.coupling @ self.distances + self.outside


@kernel
def _change(coupling: Array, distances: Array, cost: Array, j: int, k: int) -> float:
    both = coupling[j, j] + coupling[k, k] - coupling[j, k] - coupling[k, j]
    moved = cost[j, k] + cost[k, j] - cost[j, j] - cost[k, k]
    return moved - distances[j, k] * both


@kernel
def _changes(coupling: Array, distances: Array, cost: Array, table: Array) -> None:
    for j in range(len(table)):
        table[j, j] = 0.0
        for k in range(j):
            table[j, k] = table[k, j] = _change(coupling, distances, cost, j, k)


@kernel
def _swap(
    coupling: Array, distances: Array, cost: Array, order: Array, most: int, least: float
) -> int:
    """Swap in place; ``cost`` follows by rank 2 what the rows and columns j and k do."""
    size = len(order)
    for count in range(most):
        best, first, second = -least, 0, 0
        for j in range(size):
            for k in range(j):
                change = _change(coupling, distances, cost, j, k)
                if change < best:
                    best, first, second = change, j, k
        if first == second:
            return count
        j, k = first, second
        for i in range(size):
            extra = coupling[i, k] - coupling[i, j]
            for p in range(size):
                cost[i, p] += extra * (distances[j, p] - distances[k, p])
        _exchange(cost, j, k)
        _exchange(coupling, j, k)
        _exchange(coupling.T, j, k)
        order[j], order[k] = order[k], order[j]
    return most


@kernel
def _exchange(rows: Array, j: int, k: int) -> None:
    for i in range(rows.shape[1]):
        rows[j, i], rows[k, i] = rows[k, i], rows[j, i]

"""Cost of wire: long connections cost more than short ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import InputError, flag, number, refusal, sizes
from plausibench.kernels.places import INPUT_EDGE, OUTPUT_EDGE, distances, edge, grid, grid_shape
from plausibench.objectives.objective import Array, Penalty

RECURRENT, FORWARD = ".recurrent", ".weights"


@dataclass(frozen=True)
class WiringCost(Penalty):
    """Sum of |w| times the cost of the connection, for dense weights (Liu et al. 2023).

    A connection costs ``base + distance * d`` with d its length. By default the neurons of each
    layer are spread evenly, in their order, on a line of length 1, and the lines of successive
    layers lie beside each other. With a grid, the neurons of a recurrent layer lie on it in the
    unit square, as in ``spatial_rnn``; weights from inputs and to outputs cost ``uniform``, or
    like the others where inputs and outputs lie on two edges of the square.

    Parameters
    ----------
    gap
        Distance between the lines.
    grid
        Rows and columns; by default there are lines.
    base
        Cost of a connection of no length.
    distance
        Cost of a unit of length; with 0, and the rest 1, the cost is the L1 norm.
    uniform
        Cost of connections with the outside of a grid.
    edges
        Whether inputs lie on the left edge of a grid's square and outputs on the right one.
    """

    gap: float = 0.0
    grid: Sequence[int] | None = None
    base: float = 0.0
    distance: float = 1.0
    uniform: float = 0.0
    edges: bool = False

    summary: ClassVar[str] = "absolute weights times the length of their connection"
    cites: ClassVar[str] = "Liu, Khona, Fiete & Tegmark 2023"
    equation: ClassVar[str] = "F = sum_ij |w_ij| (base + distance d_ij)"

    def __post_init__(self) -> None:
        for name in ("gap", "base", "distance", "uniform"):
            number(name, getattr(self, name), least=0)
        flag("edges", self.edges)
        if self.grid is not None:
            shape = sizes("grid", self.grid)
            if len(shape) != 2:
                raise refusal("grid", self.grid, "a pair of rows and columns")
            object.__setattr__(self, "grid", shape)
        elif self.edges:
            raise InputError("edges: inputs and outputs lie on edges of a grid; name the grid too")

    def penalty(self, parameters: Mapping[str, Array]) -> float:
        costs = self.costs(parameters)
        return float(sum((np.abs(parameters[name]) * cost).sum() for name, cost in costs.items()))

    def penalty_gradient(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        costs = self.costs(parameters)
        return {name: np.sign(parameters[name]) * cost for name, cost in costs.items()}

    def costs(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Cost of a unit of each weight of every matrix.

        Raises
        ------
        InputError
            If there is a grid and not one recurrent layer that it holds.
        """
        matrices = {name: array for name, array in parameters.items() if array.ndim == 2}
        if self.grid is None:
            lengths = {name: _between_lines(self.gap, *a.shape) for name, a in matrices.items()}
        else:
            lengths = self._on_grid(matrices, self.grid)
        return {
            name: self._cost(lengths.get(name), array).astype(array.dtype, copy=False)
            for name, array in matrices.items()
        }

    def _cost(self, lengths: Array | None, weights: Array) -> Array:
        if lengths is None:
            return np.full(weights.shape, self.uniform)
        return self.base + self.distance * lengths

    def _on_grid(self, matrices: Mapping[str, Array], shape: Sequence[int]) -> dict[str, Array]:
        """Lengths of the connections both of whose ends have places."""
        layers = [name.removesuffix(RECURRENT) for name in matrices if name.endswith(RECURRENT)]
        if len(layers) != 1:
            raise InputError(
                f"wiring_cost: a grid is for networks with one recurrent layer, and this one has "
                f"{len(layers)}"
            )
        (layer,) = layers
        neurons = len(matrices[layer + RECURRENT])
        rows, columns = grid_shape("grid", shape, neurons)
        lengths = {layer + RECURRENT: _within_grid(rows, columns)}
        if self.edges:
            own = grid(rows, columns)
            for name, weights in matrices.items():
                if name == layer + FORWARD:
                    lengths[name] = distances(own, edge(weights.shape[1], INPUT_EDGE))
                elif name not in lengths:
                    lengths[name] = distances(edge(len(weights), OUTPUT_EDGE), own)
        return lengths


@lru_cache(maxsize=64)
def _between_lines(gap: float, outputs: int, inputs: int) -> Array:
    above, below = ((np.arange(n) + 0.5) / n for n in (outputs, inputs))
    lengths: Array = np.hypot(gap, above[:, None] - below)
    lengths.flags.writeable = False  # it is shared
    return lengths


@lru_cache(maxsize=64)
def _within_grid(rows: int, columns: int) -> Array:
    places = grid(rows, columns)
    lengths = distances(places, places)
    lengths.flags.writeable = False
    return lengths

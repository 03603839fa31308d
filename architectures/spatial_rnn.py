"""Recurrent network of leaky rates on a grid in the unit square."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from plausibench.architectures.network import INPUT
from plausibench.architectures.recurrent import recurrent_layers
from plausibench.architectures.recurrent_options import RateLayers
from plausibench.architectures.spatial import SpatialNetwork
from plausibench.kernels.errors import InputError, flag, sizes
from plausibench.kernels.places import INPUT_EDGE, OUTPUT_EDGE, edge, grid, grid_shape

SQUARE = (36,)
"""Neurons in the plane where neither they nor a grid are named."""


@dataclass(frozen=True)
class SpatialRnn(RateLayers):
    """Leaky rates with recurrent connections, one at each place of a grid, and a readout.

    What a connection costs is the business of an objective, ``wiring_cost``. There is one layer;
    for the other options see :class:`~plausibench.architectures.recurrent_options.RateLayers`.

    Parameters
    ----------
    grid
        Rows and columns of the grid, as many places as neurons; by default a square.
    edges
        Whether inputs lie on the left edge of the square and outputs on the right one; else they
        have no place.
    """

    grid: Sequence[int] | None = None
    edges: bool = False

    summary: ClassVar[str] = "leaky rates with recurrent connections, on a grid in a plane"
    equation: ClassVar[str] = (
        "h_t = (1 - k) h_(t-1) + k f(W_rec h_(t-1) + W_in x_t + b),  y_t = W_out h_t + c;  "
        "neuron i is at r_i in the unit square"
    )
    cites: ClassVar[str] = "Liu, Khona, Fiete & Tegmark 2023"

    def __post_init__(self) -> None:
        layers = sizes("sizes", self.sizes, fewest=3)
        if len(layers) > 3:
            raise InputError(
                f"sizes: {len(layers) - 2} recurrent layers do not lie in one plane; allowed is "
                "one between inputs and outputs"
            )
        object.__setattr__(self, "grid", grid_shape("grid", self.grid, layers[1]))
        flag("edges", self.edges)
        super().__post_init__()

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """One layer, of as many neurons as the grid has places."""
        grid = options.get("grid")
        return SQUARE if grid is None else (prod(sizes("grid", grid)),)

    def build(self, seed: int = 0) -> SpatialNetwork:
        plain = recurrent_layers(
            "spatial_rnn",
            self.sizes,
            self.neurons,
            bias=self.bias,
            recurrence=self.recurrence,
            initial=self.initial,
            steps=self.steps,
            seed=seed,
        )
        layer, readout = plain.populations
        assert self.grid is not None, "the grid is a square by default"
        places = {layer.name: grid(*self.grid)}
        if self.edges:
            places |= {
                INPUT: edge(plain.inputs, INPUT_EDGE),
                readout.name: edge(readout.size, OUTPUT_EDGE),
            }
        return SpatialNetwork(
            plain.architecture,
            plain.inputs,
            plain.populations,
            plain.projections,
            plain.parameters,
            plain.steps,
            places,
        )

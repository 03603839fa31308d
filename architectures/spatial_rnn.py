"""Recurrent network of leaky rates on a grid in the unit square."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.architecture import Architecture
from plausibench.architectures.network import INPUT
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.recurrent import recurrent_layers
from plausibench.architectures.spatial import SpatialNetwork
from plausibench.architectures.temporal import Leaky
from plausibench.kernels.errors import InputError, flag, sizes
from plausibench.kernels.places import INPUT_EDGE, OUTPUT_EDGE, edge, grid, grid_shape


@dataclass(frozen=True)
class SpatialRnn(Architecture):
    """Leaky rates with recurrent connections, one at each place of a grid, and a readout.

    What a connection costs is the business of an objective, ``wiring_cost``.

    Parameters
    ----------
    sizes
        Units from inputs over one recurrent layer to outputs, for example ``[4, 49, 2]``.
    grid
        Rows and columns of the grid, as many places as neurons; by default a square.
    edges
        Whether inputs lie on the left edge of the square and outputs on the right one; else they
        have no place.
    activation
        Of the recurrent layer: tanh, relu, softplus, identity or sigmoid.
    output
        Activation of the readout.
    leak
        Share of a rate that a step replaces: the time step over the time constant; 1 has no leak.
    leaking
        ``rate``, h_t = (1 - k) h_(t-1) + k f(u_t), or ``potential``, f of the leaking drive.
    recurrence
        Strength of the first recurrent weights: their spectral radius, roughly.
    initial
        First recurrent weights: ``gaussian``, ``orthogonal`` or ``identity``.
    bias
        Whether neurons have a bias.
    steps
        Time steps for which inputs without a time axis are shown.
    """

    sizes: Sequence[int]
    grid: Sequence[int] | None = None
    edges: bool = False
    activation: str = "tanh"
    output: str = "identity"
    leak: float = 0.5
    leaking: str = "rate"
    recurrence: float = 1.0
    initial: str = "gaussian"
    bias: bool = True
    steps: int = 5

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
        object.__setattr__(self, "sizes", layers)
        object.__setattr__(self, "grid", grid_shape("grid", self.grid, layers[1]))
        flag("edges", self.edges)
        flag("bias", self.bias)
        Pointwise(self.output)
        # Refuses what does not fit, before any network is asked for.
        self.build()

    def build(self, seed: int = 0) -> SpatialNetwork:
        plain = recurrent_layers(
            "spatial_rnn",
            self.sizes,
            [Leaky(self.activation, self.leak, self.leaking), Pointwise(self.output)],
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

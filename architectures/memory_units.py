"""Memory units beside regular ones: what an input's changes leave behind is kept for a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.architecture import HIDDEN, Architecture
from plausibench.architectures.network import CONSTANT, INPUT, Population, Projection
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.architectures.recurrent import RecurrentNetwork, delayed
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, Synapse
from plausibench.architectures.temporal import State, Temporal
from plausibench.kernels.errors import choose, flag, integer, refusal, sizes
from plausibench.kernels.streams import generator

Array = np.ndarray

TRANSIENT = "transient"
"""Source of what an input has just gained, and of what it has just lost, one after the other."""


@dataclass(frozen=True)
class Integrator(Temporal):
    r"""Neurons that add up their drive in a trial: :math:`x_t = x_{t-1} + u_t,\ h_t = f(x_t)`.

    Parameters
    ----------
    activation
        f: identity, tanh, sigmoid, relu or softplus.
    """

    activation: str = "sigmoid"

    traces: ClassVar[tuple[str, ...]] = ("slope",)

    def __post_init__(self) -> None:
        Pointwise(self.activation)

    @property
    def gain(self) -> float:
        """As for pointwise neurons of the same activation."""
        return Pointwise(self.activation).gain

    def rest(self, shape: tuple[int, ...], dtype: np.dtype) -> State:
        return {"sum": np.zeros(shape, dtype)}

    def step(self, state: State, drive: Array, traces: Mapping[str, Array]) -> Array:
        function = Pointwise(self.activation)
        state["sum"] += drive
        activity = function.activate(state["sum"])
        traces["slope"][...] = function.slope(state["sum"], activity)
        return activity

    def slopes(self, drive: Array, traces: Mapping[str, Array]) -> tuple[Array, ...]:
        return (traces["slope"],)

    def adjoint_step(self, slopes: tuple[Array, ...], signal: Array, carried: State) -> Array:
        carried["sum"] = carried.get("sum", 0.0) + slopes[0] * signal
        return carried["sum"]

    def tangent_step(self, slopes: tuple[Array, ...], change: Array, moved: State) -> Array:
        moved["sum"] = moved.get("sum", 0.0) + change
        return slopes[0] * moved["sum"]


@dataclass(frozen=True, eq=False, repr=False)
class MemoryNetwork(RecurrentNetwork):
    """A network in time whose inputs are also shown as what they gain and lose in a step."""

    given: ClassVar[tuple[str, ...]] = (INPUT, CONSTANT, TRANSIENT)

    def _shown(self, inputs: Array) -> dict[str, Array]:
        shown = super()._shown(inputs)
        change = shown[INPUT] - delayed(shown[INPUT], len(inputs))
        parts = (np.maximum(change, 0), np.maximum(-change, 0))
        return {**shown, TRANSIENT: np.concatenate(parts, axis=-1)}


@dataclass(frozen=True)
class MemoryUnits(Architecture):
    """Regular units and memory units between inputs and action values (Rombouts et al. 2015).

    Regular units see the present input. Memory units see what each input has just gained, and
    what it has just lost, by synapses of their own for either, and add it up until the end of the
    trial; nothing else in the network remembers, and no unit drives one of its own layer. Before
    the first step inputs are zero.

    Parameters
    ----------
    sizes
        Inputs, units of the one hidden layer, outputs, for example ``[4, 14, 2]``.
    memory
        Memory units among those of the hidden layer; by default half of them, rounded up.
    activation
        Of the hidden layer.
    output
        Activation of the output.
    bias
        Whether regular units and outputs have a bias; memory units would add it up.
    steps
        Time steps for which inputs without a time axis are shown.
    """

    sizes: Sequence[int]
    memory: int | None = None
    activation: str = "sigmoid"
    output: str = "identity"
    bias: bool = True
    steps: int = 5

    summary: ClassVar[str] = "memory units that add up changes of the input, beside regular units"
    equation: ClassVar[str] = (
        "h = f(V x_t + b),  m = f(sum_(s <= t) M [x_s - x_(s-1)]_+-),  y_t = W (h, m) + c"
    )
    cites: ClassVar[str] = "Rombouts, Bohte & Roelfsema 2015"

    def __post_init__(self) -> None:
        given = sizes("sizes", self.sizes, fewest=3)
        object.__setattr__(self, "sizes", given)
        if len(given) != 3 or given[1] < 2:
            raise refusal("sizes", given, "inputs, at least 2 units of one hidden layer, outputs")
        if self.memory is not None:
            integer("memory", self.memory, least=1, most=given[1] - 1)
        choose("activation", self.activation, ACTIVATIONS)
        choose("output", self.output, ACTIVATIONS)
        flag("bias", self.bias)
        integer("steps", self.steps, least=1)

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """One layer."""
        return (sum(HIDDEN),)

    def build(self, seed: int = 0) -> MemoryNetwork:
        inputs, hidden, outputs = self.sizes
        memory = (hidden + 1) // 2 if self.memory is None else self.memory
        populations = (
            Population("regular", hidden - memory, Pointwise(self.activation)),
            Population("memory", memory, Integrator(self.activation)),
            Population("output", outputs, Pointwise(self.output)),
        )
        sources = {INPUT: inputs, TRANSIENT: 2 * inputs, "regular": hidden - memory}
        sources |= {"memory": memory}
        projections, parameters = [], {}

        def connect(name: str, source: str, target: Population, inflow: int) -> None:
            synapse: Synapse = BiasSynapse(target.size)
            if source != CONSTANT:
                synapse = DenseSynapse(target.size, sources[source])
            projections.append(Projection(name, source, target.name, synapse))
            draw = generator(seed, "init", name).standard_normal(synapse.shape)
            scale = 0.0 if source == CONSTANT else target.neurons.gain / np.sqrt(inflow)
            parameters[name] = scale * draw

        regular, keeping, top = populations
        connect("regular.weights", INPUT, regular, inputs)
        connect("memory.weights", TRANSIENT, keeping, 2 * inputs)
        connect("output.regular", "regular", top, hidden)
        connect("output.memory", "memory", top, hidden)
        if self.bias:
            connect("regular.bias", CONSTANT, regular, 1)
            connect("output.bias", CONSTANT, top, 1)
        return MemoryNetwork(
            "memory_units", inputs, populations, tuple(projections), parameters, self.steps
        )

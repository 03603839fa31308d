"""Network whose first layer is multiplied by a gate that a cue opens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import Architecture, Layer, stacked
from plausibench.architectures.network import INPUT, Network
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse
from plausibench.kernels.errors import choose, flag, integer, refusal, sizes

Array = np.ndarray

GATE, GATED = "gate", "layer1"


@dataclass(frozen=True)
class PartialSynapse(DenseSynapse):
    """All-to-all connections from a part of the source, ``inputs`` of its neurons from ``first``.

    Parameters
    ----------
    first
        The first neuron of the part.
    source
        Neurons of the whole source.
    """

    first: int
    source: int

    @property
    def factors(self) -> tuple[int, int]:
        return (self.outputs, self.source)

    @property
    def separable(self) -> bool:
        """Closed forms know of no gates, and are not claimed for gated networks."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        return super().drive(weights, self._part(pre))

    def feedback(self, weights: Array, post: Array) -> Array:
        sent = super().feedback(weights, post)
        whole = np.zeros((*sent.shape[:-1], self.source), sent.dtype)
        whole[..., self.first : self.first + self.inputs] = sent
        return whole

    def outer(self, post: Array, pre: Array) -> Array:
        return super().outer(post, self._part(pre))

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = examples * self.outputs * self.inputs
        return direct, direct

    def pre_gram(self, pre: Array) -> Array:
        return super().pre_gram(self._part(pre))

    def _part(self, pre: Array) -> Array:
        return pre[..., self.first : self.first + self.inputs]


@dataclass(frozen=True, eq=False, repr=False)
class GatedNetwork(Network):
    """A network in which activity of the first layer is multiplied by that of the gate."""

    @cached_property
    def modulating(self) -> Mapping[str, str]:
        return {GATED: GATE}


@dataclass(frozen=True)
class AttentionGatedNetwork(Architecture):
    """Dense layers, the first multiplied by a gate (after Richards et al. 2019, Box 2).

    The last ``cue`` inputs drive the gate, a compartment of each neuron of the first layer; the
    others drive the neurons themselves. What a neuron sends is its activity times that of its
    gate, so that a cue can close neurons rather than be added to what they see.

    Parameters
    ----------
    inputs, outputs
        Input units, those of the cue included, and output units.
    cue
        Inputs that drive the gate.
    hidden
        Units of the hidden layers; those of the first are gated.
    activation
        Of the hidden layers: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    gate
        Activation of the gate, as above. A gate starts half open where it is a sigmoid.
    output
        Activation of the output layer.
    bias
        Whether neurons and gates have a bias.
    """

    inputs: int = 64
    outputs: int = 10
    cue: int = 4
    hidden: Sequence[int] = (32,)
    activation: str = "tanh"
    gate: str = "sigmoid"
    output: str = "identity"
    bias: bool = True

    summary: ClassVar[str] = "dense layers, the first multiplied by a gate that a cue opens"
    cites: ClassVar[str] = "Richards et al. 2019"
    equation: ClassVar[str] = "a_1 = f(W_1 x + b_1) g(W_g c + b_g),  z_l = W_l a_(l-1) + b_l"

    def __post_init__(self) -> None:
        for field in ("inputs", "outputs", "cue"):
            integer(field, getattr(self, field), least=1)
        object.__setattr__(self, "hidden", sizes("hidden", self.hidden))
        for field in ("activation", "gate", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)
        flag("bias", self.bias)

    def build(self, seed: int = 0) -> Network:
        if self.cue >= self.inputs:
            raise refusal("cue", self.cue, f"a number below that of inputs, {self.inputs}")
        seen, first = self.inputs - self.cue, self.hidden[0]
        layers = [
            self._layer(GATE, self.gate, PartialSynapse(first, self.cue, seen, self.inputs)),
            self._layer(GATED, self.activation, PartialSynapse(first, seen, 0, self.inputs), INPUT),
        ]
        for number, (below, units) in enumerate(pairwise([*self.hidden, self.outputs]), start=2):
            last = number == len(self.hidden) + 1
            activation = self.output if last else self.activation
            layers.append(self._layer(f"layer{number}", activation, DenseSynapse(units, below)))
        plain = stacked("attention_gated_network", self.inputs, layers, seed)
        return GatedNetwork(
            plain.architecture,
            plain.inputs,
            plain.populations,
            plain.projections,
            plain.parameters,
        )

    def _layer(
        self, name: str, activation: str, synapse: DenseSynapse, source: str | None = None
    ) -> Layer:
        bias = BiasSynapse(synapse.outputs) if self.bias else None
        return Layer(name, Pointwise(activation), synapse, synapse.inputs, bias, source)

"""What an architecture is: a recipe that builds a network from a seed."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Network, Population, Projection
from plausibench.architectures.neurons import Neurons
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, Synapse
from plausibench.kernels.plain import PlainOptions
from plausibench.kernels.streams import generator

HIDDEN = (32, 32)
"""Hidden layers of networks whose sizes nobody named."""
ENUMERATED = (10,)
"""The same where the gradient is enumerated over what hidden units draw."""


class Architecture(metaclass=PlainOptions):
    """How neurons are connected; options are the fields of the frozen dataclass.

    What follows from a task where it is not named is found by the name of the option: ``sizes``,
    ``inputs``, ``outputs``, and ``shape``, that of an image.
    """

    summary: ClassVar[str]
    cites: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Hidden layers with which a network starts where nobody names any.

        Parameters
        ----------
        options
            Those that were named, not yet checked.
        """
        return HIDDEN

    @abstractmethod
    def build(self, seed: int = 0) -> Network:
        """Build the network with initial parameters from the stream ``init`` of ``seed``."""


@dataclass(frozen=True)
class Layer:
    """A population with the synapses and, if there are any, the biases onto it.

    Attributes
    ----------
    name, neurons
        Of the population.
    synapse
        From the layer before, or from ``source``.
    inflow
        Number of synapses onto each neuron.
    bias
        From the constant population; None for none.
    source
        Where the synapses come from; by default the layer before, or the input.
    """

    name: str
    neurons: Neurons
    synapse: Synapse
    inflow: int
    bias: Synapse | None
    source: str | None = None


def stacked(architecture: str, inputs: int, layers: Sequence[Layer], seed: int) -> Network:
    """Build a network of layers, the last of which is the output.

    Weights are drawn from N(0, gain^2 / inflow), with the gain of the target's neurons; biases
    start at 0. The draw of a projection depends on the seed and its name only, so architectures
    with the same layers start alike.
    """
    populations, projections, parameters = [], [], {}
    before = INPUT
    for layer in layers:
        name, synapse, weights = layer.name, layer.synapse, f"{layer.name}.weights"
        populations.append(Population(name, synapse.factors[0], layer.neurons))
        projections.append(Projection(weights, layer.source or before, name, synapse))
        draw = generator(seed, "init", weights).standard_normal(synapse.shape)
        parameters[weights] = draw * (layer.neurons.gain / np.sqrt(layer.inflow))
        if layer.bias is not None:
            projections.append(Projection(f"{name}.bias", CONSTANT, name, layer.bias))
            parameters[f"{name}.bias"] = np.zeros(layer.bias.shape)
        before = name
    return Network(architecture, inputs, tuple(populations), tuple(projections), parameters)


def layered(
    architecture: str,
    sizes: Sequence[int],
    neurons: Sequence[Neurons],
    bias: bool,
    seed: int,
) -> Network:
    """Build a chain of dense layers ``layer1``, ``layer2``, ..., as :func:`stacked` does."""
    layers = [
        Layer(
            f"layer{number}",
            own,
            DenseSynapse(outputs, inputs),
            inputs,
            BiasSynapse(outputs) if bias else None,
        )
        for number, ((inputs, outputs), own) in enumerate(
            zip(pairwise(sizes), neurons, strict=True), start=1
        )
    ]
    return stacked(architecture, sizes[0], layers, seed)

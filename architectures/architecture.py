"""What an architecture is: a recipe that builds a network from a seed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Network, Population, Projection
from plausibench.architectures.neurons import Neurons
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse
from plausibench.kernels.streams import generator


class Architecture(ABC):
    """How neurons are connected; options are the fields of the frozen dataclass."""

    summary: ClassVar[str]
    cites: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    @abstractmethod
    def build(self, seed: int = 0) -> Network:
        """Build the network with initial parameters from the stream ``init`` of ``seed``."""


def layered(
    architecture: str,
    sizes: Sequence[int],
    neurons: Sequence[Neurons],
    bias: bool,
    seed: int,
) -> Network:
    """Build a chain of dense layers ``layer1``, ``layer2``, ...

    Weights are drawn from N(0, gain^2 / N_in), with the gain of the target's neurons; biases
    start at 0. The draw of a projection depends on the seed and its name only, so architectures
    with the same layers start alike.
    """
    populations, projections, parameters = [], [], {}
    below = INPUT
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        name = f"layer{number}"
        populations.append(Population(name, outputs, neurons[number - 1]))
        weights = f"{name}.weights"
        projections.append(Projection(weights, below, name, DenseSynapse(outputs, inputs)))
        draw = generator(seed, "init", weights).standard_normal((outputs, inputs))
        parameters[weights] = draw * (neurons[number - 1].gain / np.sqrt(inputs))
        if bias:
            projections.append(Projection(f"{name}.bias", CONSTANT, name, BiasSynapse(outputs)))
            parameters[f"{name}.bias"] = np.zeros(outputs)
        below = name
    return Network(architecture, sizes[0], tuple(populations), tuple(projections), parameters)

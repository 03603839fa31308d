"""Residual network."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import Architecture, layered
from plausibench.architectures.network import Network, Projection
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.architectures.synapses import OneToOneSynapse
from plausibench.kernels.errors import choose, flag, integer


@dataclass(frozen=True)
class Residual(Architecture):
    """Dense layers with a shortcut round every second one (after He et al. 2016).

    A shortcut joins each neuron to one of the layer two above. Its gains start at 1 and are
    learned like all weights, by the rule under test.

    Parameters
    ----------
    inputs, outputs
        Input and output units.
    width
        Units of each hidden layer.
    blocks
        Pairs of layers with a shortcut, above a first hidden layer.
    activation
        Of the hidden layers: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    output
        Activation of the output layer.
    bias
        Whether neurons have a bias.
    """

    inputs: int = 64
    width: int = 32
    blocks: int = 1
    outputs: int = 10
    activation: str = "tanh"
    output: str = "identity"
    bias: bool = True

    summary: ClassVar[str] = "dense layers with a learned shortcut round every second one"
    cites: ClassVar[str] = "He, Zhang, Ren & Sun 2016"
    equation: ClassVar[str] = "z_l = W_l a_(l-1) + b_l + g_l a_(l-2) for l = 3, 5, ..."

    def __post_init__(self) -> None:
        for field in ("inputs", "width", "blocks", "outputs"):
            integer(field, getattr(self, field), least=1)
        flag("bias", self.bias)
        for field in ("activation", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)

    def build(self, seed: int = 0) -> Network:
        layers = 1 + 2 * self.blocks
        neurons = [*[Pointwise(self.activation)] * layers, Pointwise(self.output)]
        sizes = [self.inputs, *[self.width] * layers, self.outputs]
        chain = layered("residual", sizes, neurons, self.bias, seed)
        projections: list[Projection] = []
        for p in chain.projections:
            projections.append(p)
            number = int(p.target.removeprefix("layer"))
            if p.name.endswith("weights") and number % 2 and 1 < number <= layers:
                skip = OneToOneSynapse(self.width)
                projections.append(
                    Projection(f"{p.target}.skip", f"layer{number - 2}", p.target, skip)
                )
        parameters = {
            p.name: chain.parameters.get(p.name, np.ones(self.width)) for p in projections
        }
        return replace(chain, projections=tuple(projections), parameters=parameters)

"""Multilayer perceptron."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.architecture import Architecture, layered
from plausibench.architectures.network import Network
from plausibench.architectures.neurons import ACTIVATIONS, Pointwise
from plausibench.kernels.errors import choose, flag, sizes


@dataclass(frozen=True)
class Mlp(Architecture):
    """Fully connected feed-forward network of any depth.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs, for example ``[64, 32, 32, 10]``.
    activation
        Of the hidden layers: identity, tanh, sigmoid, relu, softplus or hard_sigmoid.
    output
        Activation of the output layer.
    bias
        Whether neurons have a bias.
    """

    sizes: Sequence[int]
    activation: str = "tanh"
    output: str = "identity"
    bias: bool = True

    summary: ClassVar[str] = "fully connected feed-forward network of any depth"
    equation: ClassVar[str] = "z_l = W_l a_(l-1) + b_l,  a_l = f_l(z_l)"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        flag("bias", self.bias)
        for field in ("activation", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)

    def build(self, seed: int = 0) -> Network:
        depth = len(self.sizes) - 1
        names = [self.activation] * (depth - 1) + [self.output]
        neurons = [Pointwise(name) for name in names]
        return layered("mlp", self.sizes, neurons, self.bias, seed)

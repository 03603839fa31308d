"""Linear network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.architecture import Architecture, layered
from plausibench.architectures.network import Network
from plausibench.architectures.neurons import Pointwise
from plausibench.kernels.errors import flag, sizes


@dataclass(frozen=True)
class Linear(Architecture):
    """Feed-forward network without any non-linearity; two sizes make it a perceptron.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs.
    bias
        Whether neurons have a bias.
    """

    sizes: Sequence[int]
    bias: bool = False

    summary: ClassVar[str] = "feed-forward network without non-linearity"
    equation: ClassVar[str] = "a_l = W_l a_(l-1) + b_l"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        flag("bias", self.bias)

    def build(self, seed: int = 0) -> Network:
        depth = len(self.sizes) - 1
        neurons = [Pointwise("identity")] * depth
        return layered("linear", self.sizes, neurons, self.bias, seed)

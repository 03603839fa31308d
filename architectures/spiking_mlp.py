"""Multilayer perceptron of spiking neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.architectures.architecture import ENUMERATED, Architecture, layered
from plausibench.architectures.neurons import ACTIVATIONS, Neurons, Pointwise
from plausibench.architectures.spiking import SpikingNetwork, Threshold
from plausibench.kernels.errors import choose, flag, sizes


@dataclass(frozen=True)
class SpikingMlp(Architecture):
    """Feed-forward layers of neurons that spike or not, read out by an output that does not.

    A window of time is one step: the noisy drive of a neuron stands for the maximal drive in the
    window. What is learned is the loss expected over spikes.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs. The gradient is known for up to 12 hidden units.
    threshold
        Drive at which a hidden neuron spikes.
    spread
        Scale of the logistic noise on the drive of every hidden neuron.
    common
        Standard deviation of the Gaussian noise that a hidden layer shares.
    output
        Activation of the output layer.
    bias
        Whether neurons have a bias.
    """

    sizes: Sequence[int]
    threshold: float = 0.0
    spread: float = 0.5
    common: float = 0.5
    output: str = "identity"
    bias: bool = True

    summary: ClassVar[str] = "feed-forward neurons that spike where a noisy drive reaches threshold"
    equation: ClassVar[str] = "v_l = W_l a_(l-1) + b_l + noise,  a_l = 1[v_l >= threshold]"
    cites: ClassVar[str] = "Lansdell & Kording 2023"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        flag("bias", self.bias)
        Threshold(self.threshold, self.spread, self.common)
        choose("output", self.output, ACTIVATIONS)

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Few enough that the gradient is known."""
        return ENUMERATED

    def build(self, seed: int = 0) -> SpikingNetwork:
        hidden = Threshold(self.threshold, self.spread, self.common)
        neurons: list[Neurons] = [hidden] * (len(self.sizes) - 2)
        neurons.append(Pointwise(self.output))
        built = layered("spiking_mlp", self.sizes, neurons, self.bias, seed)
        return SpikingNetwork(
            built.architecture, built.inputs, built.populations, built.projections, built.parameters
        )

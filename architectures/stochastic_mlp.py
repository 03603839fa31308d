"""Multilayer perceptron with stochastic hidden units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.architectures.architecture import ENUMERATED, Architecture, layered
from plausibench.architectures.neurons import (
    ACTIVATIONS,
    Bernoulli,
    Gaussian,
    Pointwise,
    Stochastic,
)
from plausibench.architectures.stochastic import StochasticNetwork
from plausibench.kernels.errors import choose, flag, sizes


@dataclass(frozen=True)
class StochasticMlp(Architecture):
    """Feed-forward network whose hidden units draw their activity (Williams 1992).

    Its loss and gradient are expectations over the draws, enumerated for up to 12 hidden
    units; the pass without noise uses the rates of Bernoulli units and the mean drive of
    gaussian units.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs, with at least one hidden layer.
    units
        ``bernoulli``: spikes with probability sigmoid(drive); ``gaussian``: noise on the drive.
    activation
        Of gaussian units; the rate of Bernoulli units is the sigmoid.
    sigma
        Standard deviation of the noise on the drive of gaussian units.
    output
        Activation of the output layer, which has no noise.
    bias
        Whether neurons have a bias.
    """

    sizes: Sequence[int]
    units: str = "bernoulli"
    activation: str = "tanh"
    sigma: float = 0.1
    output: str = "identity"
    bias: bool = True

    summary: ClassVar[str] = "feed-forward network with Bernoulli or gaussian hidden units"
    equation: ClassVar[str] = "s_l ~ Bernoulli(sigmoid(z_l))  or  a_l = f(z_l + sigma xi_l)"
    cites: ClassVar[str] = "Williams 1992"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=3))
        choose("units", self.units, ("bernoulli", "gaussian"))
        flag("bias", self.bias)
        Gaussian(self.activation, self.sigma)
        choose("output", self.output, ACTIVATIONS)

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Few enough that the gradient is known."""
        return ENUMERATED

    def build(self, seed: int = 0) -> StochasticNetwork:
        hidden: Stochastic = (
            Bernoulli() if self.units == "bernoulli" else Gaussian(self.activation, self.sigma)
        )
        neurons = [hidden] * (len(self.sizes) - 2) + [Pointwise(self.output)]
        net = layered("stochastic_mlp", self.sizes, neurons, self.bias, seed)
        return StochasticNetwork(
            net.architecture, net.inputs, net.populations, net.projections, net.parameters
        )

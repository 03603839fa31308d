"""Feed-forward network of pyramidal neurons with dendritic compartments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.architecture import Architecture, layered
from plausibench.architectures.network import Network
from plausibench.architectures.neurons import ACTIVATIONS, TwoCompartment
from plausibench.kernels.errors import choose, flag, number, positive, sizes


@dataclass(frozen=True)
class Dendritic(Architecture):
    """Pyramidal neurons with basal and apical dendrites (Sacramento et al. 2018).

    The forward pass is the self-predicting steady state, in which interneurons cancel the
    top-down input to every apical dendrite, so that the soma follows the basal drive with the
    factor ``g_B / (g_l + g_B + g_A)`` (no ``g_A`` at the top, which has no apical dendrite).
    The lateral circuit belongs to the learning rule ``dendritic_error``, whose error it carries.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs.
    activation
        Firing rate of the hidden layers as a function of the somatic potential.
    output
        Firing rate of the output layer.
    leak, basal, apical
        Conductances g_l, g_B, g_A.
    loads
        Whether the apical conductance pulls the soma towards rest. With ``leak=0`` and
        ``loads=False``, the defaults, the forward pass is exactly that of ``mlp``; the
        conductances of the paper are ``leak=0.1, loads=True``.
    bias
        Whether neurons have a bias, a constant current into the basal dendrite.
    """

    sizes: Sequence[int]
    activation: str = "tanh"
    output: str = "identity"
    leak: float = 0.0
    basal: float = 1.0
    apical: float = 0.8
    loads: bool = False
    bias: bool = True

    summary: ClassVar[str] = "feed-forward pyramidal neurons with basal and apical dendrites"
    equation: ClassVar[str] = "u_l = c_l (W_l a_(l-1) + b_l),  a_l = f_l(u_l)"
    cites: ClassVar[str] = "Sacramento, Costa, Bengio & Senn 2018"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=2))
        number("leak", self.leak, least=0)
        positive("basal", self.basal)
        positive("apical", self.apical)
        flag("loads", self.loads)
        flag("bias", self.bias)
        for field in ("activation", "output"):
            choose(field, getattr(self, field), ACTIVATIONS)

    def _neurons(self, activation: str, top: bool) -> TwoCompartment:
        return TwoCompartment(
            activation,
            leak=self.leak,
            basal=self.basal,
            apical=0.0 if top else self.apical,
            loads=self.loads,
        )

    def build(self, seed: int = 0) -> Network:
        depth = len(self.sizes) - 1
        neurons = [self._neurons(self.activation, top=False)] * (depth - 1)
        neurons.append(self._neurons(self.output, top=True))
        return layered("dendritic", self.sizes, neurons, self.bias, seed)

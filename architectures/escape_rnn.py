"""Recurrent network of spiking neurons with escape noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.architectures.architecture import Architecture
from plausibench.architectures.escape_noise import EscapeNetwork, EscapeNoise
from plausibench.architectures.neurons import ACTIVATIONS, Neurons, Pointwise
from plausibench.architectures.recurrent import recurrent_layers
from plausibench.kernels.errors import choose, flag, sizes


@dataclass(frozen=True)
class EscapeRnn(Architecture):
    """Neurons with escape noise and recurrent connections, and a readout of filtered spikes.

    Its loss and gradient are expectations over spikes, enumerated for up to 14 of them, of all
    hidden neurons in all steps; the pass without noise uses their probabilities.

    Parameters
    ----------
    sizes
        Units per layer from inputs to outputs, with at least one hidden layer.
    membrane, kept, reset, threshold, width
        Of the neurons; see :class:`~plausibench.architectures.escape_noise.EscapeNoise`.
    recurrence, initial
        First recurrent weights, as of rates.
    output
        Activation of the readout, which has no noise.
    bias
        Whether neurons have a bias.
    steps
        Time steps for which inputs without a time axis are shown.
    """

    sizes: Sequence[int]
    membrane: float = 0.8
    kept: float = 0.8
    reset: float = 1.0
    threshold: float = 1.0
    width: float = 0.5
    recurrence: float = 1.0
    initial: str = "gaussian"
    output: str = "identity"
    bias: bool = True
    steps: int = 2

    summary: ClassVar[str] = "recurrent neurons that spike by chance, more so at a high potential"
    equation: ClassVar[str] = (
        "v_t = a v_(t-1) + W x_t + R r_(t-1) - c s_(t-1),  "
        "P(s_t = 1) = 1 - exp(-exp((v_t - theta) / width)),  r_t = k r_(t-1) + s_t"
    )
    cites: ClassVar[str] = "Pfister, Toyoizumi, Barber & Gerstner 2006"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes("sizes", self.sizes, fewest=3))
        choose("output", self.output, ACTIVATIONS)
        flag("bias", self.bias)
        # Refuses what does not fit, before any network is asked for.
        self.build()

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Few enough that the gradient is known."""
        return (6,)

    def build(self, seed: int = 0) -> EscapeNetwork:
        hidden = EscapeNoise(self.membrane, self.kept, self.reset, self.threshold, self.width)
        neurons: list[Neurons] = [hidden] * (len(self.sizes) - 2)
        built = recurrent_layers(
            "escape_rnn",
            self.sizes,
            [*neurons, Pointwise(self.output)],
            bias=self.bias,
            recurrence=self.recurrence,
            initial=self.initial,
            steps=self.steps,
            seed=seed,
        )
        return EscapeNetwork(
            built.architecture,
            built.inputs,
            built.populations,
            built.projections,
            built.parameters,
            built.steps,
        )

"""Recurrent network of leaky integrate-and-fire neurons."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.recurrent import RecurrentNetwork, recurrent_layers
from plausibench.architectures.recurrent_options import SpikingLayers


@dataclass(frozen=True)
class SpikingRnn(SpikingLayers):
    """Leaky integrate-and-fire neurons with recurrent connections, and a linear readout.

    For the options see :class:`~plausibench.architectures.recurrent_options.SpikingLayers`.
    """

    summary: ClassVar[str] = "leaky integrate-and-fire neurons with recurrent connections"
    equation: ClassVar[str] = (
        "I <- a_s I + W_in x_t + W_rec r,  U <- (a_m U + (1 - a_m) I)(1 - s),  "
        "r <- a_d r + (dt / tau_d) s,  s <- 1[U > 1],  y_t = W_out r"
    )
    cites: ClassVar[str] = "Lin & Huang 2023; Bellec et al. 2020"

    def build(self, seed: int = 0) -> RecurrentNetwork:
        return recurrent_layers(
            "spiking_rnn",
            self.sizes,
            self.neurons,
            bias=self.bias,
            recurrence=self.recurrence,
            initial=self.initial,
            steps=self.steps,
            seed=seed,
        )

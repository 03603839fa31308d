"""Recurrent network of leaky rates."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.recurrent import RecurrentNetwork, recurrent_layers
from plausibench.architectures.recurrent_options import RateLayers


@dataclass(frozen=True)
class RateRnn(RateLayers):
    """Leaky rates with recurrent connections, in one layer or several, and a readout.

    For the options see :class:`~plausibench.architectures.recurrent_options.RateLayers`.
    """

    summary: ClassVar[str] = "leaky rates with recurrent connections"
    equation: ClassVar[str] = (
        "h_t = (1 - k) h_(t-1) + k f(W_rec h_(t-1) + W_in x_t + b),  y_t = W_out h_t + c"
    )
    cites: ClassVar[str] = "Murray 2019; Yang, Joglekar, Song, Newsome & Wang 2019"

    def build(self, seed: int = 0) -> RecurrentNetwork:
        return recurrent_layers(
            "rate_rnn",
            self.sizes,
            self.neurons,
            bias=self.bias,
            recurrence=self.recurrence,
            initial=self.initial,
            steps=self.steps,
            seed=seed,
        )

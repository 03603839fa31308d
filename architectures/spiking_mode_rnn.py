"""Recurrent network of integrate-and-fire neurons, its recurrent weights made of modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.architectures.modes import ModeNetwork, mode_layers
from plausibench.architectures.recurrent_options import SpikingLayers
from plausibench.kernels.errors import integer


@dataclass(frozen=True)
class SpikingModeRnn(SpikingLayers):
    """Spiking mode-based network (Lin & Huang 2023): ``W_rec = Xi_in diag(lambda) Xi_out^T``.

    For the other options see :class:`~plausibench.architectures.recurrent_options.SpikingLayers`.

    Parameters
    ----------
    initial
        First recurrent weights: ``gain_matched``, as strong as those of a full matrix whatever P
        is; ``original``, as published, weaker with more modes; or ``singular``, the modes of the
        largest singular values of the full matrix of the same seed.
    modes
        Number P of modes of each recurrent layer, from 0, no recurrence, to its neurons.
    scores
        Whether lambda is ``learned``, or ``fixed`` at 1/N.
    """

    initial: str = "gain_matched"
    modes: int = 3
    scores: str = "learned"

    summary: ClassVar[str] = (
        "leaky integrate-and-fire neurons that drive themselves through a few modes"
    )
    equation: ClassVar[str] = (
        "I <- a_s I + W_in x_t + Xi_in diag(lambda) Xi_out^T r,  "
        "U <- (a_m U + (1 - a_m) I)(1 - s),  r <- a_d r + (dt / tau_d) s,  s <- 1[U > 1],  "
        "y_t = W_out r_t"
    )
    cites: ClassVar[str] = "Lin & Huang 2023"

    @classmethod
    def usual(cls, options: Mapping[str, Any]) -> tuple[int, ...]:
        """No fewer neurons than modes."""
        modes = integer("modes", options.get("modes", cls.modes), least=0)
        return tuple(max(units, modes) for units in super().usual(options))

    def build(self, seed: int = 0) -> ModeNetwork:
        return mode_layers(
            "spiking_mode_rnn",
            self.sizes,
            self.neurons,
            bias=self.bias,
            modes=self.modes,
            scores=self.scores,
            recurrence=self.recurrence,
            initial=self.initial,
            steps=self.steps,
            seed=seed,
        )

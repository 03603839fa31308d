"""Locally connected network."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.convolution import (
    LocallyConnectedSynapse,
    ReceptiveFields,
    Windows,
)
from plausibench.architectures.synapses import BiasSynapse, Synapse
from plausibench.architectures.vision import Layered


@dataclass(frozen=True)
class LocallyConnected(Layered):
    """Receptive fields as in a convolutional network, with weights of their own (Bartunov 2018).

    No synapse shares its weight, so updates can be local. Inputs are flat images
    ``(B, height * width * channels)``. For the options see
    :class:`~plausibench.architectures.vision.Vision`, and ``hidden`` for the units of
    dense layers in between.
    """

    registered: ClassVar[str] = "locally_connected"
    summary: ClassVar[str] = "receptive fields with weights of their own, then dense"
    cites: ClassVar[str] = "Bartunov et al. 2018"
    equation: ClassVar[str] = "z_l[p, o] = sum_k W_l[p, o, k] a_(l-1)[window p, k] + b_l[p, o]"

    def synapse(self, windows: Windows, channels: int) -> ReceptiveFields:
        return LocallyConnectedSynapse(windows, channels)

    def bias_synapse(self, positions: int, channels: int) -> Synapse:
        return BiasSynapse(positions * channels)

"""Convolutional network."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.vision import Layered


@dataclass(frozen=True)
class Convolutional(Layered):
    """Convolutional layers with a stride, then dense layers (LeCun et al. 1989).

    All positions share weights, and the neurons of a channel their bias. Inputs are flat images
    ``(B, height * width * channels)``. For the options see
    :class:`~plausibench.architectures.vision.Vision`, and ``hidden`` for the units of
    dense layers in between.
    """

    registered: ClassVar[str] = "convolutional"
    summary: ClassVar[str] = "receptive fields with weights shared over positions, then dense"
    cites: ClassVar[str] = "LeCun et al. 1989"
    equation: ClassVar[str] = "z_l[p, o] = sum_k W_l[o, k] a_(l-1)[window p, k] + b_l[o]"

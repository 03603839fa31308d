"""Kernels put at every place of an image, as one matrix."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plausibench.kernels.errors import InputError, integer
from plausibench.kernels.plain import PlainOptions

Array = np.ndarray


@dataclass(frozen=True)
class Placement(metaclass=PlainOptions):
    """Places of a kernel that lies inside an image.

    Parameters
    ----------
    side
        Height and width of the image.
    patch
        Height and width of the kernel.

    Raises
    ------
    InputError
        If the kernel does not fit.
    """

    side: int
    patch: int

    def __post_init__(self) -> None:
        integer("side", self.side, least=1)
        integer("patch", self.patch, least=1)
        if self.patch > self.side:
            raise InputError(f"patch: {self.patch} does not fit images of side {self.side}")

    @property
    def across(self) -> int:
        """Places along one side."""
        return self.side - self.patch + 1

    @property
    def places(self) -> int:
        """Number of places P."""
        return self.across**2

    @property
    def pixels(self) -> int:
        """Number of pixels of the image."""
        return self.side**2

    @cached_property
    def covered(self) -> Array:
        """Pixel under each tap of the kernel at each place, ``(patch * patch, P)``."""
        taps = np.arange(self.patch)[:, None] * self.side + np.arange(self.patch)
        places = np.arange(self.across)[:, None] * self.side + np.arange(self.across)
        return taps.reshape(-1, 1) + places.reshape(-1)

    @cached_property
    def _flat(self) -> Array:
        return self.covered * self.places + np.arange(self.places)

    def spread(self, kernel: Array, out: Array) -> None:
        """Write the matrix ``(pixels, P)`` whose columns are the kernel ``(patch * patch,)``.

        ``out`` is zero wherever no kernel reaches, and contiguous.
        """
        out.reshape(-1)[self._flat] = kernel[:, None]

    def collect(self, matrix: Array) -> Array:
        """Sum of ``(pixels, P)`` over places for every tap: the adjoint of :meth:`spread`."""
        return matrix.reshape(-1)[self._flat].sum(axis=1)

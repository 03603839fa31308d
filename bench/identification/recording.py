"""What a linear model needs to know of a recording: its second moments."""

from dataclasses import dataclass, field

import numpy as np

from plausibench.kernels.errors import InputError
from plausibench.kernels.threads import one_blas_thread

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Recording:
    """Second moments of images and responses, so that a step of a fit does not grow with them.

    Attributes
    ----------
    images
        Mean of the products of pixels, ``(pixels, pixels)``, float32.
    cross
        Mean of the products of pixels and responses, ``(pixels, N)``, float32: the
        spike-triggered averages of images that have unit variance.
    squares
        Mean square of each neuron's responses, ``(N,)``.
    size
        Number of images.
    """

    images: Array = field(repr=False)
    cross: Array = field(repr=False)
    squares: Array = field(repr=False)
    size: int

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        return self.cross.shape[1]

    def losses(self, fields: Array) -> Array:
        """Mean squared error of each neuron for receptive fields ``(pixels, N)``."""
        explained = (fields * (self.images @ fields - 2 * self.cross)).sum(axis=0)
        return self.squares + explained


def recording(images: Array, responses: Array, means: tuple[Array, Array]) -> Recording:
    """Second moments about the means of images ``(D, pixels)`` and of responses ``(D, N)``."""
    seen = np.asarray(images - means[0], np.float32)
    said = np.asarray(responses - means[1], np.float32)
    with one_blas_thread():
        count = np.float32(len(seen))
        return Recording(
            seen.T @ seen / count, seen.T @ said / count, (said * said).mean(axis=0), len(seen)
        )


def halves(
    images: Array, responses: Array, share: float
) -> tuple[Recording, Recording, tuple[Array, Array]]:
    """Recordings to fit and to validate with, and the means of images and responses.

    The last ``share`` of the images is for validation.

    Raises
    ------
    InputError
        If there are fewer than two images for either.
    """
    kept = len(images) - round(share * len(images))
    if kept < 2 or len(images) - kept < 2:
        raise InputError(
            f"images: {len(images)} are too few to keep a share of {share:g} for validation"
        )
    means = images[:kept].mean(axis=0), responses[:kept].mean(axis=0)
    first = recording(images[:kept], responses[:kept], means)
    return first, recording(images[kept:], responses[kept:], means), means

"""Neurons that compute the same thing at different places of white noise."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from plausibench.bench.tasks.neurons import MEAN, Array, Neurons
from plausibench.kernels.errors import InputError, integer, number

SIZES = (1.0, 0.6)
"""Size of the receptive field of each type of neuron, relative to the first."""
PIXEL = 0.5
"""Jitter of a place, pixels, where there is any variation."""


@dataclass(frozen=True)
class SimulatedNeurons(Neurons):
    """Linear neurons with centre and surround, looking at white noise (Klindt et al. 2017, Fig. 3).

    A receptive field is a gaussian less twice one of four times its variance, cut to ``patch``
    pixels, at a random place where it lies inside the image. It is scaled so that the mean
    absolute response is 0.1. A single trial is gaussian around the response, its variance being
    the absolute response. Test responses have no noise.

    Parameters
    ----------
    neurons : int, default 100
        Number of neurons.
    examples, test_examples : int, default 2048 and 2000
        Images for training and for testing.
    side : int, default 24
        Height and width of an image, pixels.
    shuffled : bool, default False
        Whether training responses are those to other images.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    patch : int, default 9
        Height and width of a receptive field, pixels; odd.
    types : int, default 1
        Kinds of neurons, 1 or 2; those of the second have smaller receptive fields.
    variation : float, default 0.05
        Jitter of the sizes of centre and surround, of their aspect and of their rotation, as a
        share; above 0 places jitter by half a pixel too.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    patch: int = 9
    types: int = 1
    variation: float = 0.05

    name: ClassVar[str] = "simulated_neurons"
    summary: ClassVar[str] = "linear neurons of one or two types at random places of white noise"
    cites: ClassVar[str] = "Klindt, Ecker, Euler & Bethge 2017"

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", integer("patch", self.patch, least=3))
        if self.patch % 2 == 0:
            raise InputError(f"patch: {self.patch} has no centre; allowed is an odd number")
        object.__setattr__(self, "types", integer("types", self.types, least=1, most=len(SIZES)))
        variation = number("variation", self.variation, least=0, below=1)
        object.__setattr__(self, "variation", variation)
        super().__post_init__()

    @property
    def smallest(self) -> int:
        return self.patch

    @property
    def positions(self) -> int:
        """Places of a receptive field along each side of the image."""
        return self.side - self.patch + 1

    @property
    def fields(self) -> Array:
        """Receptive fields, ``(N, side * side)``."""
        return _drawn(self)[0]

    @property
    def places(self) -> Array:
        """Row and column of the top left pixel of each receptive field, ``(N, 2)``."""
        return _drawn(self)[1]

    @property
    def kinds(self) -> Array:
        """Type of each neuron, ``(N,)``."""
        return _drawn(self)[2]

    def kernel(self, kind: int = 0) -> Array:
        """Receptive field of a type without variation and of length 1, ``(patch, patch)``."""
        field = _field(self.patch, SIZES[kind], np.zeros(6))
        return field / np.linalg.norm(field)

    def images(self, part: str, count: int) -> Array:
        return self.draw(f"{part} images", self.inputs_size).standard_normal(
            (count, self.inputs_size)
        )

    def responses(self, images: Array) -> Array:
        return images @ self.fields.T


# Keyed by the options, like the data themselves.
@lru_cache(maxsize=4)
def _drawn(task: SimulatedNeurons) -> tuple[Array, Array, Array]:
    draw = task.draw("neurons")
    fields = np.zeros((task.neurons, task.side, task.side))
    places = np.zeros((task.neurons, 2), np.int64)
    kinds = np.arange(task.neurons) % task.types
    # Of a gaussian number the mean absolute value is sqrt(2 / pi) standard deviations.
    length = MEAN / np.sqrt(2 / np.pi)
    for n, kind in enumerate(kinds):
        places[n] = draw.integers(0, task.positions, 2)
        field = _field(task.patch, SIZES[kind], task.variation * draw.uniform(-1, 1, 6))
        row, column = places[n]
        window = fields[n, row : row + task.patch, column : column + task.patch]
        window[...] = field * (length / np.linalg.norm(field))
    return fields.reshape(task.neurons, -1), places, kinds


def _field(patch: int, size: float, jitter: Array) -> Array:
    """Centre less twice the surround.

    ``jitter`` is that of centre and surround, of the aspect, of the rotation (of half a turn),
    and of row and column (``PIXEL`` for a variation of 5 %).
    """
    half = (patch - 1) / 2
    shift = jitter[4:, None, None] / 0.05 * PIXEL
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1] - shift
    turn = np.pi * jitter[3]
    along = np.cos(turn) * rows + np.sin(turn) * columns
    across = np.cos(turn) * columns - np.sin(turn) * rows
    aspect = 1 + jitter[2]

    def bump(variance: float) -> Array:
        square = along**2 / (variance * aspect) + across**2 * aspect / variance
        return np.exp(-square / 2) / (2 * np.pi * variance)

    centre, surround = (half * size * (1 + part) for part in jitter[:2])
    return bump(centre / 4) - 2 * bump(surround)

"""Oriented gratings, to be told apart by their orientation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import flag, integer, number, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch

Array = NDArray[np.float64]

WAVELENGTH = 0.375
"""Of the grating, as a share of the image's side."""
WINDOW = 0.25
"""Standard deviation of the gaussian window, as a share of the image's side."""


@dataclass(frozen=True)
class Gratings(Task):
    """Orientation discrimination: gratings in a gaussian window, of random phase, in pixel noise.

    A pixel is the contrast with a grey background, which is 0; without noise it lies within
    -1 and 1. The orientation of class k is ``first + k separation`` degrees, or uniform within
    ``spread / 2`` degrees of that. The defaults are the fine discrimination of Richards et al.
    2019, Fig. 4; ``classes=8, separation=22.5, spread=22.5, first=0`` asks roughly for any
    orientation.

    Parameters
    ----------
    pixels : int, default 16
        Side of the image.
    classes : int, default 2
        Number of classes.
    first : float, default 39.0
        Orientation of the first class, degrees.
    separation : float, default 12.0
        Degrees from one class to the next.
    spread : float, default 0.0
        Width of the range of orientations of a class, degrees.
    noise : float, default 0.3
        Standard deviation of the gaussian noise of each pixel.
    shuffled : bool, default False
        Whether the classes of the training set are shuffled among its examples, so that the
        outcome tells nothing of the stimulus.
    examples : int, default 2000
        Number of examples of the training set.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    pixels: int = 16
    classes: int = 2
    first: float = 39.0
    separation: float = 12.0
    spread: float = 0.0
    noise: float = 0.3
    shuffled: bool = False
    examples: int = 2000
    seed: int = 0

    name: ClassVar[str] = "gratings"
    summary: ClassVar[str] = "orientation of gratings of random phase in noise"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Richards et al. 2019"

    def __post_init__(self) -> None:
        for option in ("pixels", "classes", "examples"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=2))
        object.__setattr__(self, "first", number("first", self.first))
        object.__setattr__(self, "separation", positive("separation", self.separation))
        for option in ("spread", "noise"):
            object.__setattr__(self, option, number(option, getattr(self, option), least=0))
        flag("shuffled", self.shuffled)
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))

    @property
    def inputs_size(self) -> int:
        """Pixels of the image."""
        return self.pixels**2

    @property
    def image(self) -> Image | None:
        """One grating."""
        return (self.pixels, self.pixels, 1)

    @property
    def outputs_size(self) -> int:
        """Number of classes."""
        return self.classes

    def load(self) -> tuple[Batch, Batch]:
        """Draw the training set, and a test set of 1000 examples."""
        train, test = self._draw("train", self.examples), self._draw("test", 1000)
        if self.shuffled:
            # A stream of its own: shuffled or not, the images are the same.
            order = generator(self.seed, "data", self.name, "shuffle").permutation(train.size)
            train = Batch(train.inputs, train.targets[order], train.keys)
        return train, test

    def _draw(self, part: str, examples: int) -> Batch:
        draw = generator(self.seed, "data", self.name, part)
        labels = draw.integers(self.classes, size=examples)
        within, phases = draw.uniform(size=examples), draw.uniform(0, 360, examples)
        orientations = self.first + self.separation * labels + self.spread * (within - 0.5)
        noise = draw.standard_normal((examples, self.inputs_size))
        return Batch(grating(orientations, phases, self.pixels) + self.noise * noise, labels)


def grating(orientations: Array, phases: Array, pixels: int) -> Array:
    """Gratings without noise, flat images ``(B, pixels^2)`` within -1 and 1.

    Parameters
    ----------
    orientations
        Of the stripes against the horizontal, anticlockwise, degrees, ``(B,)``.
    phases
        Degrees, ``(B,)``; 0 has a bright stripe in the centre.
    pixels
        Side of the image.
    """
    place = (np.arange(pixels) + 0.5) / pixels - 0.5
    right, up = place[None, :], -place[:, None]
    angle, phase = (np.radians(degrees)[:, None, None] for degrees in (orientations, phases))
    across = up * np.cos(angle) - right * np.sin(angle)
    window = np.exp(-(right**2 + up**2) / (2 * WINDOW**2))
    images = window * np.cos(2 * np.pi * across / WAVELENGTH + phase)
    return images.reshape(len(images), -1)

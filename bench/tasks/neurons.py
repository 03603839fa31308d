"""What tasks have in common in which neurons answer images and what they compute is known."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import flag, integer
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch

Array = np.ndarray

MEAN = 0.1
"""Mean absolute response of every neuron."""


def observed(responses: Array, draw: np.random.Generator) -> Array:
    """Single trials: responses plus gaussian noise whose variance is their absolute value."""
    noise: Array = draw.standard_normal(responses.shape)
    return responses + np.sqrt(np.abs(responses)) * noise


@dataclass(frozen=True)
class Neurons(Task):
    """Responses of neurons to images: noisy single trials for training, none of it for testing.

    Parameters
    ----------
    neurons : int, default 100
        Number of neurons N.
    examples, test_examples : int, default 2048 and 2000
        Images for training and for testing.
    side : int, default 24
        Height and width of an image, pixels.
    shuffled : bool, default False
        Whether training responses are those to other images: there is nothing to be found.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    neurons: int = 100
    examples: int = 2048
    test_examples: int = 2000
    side: int = 24
    shuffled: bool = False
    seed: int = 0

    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    def __post_init__(self) -> None:
        for option in ("neurons", "examples", "test_examples"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))
        object.__setattr__(self, "side", integer("side", self.side, least=self.smallest))
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))
        flag("shuffled", self.shuffled)

    @property
    @abstractmethod
    def smallest(self) -> int:
        """The smallest side of an image in which there is room for the receptive fields."""

    @property
    def inputs_size(self) -> int:
        """Pixels of an image."""
        return self.side**2

    @property
    def image(self) -> Image | None:
        """What all neurons see."""
        return (self.side, self.side, 1)

    @property
    def outputs_size(self) -> int:
        """Number of neurons."""
        return self.neurons

    @abstractmethod
    def images(self, part: str, count: int) -> Array:
        """Images ``(count, side * side)`` of the part ``train`` or ``test``."""

    @abstractmethod
    def responses(self, images: Array) -> Array:
        """Responses without noise ``(B, N)`` to images ``(B, side * side)``."""

    def load(self) -> tuple[Batch, Batch]:
        """Draw the training set, of single trials, and the test set, without noise."""
        shown = self.images("train", self.examples)
        unseen = self.images("test", self.test_examples)
        with one_blas_thread():
            trials = observed(self.responses(shown), self.draw("noise", self.neurons))
            known = self.responses(unseen)
        if self.shuffled:
            trials = trials[self.draw("shuffle").permutation(self.examples)]
        return Batch(shown, trials), Batch(unseen, known)

    def repeats(self, count: int) -> Array:
        """Single trials of every test image, ``(count, test_examples, N)``."""
        known = self.test.targets
        draw = self.draw("repeats", self.neurons)
        return observed(np.broadcast_to(known, (count, *known.shape)), draw)

    def draw(self, *use: str | int) -> np.random.Generator:
        """The stream of a use; more examples extend fewer."""
        return generator(self.seed, "data", self.name, *use)

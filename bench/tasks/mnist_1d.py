"""MNIST-1D: digits as curves of 40 numbers, made by the package mnist1d."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.kept import Arrays, kept
from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import InputError, integer
from plausibench.objectives.batch import Batch

CLASSES = 10
POINTS = 40
"""Numbers of an example."""
ARRAYS = ("x", "y", "x_test", "y_test")
"""Of the package, as far as they are used."""
PUBLISHED = 42
"""Seed of the data set as it was published."""


@dataclass(frozen=True)
class Mnist1d(Task):
    """Ten classes of curves of 40 numbers: 4000 for training, 1000 for testing.

    A curve is the outline of a digit that is padded, scaled, moved, sheared and made noisy; over
    both sets the numbers have mean 0 and variance 1. A linear readout gets about a third of them
    right, a network with hidden layers about twice as many, which tells learning rules apart
    better than images of digits do (Greydanus & Kobak 2024). The curve is also an image of one
    row. The package mnist1d, which plausibench needs, makes it; nothing is downloaded.

    Parameters
    ----------
    seed : int, default 42
        Seed of the package; 42 makes the data set that was published.

    Raises
    ------
    InputError
        If ``seed`` is not allowed; on reading, if mnist1d is missing.
    """

    seed: int = PUBLISHED

    name: ClassVar[str] = "mnist_1d"
    summary: ClassVar[str] = "5000 curves of 40 numbers after the digits, 10 classes"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Greydanus & Kobak 2024"

    def __post_init__(self) -> None:
        seed = integer("seed", self.seed, least=0, most=2**32 - 1)
        object.__setattr__(self, "seed", seed)

    @property
    def inputs_size(self) -> int:
        """40 numbers."""
        return POINTS

    @property
    def image(self) -> Image | None:
        """One row of 40 pixels."""
        return (1, POINTS, 1)

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return CLASSES

    def load(self) -> tuple[Batch, Batch]:
        """Make the curves, which are then split as the package does."""
        made = _made(self.seed)
        return Batch(made["x"], made["y"]), Batch(made["x_test"], made["y_test"])


def _made(seed: int) -> Arrays:
    """The arrays of the package; last digits may differ between versions of its libraries."""
    try:
        versions = [f"{package} {version(package)}" for package in ("mnist1d", "numpy", "scipy")]
        asking = Path(__file__).read_text(encoding="utf-8")
        return kept("mnist_1d", f"{seed} {versions} {asking}", partial(_make, seed))
    except ImportError as error:
        raise InputError(
            "task: the curves of mnist_1d are made by mnist1d, which is not installed; pip install "
            "mnist1d"
        ) from error


def _make(seed: int) -> Arrays:
    from mnist1d.data import get_dataset_args, make_dataset

    asked = get_dataset_args()
    asked.seed = seed
    with _global_streams_kept():
        made = make_dataset(asked)
    return {name: np.asarray(made[name]) for name in ARRAYS}


@contextmanager
def _global_streams_kept() -> Iterator[None]:
    """The package seeds the global streams of numpy and Python, which are those of the user."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)

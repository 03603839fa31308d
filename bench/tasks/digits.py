"""The 1797 handwritten digits that ship with scikit-learn."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.split import stratified
from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import InputError, number
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class Digits(Task):
    """Real handwritten digits of 8 x 8 pixels in [0, 1], ten classes (Alpaydin & Kaynak 1998).

    Parameters
    ----------
    test_fraction : float, default 0.2
        Share of the examples kept for testing, above 0 and below 1, the same in each class.

    Raises
    ------
    InputError
        If ``test_fraction`` is out of range.
    """

    test_fraction: float = 0.2

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "1797 real handwritten digits, 8 x 8 pixels in [0, 1], 10 classes"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Alpaydin & Kaynak 1998"

    def __post_init__(self) -> None:
        fraction = number("test_fraction", self.test_fraction, above=0, below=1)
        object.__setattr__(self, "test_fraction", fraction)

    @property
    def inputs_size(self) -> int:
        """64 pixels."""
        return 64

    @property
    def image(self) -> Image | None:
        """8 x 8 pixels."""
        return (8, 8, 1)

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def load(self) -> tuple[Batch, Batch]:
        """Read the digits and split them."""
        table = np.loadtxt(_file(), delimiter=",")
        pixels, labels = table[:, :-1], table[:, -1].astype(np.int64)
        train, test = stratified(labels, self.test_fraction, self.name)
        return Batch(pixels[train] / 16, labels[train]), Batch(pixels[test] / 16, labels[test])


def _file() -> Path:
    """The table of scikit-learn, whose import takes a second and a half in every process."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise InputError(
            "task: digits ship with scikit-learn, which is not installed; pip install scikit-learn"
        )
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"

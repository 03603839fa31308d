"""The 1797 handwritten digits that ship with scikit-learn."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from plausibench.bench.tasks.split import stratified
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import number
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
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def load(self) -> tuple[Batch, Batch]:
        """Read the digits and split them."""
        # Imported here because it takes a second and a half.
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        train, test = stratified(labels, self.test_fraction, self.name)
        return Batch(pixels[train] / 16, labels[train]), Batch(pixels[test] / 16, labels[test])

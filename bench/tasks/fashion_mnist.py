"""Fashion-MNIST from local files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from plausibench.bench.tasks.images import (
    Labelled,
    LocalImages,
    is_folder,
    read_arrays,
    read_folder,
)
from plausibench.kernels.errors import refusal


@dataclass(frozen=True)
class FashionMnist(LocalImages):
    """Garments of 28 x 28 pixels in [0, 1] from local files, ten classes (Xiao et al. 2017).

    Parameters
    ----------
    path : str or Path
        A directory with the four IDX files, gzip-compressed or not, or the one above
        ``FashionMNIST/raw`` that torchvision is given; or an ``.npz`` file with the arrays
        ``x_train, y_train, x_test, y_test`` or ``train_images, train_labels, test_images,
        test_labels``. ``plausibench fetch fashion_mnist`` gets the files. They are read once in a
        process, and nothing in them is ever executed.

    Raises
    ------
    InputError
        If no path is given; on reading, if files are missing, damaged or of other contents.
    """

    name: ClassVar[str] = "fashion_mnist"
    summary: ClassVar[str] = "Fashion-MNIST from local files, pixels in [0, 1], 10 classes"
    cites: ClassVar[str] = "Xiao, Rasul & Vollgraf 2017"
    allowed: ClassVar[str] = (
        "a directory of IDX files or an .npz file (plausibench fetch fashion_mnist gets them)"
    )

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def read(self, source: Path) -> Sequence[Labelled]:
        """Images and labels of training and test set."""
        if is_folder(source):
            return read_folder(source, "FashionMNIST")
        if source.suffix.lower() == ".npz":
            return read_arrays(source)
        raise refusal("path", self.path, self.allowed)

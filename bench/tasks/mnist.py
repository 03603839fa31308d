"""MNIST, or digits or garments in the same format, from local files."""

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
    read_pair,
)
from plausibench.kernels.errors import refusal


@dataclass(frozen=True)
class Mnist(LocalImages):
    """Handwritten digits from local files, pixels in [0, 1], ten classes (LeCun et al. 1998).

    Parameters
    ----------
    path : str or Path
        One of: a directory with the four IDX files of MNIST, or the one above ``MNIST/raw`` that
        torchvision is given; an ``.npz`` file with the arrays ``x_train, y_train, x_test,
        y_test`` or ``train_images, train_labels, test_images, test_labels``; a single IDX file
        of images beside its labels, of which a fifth of each class is kept for testing. IDX
        files may be gzip-compressed, labels may be a column. ``plausibench fetch mnist`` gets the
        files. They are read once in a process, and nothing in them is ever executed.

    Raises
    ------
    InputError
        If no path is given; on reading, if files are missing, damaged or of other contents.
    """

    name: ClassVar[str] = "mnist"
    summary: ClassVar[str] = "MNIST from local files (IDX or .npz), pixels in [0, 1], 10 classes"
    cites: ClassVar[str] = "LeCun, Bottou, Bengio & Haffner 1998"
    allowed: ClassVar[str] = (
        "a directory of IDX files, an .npz file or an IDX file of images (plausibench fetch mnist "
        "gets the files; the task mnist_5k needs none)"
    )

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def read(self, source: Path) -> Sequence[Labelled]:
        """Images and labels, of training and test set or still to be split."""
        if is_folder(source):
            return read_folder(source, "*MNIST")
        if source.suffix.lower() == ".npz":
            return read_arrays(source)
        if "images" in source.name:
            return [read_pair(source)]
        raise refusal(
            "path",
            self.path,
            "a directory of IDX files, an .npz file or an IDX file with 'images' in its name",
        )

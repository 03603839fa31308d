"""CIFAR-10 from local files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from plausibench.bench.tasks.cifar import Files, Layout, read_cifar
from plausibench.bench.tasks.images import Labelled, LocalImages

_FILES = Files(
    archive="cifar-10-binary.tar.gz",
    binary=Layout(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        ("test_batch.bin",),
    ),
    pickled=Layout(
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        ("test_batch",),
    ),
    labels=1,
    label=0,
    key="labels",
)


@dataclass(frozen=True)
class Cifar10(LocalImages):
    """Colour photographs of 32 x 32 pixels in [0, 1] from local files (Krizhevsky 2009).

    There are ten classes, 50 000 images for training and 10 000 for testing. They take 1.5 GB of
    memory, and 2.8 GB while they are read.

    Parameters
    ----------
    path : str or Path
        A folder with ``cifar-10-batches-bin`` in it (the binary version), ``cifar-10-batches-py``
        (the version for Python, where torchvision keeps it) or ``cifar-10-binary.tar.gz``; one
        of these itself; or an ``.npz`` file with the arrays ``x_train, y_train, x_test, y_test``
        as Keras has them. ``plausibench fetch cifar10`` gets the archive. Nothing in the files is
        ever executed: of the version for Python, which is pickled, bytes and numbers are read and
        everything else is refused.

    Raises
    ------
    InputError
        If no path is given; on reading, if files are missing, damaged or of other contents.
    """

    name: ClassVar[str] = "cifar10"
    summary: ClassVar[str] = "CIFAR-10 from local files, 32 x 32 pixels in colour, 10 classes"
    cites: ClassVar[str] = "Krizhevsky 2009"
    allowed: ClassVar[str] = (
        "a folder with cifar-10-batches-bin or cifar-10-binary.tar.gz in it, or an .npz file "
        "(plausibench fetch cifar10 gets the archive)"
    )

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def read(self, source: Path) -> Sequence[Labelled]:
        """Images and labels of training and test set."""
        return read_cifar(source, _FILES)

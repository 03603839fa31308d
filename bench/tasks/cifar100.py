"""CIFAR-100 from local files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from plausibench.bench.tasks.cifar import Files, Layout, read_cifar
from plausibench.bench.tasks.images import Labelled, LocalImages
from plausibench.kernels.errors import choose

_CLASSES = {"fine": 100, "coarse": 20}
_ORDER = ("coarse", "fine")
"""Of the labels before an image in the binary version."""


@dataclass(frozen=True)
class Cifar100(LocalImages):
    """Colour photographs of 32 x 32 pixels in [0, 1] from local files (Krizhevsky 2009).

    There are a hundred classes in twenty groups, 50 000 images for training and 10 000 for
    testing. They take 1.5 GB of memory, and 2.8 GB while they are read.

    Parameters
    ----------
    path : str or Path
        A folder with ``cifar-100-binary`` in it (the binary version), ``cifar-100-python`` (the
        version for Python, where torchvision keeps it) or ``cifar-100-binary.tar.gz``; one of
        these itself; or an ``.npz`` file with the arrays ``x_train, y_train, x_test, y_test`` as
        Keras has them, ``y`` being what ``labels`` says. ``plausibench fetch cifar100`` gets the
        archive. Nothing in the files is ever executed: of the version for Python, which is
        pickled, bytes and numbers are read and everything else is refused.
    labels : {"fine", "coarse"}, default "fine"
        A hundred classes, or twenty groups of them.

    Raises
    ------
    InputError
        If no path is given or ``labels`` is not known; on reading, if files are missing, damaged
        or of other contents.
    """

    labels: str = "fine"

    name: ClassVar[str] = "cifar100"
    summary: ClassVar[str] = "CIFAR-100 from local files, 32 x 32 pixels in colour, 100 classes"
    cites: ClassVar[str] = "Krizhevsky 2009"
    allowed: ClassVar[str] = (
        "a folder with cifar-100-binary or cifar-100-binary.tar.gz in it, or an .npz file "
        "(plausibench fetch cifar100 gets the archive)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        choose("labels", self.labels, _CLASSES)

    @property
    def outputs_size(self) -> int:
        """100 classes or 20 groups."""
        return _CLASSES[self.labels]

    def read(self, source: Path) -> Sequence[Labelled]:
        """Images and labels of training and test set."""
        files = Files(
            archive="cifar-100-binary.tar.gz",
            binary=Layout("cifar-100-binary", ("train.bin",), ("test.bin",)),
            pickled=Layout("cifar-100-python", ("train",), ("test",)),
            labels=len(_ORDER),
            label=_ORDER.index(self.labels),
            key=f"{self.labels}_labels",
        )
        return read_cifar(source, files)

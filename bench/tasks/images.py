"""Labelled images from local files: what the tasks share that read them."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.idx import read_idx
from plausibench.bench.tasks.npz import read_npz
from plausibench.bench.tasks.split import stratified
from plausibench.bench.tasks.task import Image, Task, image_of
from plausibench.kernels.errors import InputError, refusal
from plausibench.objectives.batch import Batch

Labelled = tuple[NDArray[Any], NDArray[Any]]
"""Images (B, ...) and labels (B,), not yet checked."""

_PARTS = ("train", "t10k")
_LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)


@dataclass(frozen=True)
class LocalImages(Task):
    """Images from local files, pixels in [0, 1]; nothing in the files is ever executed.

    Attributes
    ----------
    allowed : str
        What ``path`` may be, for a refusal.
    """

    path: str | Path = ""

    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    allowed: ClassVar[str]

    def __post_init__(self) -> None:
        path: object = self.path
        if not isinstance(path, str | Path) or not str(path):
            raise refusal("path", path, self.allowed)
        object.__setattr__(self, "path", str(path))

    @property
    def identity(self) -> tuple[Any, ...]:
        """Digest of the data, which are the same wherever the files lie."""
        return (("sha256", _read(self).digest),)

    @property
    def inputs_size(self) -> int:
        """Number of pixels, times that of their channels."""
        return self.train.inputs.shape[1]

    @property
    def image(self) -> Image | None:
        """Height, width and channels."""
        return image_of(_read(self).shape)

    @abstractmethod
    def read(self, source: Path) -> Sequence[Labelled]:
        """Training images and test images, or images that are still to be split.

        Raises
        ------
        InputError
            If files are missing or damaged.
        """

    def load(self) -> tuple[Batch, Batch]:
        """Read the training set and the test set."""
        data = _read(self)
        return data.train, data.test


class _Data(NamedTuple):
    train: Batch
    test: Batch
    digest: str
    shape: tuple[int, ...]


@lru_cache(maxsize=2)
def _read(task: LocalImages) -> _Data:
    # os.path, because Path raises on unknown users, forbidden folders and overlong names.
    source = Path(os.path.expanduser(task.path))
    parts = task.read(source)
    shape = parts[0][0].shape[1:]
    parts = [_checked(source, images, labels, task.outputs_size) for images, labels in parts]
    digest = sha256()
    for array in (array for part in parts for array in part):
        digest.update(f"{array.shape}".encode() + array.tobytes())
    if len(parts) == 1:
        [(images, labels)] = parts
        parts = [(images[rows], labels[rows]) for rows in stratified(labels, 0.2, task.name)]
        if not parts[1][1].size:
            raise InputError(f"path: {source} has too few images to keep any for testing")
    train, test = (Batch(pixels / 255, labels) for pixels, labels in parts)
    if train.inputs.shape[1] != test.inputs.shape[1]:
        raise InputError(
            f"path: {source} has {train.inputs.shape[1]} pixels in its training images but "
            f"{test.inputs.shape[1]} in its test images"
        )
    return _Data(train, test, digest.hexdigest(), shape)


def is_folder(path: Path) -> bool:
    """Whether it is a folder; False for what cannot be looked at."""
    return os.path.isdir(path)


def read_folder(folder: Path, below: str) -> list[Labelled]:
    """The four IDX files of a folder, or of one where torchvision puts them below it.

    Parameters
    ----------
    folder : Path
        The folder.
    below : str
        Pattern of the name that torchvision gives to the data set.
    """
    home = _home(folder, below)
    return [read_pair(_find(home, f"{part}-images-idx3-ubyte")) for part in _PARTS]


def read_pair(images: Path) -> Labelled:
    """Images of an IDX file and the labels that lie beside it."""
    name = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    return read_idx(images, 3), read_idx(_find(images.parent, name), 1)


def read_arrays(path: Path) -> list[Labelled]:
    """Training set and test set of an .npz file."""
    _, arrays = read_npz("path", path, _LAYOUTS)
    return [(arrays[0], arrays[1]), (arrays[2], arrays[3])]


def _home(folder: Path, below: str) -> Path:
    # torchvision names a folder by the data set: MNIST, FashionMNIST, KMNIST.
    places = [folder / "raw", *sorted(folder.glob(f"{below}/raw"))]
    homes = [home for home in places if any(home.glob("train-images*"))]
    if any(folder.glob("train-images*")) or not homes:
        return folder
    if len(homes) > 1:
        raise InputError(
            f"path: {folder} holds several data sets, {', '.join(map(str, homes))}; allowed is one"
        )
    return homes[0]


def _find(folder: Path, name: str) -> Path:
    for spelling in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = folder / f"{spelling}{suffix}"
            if os.path.isfile(path):
                return path
    raise InputError(f"path: {folder} has neither a file {name} nor {name}.gz")


def _checked(source: Path, images: Any, labels: Any, classes: int) -> Labelled:
    """Pixels (B, N) and labels (B,) as bytes."""
    if not (isinstance(images, np.ndarray) and isinstance(labels, np.ndarray)):
        raise InputError(f"path: {source} holds something else than plain arrays")
    if images.dtype != np.uint8 or images.ndim < 2 or images.size == 0:
        raise InputError(
            f"path: {source} holds images of type {images.dtype} and shape {images.shape}, not "
            "bytes (examples, rows, columns)"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(
            f"path: {source} holds labels of type {labels.dtype} and shape {labels.shape}, not "
            f"one whole number for each of {len(images)} images"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"path: {source} holds labels from {labels.min()} to {labels.max()}, not from 0 to "
            f"{classes - 1}"
        )
    return images.reshape(len(images), -1), labels.astype(np.uint8)

"""MNIST, or digits or garments in the same format, from local files."""

import os
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.idx import read_idx
from plausibench.bench.tasks.split import stratified
from plausibench.bench.tasks.task import Image, Task, image_of
from plausibench.kernels.errors import InputError, refusal, show
from plausibench.objectives.batch import Batch

_Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_CLASSES = 10
_PARTS = ("train", "t10k")
_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)


@dataclass(frozen=True)
class Mnist(Task):
    """Handwritten digits from local files, pixels in [0, 1], ten classes (LeCun et al. 1998).

    Parameters
    ----------
    path : str or Path
        One of: a directory with the four IDX files of MNIST, or the one above ``MNIST/raw`` that
        torchvision is given; an ``.npz`` file with the arrays ``x_train, y_train, x_test,
        y_test`` or ``train_images, train_labels, test_images, test_labels``; a single IDX file
        of images beside its labels, of which a fifth of each class is kept for testing. IDX
        files may be gzip-compressed, labels may be a column. The files are read once in a
        process, and nothing in them is ever executed.

    Raises
    ------
    InputError
        If no path is given; on reading, if files are missing, damaged or of other contents.
    """

    path: str | Path = ""

    name: ClassVar[str] = "mnist"
    summary: ClassVar[str] = "MNIST from local files (IDX or .npz), pixels in [0, 1], 10 classes"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "LeCun, Bottou, Bengio & Haffner 1998"

    def __post_init__(self) -> None:
        path: object = self.path
        if not isinstance(path, str | Path) or not str(path):
            raise refusal(
                "path",
                path,
                "a directory of IDX files, an .npz file or an IDX file of images (the task "
                "mnist_5k needs no file)",
            )
        object.__setattr__(self, "path", str(path))

    @property
    def identity(self) -> tuple[Any, ...]:
        """Digest of the data, which are the same wherever the files lie."""
        return (("sha256", _read(str(self.path)).digest),)

    @property
    def inputs_size(self) -> int:
        """Number of pixels, 784 in MNIST itself."""
        return self.train.inputs.shape[1]

    @property
    def image(self) -> Image | None:
        """28 x 28 pixels in MNIST itself."""
        return image_of(_read(str(self.path)).shape)

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return _CLASSES

    def load(self) -> tuple[Batch, Batch]:
        """Read the training set and the test set."""
        data = _read(str(self.path))
        return data.train, data.test


class _Data(NamedTuple):
    train: Batch
    test: Batch
    digest: str
    shape: tuple[int, ...]


@lru_cache(maxsize=2)
def _read(path: str) -> _Data:
    # os.path, because Path raises on unknown users, forbidden folders and overlong names.
    source = Path(os.path.expanduser(path))
    if os.path.isdir(source):
        home = _home(source)
        parts = [_read_pair(_find(home, f"{part}-images-idx3-ubyte")) for part in _PARTS]
    elif source.suffix.lower() == ".npz":
        parts = _read_npz(source)
    elif "images" in source.name:
        parts = [_read_pair(source)]
    else:
        raise refusal(
            "path",
            path,
            "a directory of IDX files, an .npz file or an IDX file with 'images' in its name",
        )
    shown = parts[0][0]
    parts = [_checked(source, images, labels) for images, labels in parts]
    digest = sha256()
    for array in (array for part in parts for array in part):
        digest.update(f"{array.shape}".encode() + array.tobytes())
    if len(parts) == 1:
        [(images, labels)] = parts
        parts = [(images[rows], labels[rows]) for rows in stratified(labels, 0.2, Mnist.name)]
        if not parts[1][1].size:
            raise InputError(f"path: {source} has too few images to keep any for testing")
    train, test = (Batch(pixels / 255, labels) for pixels, labels in parts)
    if train.inputs.shape[1] != test.inputs.shape[1]:
        raise InputError(
            f"path: {source} has {train.inputs.shape[1]} pixels in its training images but "
            f"{test.inputs.shape[1]} in its test images"
        )
    return _Data(train, test, digest.hexdigest(), shown.shape[1:])


def _read_pair(images: Path) -> _Arrays:
    """Images of an IDX file and the labels that lie beside it."""
    name = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    return read_idx(images, 3), read_idx(_find(images.parent, name), 1)


def _home(folder: Path) -> Path:
    """The folder of the IDX files: this one, or one where torchvision puts them below it."""
    # torchvision names a folder by the data set: MNIST, FashionMNIST, KMNIST.
    below = [folder / "raw", *sorted(folder.glob("*MNIST/raw"))]
    homes = [home for home in below if any(home.glob("train-images*"))]
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


def _read_npz(path: Path) -> list[_Arrays]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            found = next((keys for keys in _KEYS if members.keys() >= set(keys)), ())
            # Whole members, because only then is their checksum looked at before their content.
            contents = [archive.read(members[key]) for key in found]
        arrays = [np.load(BytesIO(content), allow_pickle=False) for content in contents]
    except Exception as error:  # a damaged archive can raise almost anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"path: {path} cannot be read ({reason})") from error
    if not found:
        raise InputError(
            f"path: {path} holds {show(sorted(members))}, not the arrays "
            f"{' or '.join(', '.join(keys) for keys in _KEYS)}"
        )
    return [(arrays[0], arrays[1]), (arrays[2], arrays[3])]


def _checked(source: Path, images: Any, labels: Any) -> _Arrays:
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
    if labels.min() < 0 or labels.max() >= _CLASSES:
        raise InputError(
            f"path: {source} holds labels from {labels.min()} to {labels.max()}, not from 0 to "
            f"{_CLASSES - 1}"
        )
    return images.reshape(len(images), -1), labels.astype(np.uint8)

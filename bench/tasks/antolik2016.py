"""Recordings in the layout of Antolík et al. 2016, from local files."""

import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.task import Image, Task, image_of
from plausibench.kernels.errors import InputError, integer, refusal
from plausibench.objectives.batch import Batch

FILES = ("training_inputs", "training_set", "validation_inputs", "raw_validation_set")
REGIONS = 3


@dataclass(frozen=True)
class Antolik2016(Task):
    """Neurons of mouse visual cortex looking at natural images (Antolík et al. 2016).

    Parameters
    ----------
    path : str or Path
        The folder that holds ``region1``, ``region2`` and ``region3``, each with the arrays
        ``training_inputs.npy`` (images, pixels), ``training_set.npy`` (images, neurons),
        ``validation_inputs.npy`` (images, pixels) and ``raw_validation_set.npy`` (repeats,
        images, neurons). Pixels are brought to zero mean and unit variance over the training
        images, each apart. Test targets are means over repeats; :attr:`repeats` holds the
        single trials. Nothing in the files is ever executed.
    region : int, default 1
        1, 2 or 3.

    Raises
    ------
    InputError
        If no path is given; on reading, if files are missing, damaged or do not fit together.
    """

    path: str | Path = ""
    region: int = 1

    name: ClassVar[str] = "antolik2016"
    summary: ClassVar[str] = "recordings of mouse visual cortex, from local files"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    cites: ClassVar[str] = "Antolik, Hofer, Bednar & Mrsic-Flogel 2016"

    def __post_init__(self) -> None:
        path: object = self.path
        if not isinstance(path, str | Path) or not str(path):
            raise refusal("path", path, "the folder of the recordings, which holds region1")
        object.__setattr__(self, "path", str(path))
        region = integer("region", self.region, least=1, most=REGIONS)
        object.__setattr__(self, "region", region)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Digest of the data, which are the same wherever the files lie."""
        return (("sha256", self._data.digest),)

    @property
    def inputs_size(self) -> int:
        """Pixels of an image; 961 in the recordings themselves."""
        return self.train.inputs.shape[1]

    @property
    def image(self) -> Image | None:
        """31 x 31 pixels in the recordings themselves."""
        return image_of(self.train.inputs.shape[1:])

    @property
    def outputs_size(self) -> int:
        """Number of neurons."""
        return self.train.targets.shape[1]

    @property
    def repeats(self) -> NDArray[np.float64]:
        """Responses to the test images, trial by trial, ``(repeats, images, neurons)``."""
        return self._data.arrays[3]

    @property
    def _data(self) -> "_Data":
        return _read(str(self.path), self.region)

    def load(self) -> tuple[Batch, Batch]:
        """Read the training set, and the test set with its means over repeats."""
        shown, trials, unseen, repeats = self._data.arrays
        mean, deviation = shown.mean(axis=0), shown.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        return (
            Batch((shown - mean) / deviation, trials),
            Batch((unseen - mean) / deviation, repeats.mean(axis=0)),
        )


class _Data(NamedTuple):
    arrays: tuple[NDArray[np.float64], ...]
    digest: str


@lru_cache(maxsize=3)
def _read(path: str, region: int) -> _Data:
    folder = Path(os.path.expanduser(path), f"region{region}")
    contents = {name: _content(folder / f"{name}.npy") for name in FILES}
    shown, trials, unseen, repeats = (
        _array(folder / f"{name}.npy", content, 3 if name.startswith("raw") else 2)
        for name, content in contents.items()
    )
    fits = (
        len(shown) == len(trials)
        and shown.shape[1] == unseen.shape[1]
        and repeats.shape[1:] == (len(unseen), trials.shape[1])
    )
    if not fits:
        shapes = ", ".join(str(array.shape) for array in (shown, trials, unseen, repeats))
        raise InputError(f"path: the arrays in {folder} do not fit together: {shapes}")
    digest = sha256(b"".join(sha256(content).digest() for content in contents.values()))
    return _Data((shown, trials, unseen, repeats), digest.hexdigest())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"path: {path} cannot be read ({error.strerror})") from error


def _array(path: Path, content: bytes, dimensions: int) -> NDArray[np.float64]:
    try:
        found = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"path: {path} is no array of numpy that can be read") from error
    good = isinstance(found, np.ndarray) and found.dtype.kind in "fiu"
    if not good or found.ndim != dimensions or not found.size:
        raise InputError(f"path: {path} holds no numbers with {dimensions} axes")
    values = found.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"path: {path} holds a value that is not finite")
    return values

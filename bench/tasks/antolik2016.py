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

from plausibench.bench.tasks.standard import standard
from plausibench.bench.tasks.task import Image, Task, image_of
from plausibench.kernels.errors import InputError, integer, refusal
from plausibench.objectives.batch import Batch

FILES = ("training_inputs", "training_set", "validation_inputs", "raw_validation_set")
REPEATED = "raw_validation_set"
"""The file with several trials of each image, of which some may be missing."""
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
        images, neurons). Images that were shown less often than others are padded with NaN.
        Pixels are brought to zero mean and unit variance over the training images, each apart;
        one that never changes keeps its scale. Test targets are means over repeats;
        :attr:`repeats` holds the single trials. Nothing in the files is ever executed.
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
        """Responses to the test images, trial by trial, ``(repeats, images, neurons)``.

        NaN where an image was shown less often than others.
        """
        return self._data.arrays[3]

    @property
    def _data(self) -> "_Data":
        return _read(str(self.path), self.region)

    def load(self) -> tuple[Batch, Batch]:
        """Read the training set, and the test set with its means over repeats."""
        shown, trials, unseen, repeats = self._data.arrays
        mean, deviation = standard(shown)
        return (
            Batch((shown - mean) / deviation, trials),
            Batch((unseen - mean) / deviation, np.nanmean(repeats, axis=0)),
        )


class _Data(NamedTuple):
    arrays: tuple[NDArray[np.float64], ...]
    digest: str


@lru_cache(maxsize=3)
def _read(path: str, region: int) -> _Data:
    folder = Path(os.path.expanduser(path), f"region{region}")
    contents = {name: _content(folder / f"{name}.npy") for name in FILES}
    shown, trials, unseen, repeats = (
        _array(folder / f"{name}.npy", content, repeated=name == REPEATED)
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


def _array(path: Path, content: bytes, repeated: bool) -> NDArray[np.float64]:
    """Numbers with two axes; with three and at least one trial of each image if ``repeated``."""
    try:
        found = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "Object arrays" in str(error):
            raise InputError(
                f"path: {path} holds an array of objects, which is not opened because opening it "
                "may execute what is in it; allowed are numbers, unequal numbers of trials being "
                "padded with NaN"
            ) from error
        raise InputError(f"path: {path} is no array of numpy that can be read") from error
    axes = 3 if repeated else 2
    if not isinstance(found, np.ndarray):
        raise InputError(f"path: {path} holds several arrays; allowed is a single one")
    if found.dtype.kind not in "fiu" or found.ndim != axes or not found.size:
        raise InputError(
            f"path: {path} holds an array of type {found.dtype} and shape {found.shape}; allowed "
            f"are numbers with {axes} axes"
        )
    values = found.astype(np.float64)
    if repeated and np.isnan(values).all(axis=0).any():
        image, neuron = np.argwhere(np.isnan(values).all(axis=0))[0]
        raise InputError(
            f"path: {path} holds no trial of image {image} for neuron {neuron}, only NaN; allowed "
            "is at least one of each"
        )
    if np.isinf(values).any() or (np.isnan(values).any() and not repeated):
        raise InputError(f"path: {path} holds a value that is not finite")
    return values

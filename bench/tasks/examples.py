"""Inputs and targets that a user hands over, from a file or from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.npz import read_npz
from plausibench.bench.tasks.table import read_table
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, refusal

Array = NDArray[np.float64]
Pair = tuple[Array, NDArray[Any]]
"""Inputs (B, ...) and targets, which are numbers or text."""

_SPLIT = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_inputs", "train_targets", "test_inputs", "test_targets"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_data", "train_labels", "test_data", "test_labels"),
)
_WHOLE = (
    ("x", "y"),
    ("inputs", "targets"),
    ("data", "target"),
    ("data", "labels"),
    ("features", "labels"),
    ("images", "labels"),
)
"""Names of arrays in an .npz file, with a test set of its own and without."""
_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets as they were given; two of the same content are equal.

    Attributes
    ----------
    source : str
        Where they are from, for errors.
    parts : tuple of (inputs, targets)
        One pair, still to be split, or those of the training set and of the test set.
    digest : str
        Of the content.
    """

    source: str
    parts: tuple[Pair, ...]
    digest: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Examples) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        shapes = ", ".join(str(inputs.shape) for inputs, _ in self.parts)
        return f"Examples(inputs {shapes}, sha256 {self.digest[:12]})"


def read_examples(path: Path, column: str) -> Examples:
    """Read an .npz file or a text file.

    Parameters
    ----------
    path : Path
        The file.
    column : str
        Column of targets in a text file, as of :func:`read_table`.

    Raises
    ------
    InputError
        If it is missing, damaged, or holds something else than numbers with their targets.
    """
    source = f"file: {path}"
    if path.suffix.lower() in _TABLES:
        inputs, targets = read_table(path, column)
        return examples_of(source, [pair(source, inputs, source, targets)])
    if path.suffix.lower() != ".npz":
        raise refusal("file", str(path), "an .npz file, or a .csv, .tsv or .txt file")
    if column:
        raise InputError(f"column: {path} holds arrays with names; only text files have columns")
    names, arrays = read_npz("file", path, (*_SPLIT, *_WHOLE))
    pairs = [
        pair(f"{source}, {names[at]}", arrays[at], f"{source}, {names[at + 1]}", arrays[at + 1])
        for at in range(0, len(names), 2)
    ]
    return examples_of(source, pairs)


def pair(where: str, inputs: Any, answers: str, targets: Any) -> Pair:
    """Inputs as numbers, and targets as numbers or text.

    Parameters
    ----------
    where, answers : str
        Names of inputs and targets, for errors.
    inputs, targets : array_like
        What was given.

    Raises
    ------
    InputError
        If they are something else, or not as many.
    """
    examples = _finite(where, numbers(where, inputs))
    if not 1 <= examples.ndim <= 4 or not examples.size:
        raise InputError(
            f"{where}: shape {examples.shape} is not (examples, inputs) with at least one of each"
        )
    told = _text(targets)
    if told is None:
        told = _finite(answers, numbers(answers, targets))
    if told.ndim > 1 and told.shape[-1] == 1:
        told = told[..., 0]  # a column
    if told.shape[:1] != examples.shape[:1] or not told.size:
        raise InputError(
            f"{answers}: shape {told.shape} is not a target for each of {len(examples)} examples"
        )
    return (examples[:, None] if examples.ndim == 1 else examples), told


def _text(values: Any) -> NDArray[Any] | None:
    """Names as text, if they are names."""
    if hasattr(values, "detach"):  # a tensor
        return None
    try:
        array = np.asarray(values)
        if array.dtype.kind == "S":
            return np.char.decode(array, "utf-8")
    except ValueError:  # rows of unequal length, other bytes: told where numbers are asked for
        return None
    names = array.dtype.kind in "UT"
    if array.dtype.kind == "O" and array.size:
        names = all(isinstance(entry, str) for entry in array.flat)
    return array.astype(str) if names else None


def _finite(where: str, values: NDArray[Any]) -> Array:
    array = values.astype(np.float64)
    if not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{where}: {array[place]} at {list(place)} is not a finite number")
    return array


def examples_of(source: str, parts: Sequence[Pair]) -> Examples:
    """Examples of one part, or of a training set and a test set.

    Raises
    ------
    InputError
        If the two do not fit together.
    """
    shapes = {inputs.shape[1:] for inputs, _ in parts}
    if len(shapes) > 1:
        raise InputError(
            f"{source}: examples of the training set have the shape {parts[0][0].shape[1:]}, those "
            f"of the test set {parts[1][0].shape[1:]}"
        )
    if len({(targets.shape[1:], targets.dtype.kind) for _, targets in parts}) > 1:
        raise InputError(f"{source}: targets of the test set are of another kind or shape")
    digest = sha256()
    for inputs, targets in parts:
        text = targets.dtype.kind == "U"
        names = "\0".join(targets.ravel().tolist()).encode() if text else targets.tobytes()
        digest.update(f"{inputs.shape} {targets.shape} {text}".encode())
        digest.update(inputs.tobytes() + names)
    return Examples(source, tuple(parts), digest.hexdigest())

"""A user's own data: inputs and targets from a file, or from Python."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plausibench.bench.tasks.examples import Examples, examples_of, pair, read_examples
from plausibench.bench.tasks.split import shuffled, stratified
from plausibench.bench.tasks.standard import standard
from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import (
    InputError,
    choose,
    flag,
    integer,
    number,
    refusal,
    show,
    sizes,
)
from plausibench.objectives.batch import Batch

Array = NDArray[np.float64]

SCALES = ("auto", "standard", "none")
FEW, MANY = 10, 5
"""Whole numbers are classes if there are at most so many, or so many examples of each."""


@dataclass(frozen=True)
class Arrays(Task):
    """Your own data: inputs and targets from a file.

    An ``.npz`` file holds arrays named ``X_train, y_train, X_test, y_test``, or ``X, y`` that are
    then split; also ``train_images, train_labels, test_images, test_labels``, ``inputs, targets``
    and the like, in capitals or not. A ``.csv`` file holds an example in each row, separated by
    commas, semicolons or tabs, with or without a line of names. Nothing in a file is executed.

    Targets that are names, truth values, rows of zeros and a one, or whole numbers of which there
    are at most 10 different or at least five examples of each, are classes; others are values.
    ``classes`` says otherwise.

    Results are kept by the content of the file, wherever it lies.

    Parameters
    ----------
    file : str or Path
        An ``.npz`` file, or a ``.csv``, ``.tsv`` or ``.txt`` file; from Python,
        ``task_from_arrays`` puts arrays in its place.
    column : str
        The column of targets in a text file: its name, or its place from 1; by default the last.
    classes : bool, optional
        Whether targets are classes and not values; by default this is told from them.
    test_fraction : float, default 0.2
        Share of the examples kept for testing where the file has no test set; the same of each
        class.
    seed : int, default 0
        Seed of this split.
    pixels : sequence of int
        Height, width and, if there are several, channels of the images that inputs are. Inputs of
        shape (examples, height, width, channels) are images without it.
    time : int, default 0
        Time steps that a row of inputs holds, one after the other; 0 for none.
    scale : {"auto", "standard", "none"}, default "auto"
        ``standard`` brings each input, and each target value, to mean 0 and variance 1 over the
        training set; an input that never changes keeps its scale. ``auto`` does so too, but
        divides images of whole numbers from 0 to 255 by 255 and leaves other images as they are.

    Raises
    ------
    InputError
        If an option is not allowed; on reading, if the file is missing, damaged, or holds
        something else than numbers with a target for each example.
    """

    file: str | Path | Examples = ""
    column: str = ""
    classes: bool | None = None
    test_fraction: float = 0.2
    seed: int = 0
    pixels: Sequence[int] = ()
    time: int = 0
    scale: str = "auto"

    name: ClassVar[str] = "arrays"
    summary: ClassVar[str] = "your own data, from an .npz or a .csv file"

    def __post_init__(self) -> None:
        file: object = self.file
        if not isinstance(file, Examples):
            if not isinstance(file, str | Path) or not str(file):
                raise refusal("file", file, "the path of an .npz or a .csv file")
            object.__setattr__(self, "file", str(file))
        # A place is a number where a selector could not know better.
        column = str(self.column) if isinstance(self.column, int) else self.column
        if not isinstance(column, str):
            raise refusal("column", column, "the name of a column, or its place from 1")
        object.__setattr__(self, "column", column)
        if self.classes is not None:
            flag("classes", self.classes)
        fraction = number("test_fraction", self.test_fraction, above=0, below=1)
        object.__setattr__(self, "test_fraction", fraction)
        object.__setattr__(self, "seed", integer("seed", self.seed, least=0))
        pixels = sizes("pixels", self.pixels, fewest=0)
        if len(pixels) not in (0, 2, 3):
            raise refusal("pixels", self.pixels, "height and width, and channels if there are more")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "time", integer("time", self.time, least=0))
        if pixels and self.time:
            raise InputError("time: inputs are images, by pixels, or sequences; leave out one")
        choose("scale", self.scale, SCALES)

    @property
    def kind(self) -> Any:  # type: ignore[override]
        """Whether targets are classes or values."""
        return "classification" if self._data.classes else "regression"

    @property
    def identity(self) -> tuple[Any, ...]:
        """Digest of the content, and what was made of it."""
        examples, data = _content(self), self._data
        split = (self.test_fraction, self.seed) if len(examples.parts) == 1 else ()
        form = (data.image or (), data.train.inputs.shape[1:], self.scale, bool(data.classes))
        return (("sha256", examples.digest), ("form", form), ("split", split))

    @property
    def inputs_size(self) -> int:
        """Numbers of an example, or of each of its steps."""
        return self.train.inputs.shape[-1]

    @property
    def outputs_size(self) -> int:
        """Number of classes, or of values."""
        data = self._data
        return len(data.classes) or data.train.targets.shape[-1]

    @property
    def image(self) -> Image | None:
        """Height, width and channels, if inputs are images."""
        return self._data.image

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the file calls each class, in their order; empty if targets are values."""
        return self._data.classes

    # The file may be another one by now: data are kept by their content, not by the options.
    @property
    def train(self) -> Batch:
        """The training set."""
        return self._data.train

    @property
    def test(self) -> Batch:
        """The test set."""
        return self._data.test

    @property
    def _data(self) -> "_Data":
        return _made(_content(self), self)

    def load(self) -> tuple[Batch, Batch]:
        """Read the training set and the test set."""
        return self.train, self.test


def task_from_arrays(
    inputs: ArrayLike,
    targets: ArrayLike,
    test_inputs: ArrayLike | None = None,
    test_targets: ArrayLike | None = None,
    *,
    classes: bool | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    pixels: Sequence[int] = (),
    time: int = 0,
    scale: str = "auto",
) -> Task:
    """A task made of your own data.

    Parameters
    ----------
    inputs : array_like, shape (B, N), (B, T, N) or (B, height, width, channels)
        Examples, in anything of which numpy can make numbers. With three axes they are sequences
        if ``time`` is T, and images without colour if ``pixels`` are their height and width.
    targets : array_like, shape (B,) or (B, N_out), of sequences (B, T) or (B, T, N_out) too
        Classes, as whole numbers or names, or values.
    test_inputs, test_targets : array_like, optional
        The test set; without it, a share of the examples is kept for testing.
    classes : bool, optional
        Whether targets are classes and not values; by default this is told from them.
    test_fraction : float, default 0.2
        Share that is kept for testing, the same of each class.
    seed : int, default 0
        Seed of this split.
    pixels : sequence of int
        Height, width and, if there are several, channels of the images that inputs are.
    time : int, default 0
        Time steps that an example has; 0 for none.
    scale : {"auto", "standard", "none"}, default "auto"
        ``standard`` brings each input, and each target value, to mean 0 and variance 1 over the
        training set. ``auto`` does so too, but for images: whole numbers from 0 to 255 are divided
        by 255, others left as they are.

    Returns
    -------
    Task
        For :func:`measure`, :func:`train` and the like. Runs of the command line need a file.

    Raises
    ------
    InputError
        If an array or an argument is not allowed.
    """
    if (test_inputs is None) != (test_targets is None):
        raise InputError("test_inputs: a test set has inputs and targets; one of them is missing")
    parts = [pair("inputs", inputs, "targets", targets)]
    if test_inputs is not None:
        parts.append(pair("test_inputs", test_inputs, "test_targets", test_targets))
    task = Arrays(
        file=examples_of("inputs", parts),
        classes=classes,
        test_fraction=test_fraction,
        seed=seed,
        pixels=pixels,
        time=time,
        scale=scale,
    )
    _ = task.train  # what does not fit is told at once
    return task


def _content(task: Arrays) -> Examples:
    """What is to be read, anew if the file has changed."""
    if isinstance(task.file, Examples):
        return task.file
    # os.path, because Path raises on unknown users, forbidden folders and overlong names.
    path = Path(os.path.expanduser(task.file))
    try:
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
    except (OSError, ValueError):
        stamp = (0, 0)  # reading it says why
    return _read(path, task.column, stamp)


@lru_cache(maxsize=2)
def _read(path: Path, column: str, stamp: tuple[int, int]) -> Examples:
    """The file as it was at the time that the stamp says."""
    return read_examples(path, column)


class _Data(NamedTuple):
    train: Batch
    test: Batch
    classes: tuple[str, ...]
    image: Image | None


@lru_cache(maxsize=4)
def _made(examples: Examples, task: Arrays) -> _Data:
    """Training set and test set, in the form that the options ask for."""
    inputs, image, steps = _shaped(examples, task)
    targets = [answers for _, answers in examples.parts]
    labels = _labels(examples.source, targets, steps, task.classes)
    if labels is None:
        names: tuple[str, ...] = ()
        answers = [_values(examples.source, values, steps) for values in targets]
    else:
        names, answers = _coded(examples.source, labels)
    if len(inputs) == 1:
        rows = _split(examples.source, answers[0], task)
        inputs = [inputs[0][some] for some in rows]
        answers = [answers[0][some] for some in rows]
    if task.scale != "none":
        inputs = _scaled(inputs, images=image is not None and task.scale == "auto")
        answers = answers if names else _standardised(answers)
    train, test = (Batch(x, y).read_only() for x, y in zip(inputs, answers, strict=True))
    return _Data(train, test, names, image)


def _shaped(examples: Examples, task: Arrays) -> tuple[list[Array], Image | None, int | None]:
    """Inputs of each part in their form, flat if they are images; their image and their steps."""
    parts = [inputs for inputs, _ in examples.parts]
    axes = parts[0].shape[1:]
    pixels = tuple(task.pixels)
    if pixels:
        if axes not in (pixels, (*pixels, 1)[:3], (prod(pixels),)):
            raise InputError(f"pixels: an example of shape {axes} is no image of shape {pixels}")
    elif task.time:
        if axes[0] != task.time and (len(axes) > 1 or axes[0] % task.time):
            raise InputError(
                f"time: an example of shape {axes} does not have {task.time} steps of equal size"
            )
        return [part.reshape(len(part), task.time, -1) for part in parts], None, task.time
    elif len(axes) == 1:
        return parts, None, None
    elif len(axes) == 2:
        height, width = axes
        raise InputError(
            f"{examples.source}: examples of shape {axes} may be images or sequences; say "
            f"pixels={height}-{width} or time={height}"
        )
    else:
        pixels = axes
    height, width, channels = (*pixels, 1)[:3]
    if channels > 4 and height <= 4:
        raise InputError(
            f"{examples.source}: images of shape {pixels} seem to have their channels first; "
            "allowed is (height, width, channels)"
        )
    flat = [part.reshape(len(part), -1) for part in parts]
    return flat, (height, width, channels), None


def _labels(
    source: str, targets: list[NDArray[Any]], steps: int | None, wanted: bool | None
) -> list[NDArray[Any]] | None:
    """What names the class of each example, or of each step; None if targets are values."""
    first = targets[0]
    every = np.concatenate(targets)
    if first.dtype.kind == "U":
        if wanted is False:
            raise InputError(f"classes: targets are names, such as {show(str(first.flat[0]))}")
        if first.ndim > 1 and first.shape[1:] != (steps,):
            raise InputError(f"{source}: names of shape {first.shape} are not one for each example")
        return targets
    single = first.ndim == 1 or first.shape[1:] == (steps,)
    chosen = not single and first.ndim == 2 and _indicators(every)
    whole = single and bool((every == np.round(every)).all())
    if wanted and not (chosen or whole):
        said = f"numbers such as {every.flat[0]:g}" if single else f"of shape {first.shape}"
        raise InputError(
            f"classes: targets are {said}, neither whole numbers nor names nor rows of zeros and "
            "a one"
        )
    count = np.unique(every).size if whole else 0
    if wanted is False or not (chosen or whole):
        return None
    if wanted is None and whole and count > FEW and every.size < MANY * count:
        return None
    return [values.argmax(axis=1) for values in targets] if chosen else targets


def _indicators(values: Array) -> bool:
    return bool(np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all())


def _coded(source: str, labels: list[NDArray[Any]]) -> tuple[tuple[str, ...], list[NDArray[Any]]]:
    """Names of the classes in their order, and labels as their places in it."""
    names = np.unique(labels[0])
    said = tuple(str(name) if name.dtype.kind == "U" else f"{name:.0f}" for name in names)
    if len(names) < 2:
        raise InputError(f"{source}: all targets are of one class, {show(said[0])}")
    for others in labels[1:]:
        unknown = np.setdiff1d(others, names)
        if unknown.size:
            raise InputError(
                f"{source}: the test set has a class, {show(str(unknown[0]))}, that the training "
                "set has not"
            )
    return said, [np.searchsorted(names, values) for values in labels]


def _values(source: str, targets: Array, steps: int | None) -> Array:
    """Values with an axis of outputs."""
    if targets.ndim == 1 or targets.shape[1:] == (steps,):
        return targets[..., None]
    if targets.ndim > 2 and targets.shape[1:2] != (steps,):
        raise InputError(
            f"{source}: targets of shape {targets.shape} are neither (examples, values) nor values "
            "for each step of a sequence"
        )
    return targets


def _split(source: str, answers: NDArray[Any], task: Arrays) -> tuple[NDArray[np.int64], ...]:
    if answers.ndim == 1:
        rows = stratified(answers, task.test_fraction, task.name, task.seed)
    else:
        rows = shuffled(len(answers), task.test_fraction, task.name, task.seed)
    if not all(some.size for some in rows):
        raise InputError(
            f"{source}: {len(answers)} examples are too few to keep any for testing; allowed are "
            "two of a class"
        )
    return rows


def _scaled(parts: list[Array], images: bool) -> list[Array]:
    """Inputs of images in [0, 1] where they are bytes, and of all else standardised."""
    if not images:
        return _standardised(parts)
    whole = all(bool((part == np.round(part)).all()) for part in parts)
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    return [part / 255 for part in parts] if whole and low >= 0 and 1 < high <= 255 else parts


def _standardised(parts: list[Array]) -> list[Array]:
    """Each number of the last axis with mean 0 and variance 1 over the training set."""
    mean, deviation = standard(parts[0].reshape(-1, parts[0].shape[-1]))
    return [(part - mean) / deviation for part in parts]

"""What a task is: a training set, a test set, and keyed minibatches of the training set."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from math import isqrt
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError, integer, refusal
from plausibench.kernels.plain import PlainOptions
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch

Image = tuple[int, int, int]


@dataclass(frozen=True)
class Task(metaclass=PlainOptions):
    """Where inputs and targets come from.

    A task is a frozen dataclass whose fields are its options. Its data are read or drawn at
    first use and kept for the life of the process, shared by all tasks with the same options and
    therefore read-only; a batch is a copy.

    Attributes
    ----------
    name : str
        Name in the registry, which is the name of the module.
    summary : str
        What the task is, in one line.
    kind : {"classification", "regression"}
        Classification has targets int64 (B,), regression float64 (B, N_out); in tasks over T
        time steps also (B, T) and (B, T, N_out).
    cites : str
        Authors and years of the sources of the data or of the setting.
    idle : int or None
        Class that stands for giving no response, such as fixation, in tasks over time that have
        one: a share of right answers over all steps would be that of doing nothing.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[Literal["classification", "regression"]]
    cites: ClassVar[str] = ""
    idle: ClassVar[int | None] = None

    @property
    @abstractmethod
    def inputs_size(self) -> int:
        """Number of inputs N_in of an example, in tasks over time of each step."""

    @property
    @abstractmethod
    def outputs_size(self) -> int:
        """Number of outputs N_out that the task asks of a network."""

    @property
    def image(self) -> Image | None:
        """Height, width and channels of the images that inputs are; None where they are none.

        Inputs are flat, row by row, the channels of a pixel side by side.
        """
        return None

    @property
    def steps(self) -> int | None:
        """Number of time steps T of an example; None in tasks without time."""
        inputs = self.train.inputs
        return inputs.shape[1] if inputs.ndim == 3 else None

    @abstractmethod
    def load(self) -> tuple[Batch, Batch]:
        """Read or draw the training set and the test set.

        Raises
        ------
        InputError
            If the data are missing or damaged.
        """

    @property
    def identity(self) -> tuple[Any, ...]:
        """What decides the data: name and value of each option. It keys the random streams."""
        return tuple((option.name, getattr(self, option.name)) for option in fields(self))

    @property
    def train(self) -> Batch:
        """The training set; its keys are its row numbers."""
        return _loaded(self)[0]

    @property
    def test(self) -> Batch:
        """The test set, which shares no example with the training set."""
        return _loaded(self)[1]

    def full(self) -> Batch:
        """The whole training set as one batch."""
        return self.train

    def correct(self, outputs: NDArray[Any], batch: Batch) -> NDArray[np.bool_]:
        """Whether a network answers each example rightly.

        The answer to a classification is the class with the largest output; over time, in the
        last step that the mask counts.

        Parameters
        ----------
        outputs : ndarray, shape (B, N_out) or (B, T, N_out)
            Outputs of the network.
        batch : Batch
            The examples, from this task.

        Returns
        -------
        ndarray of bool, shape (B,)

        Raises
        ------
        InputError
            If the task has no right answers, only distances.
        """
        if self.kind != "classification":
            raise InputError(f"task: {self.name} has no right answers, only distances to a target")
        answer, target = outputs, batch.targets
        if outputs.ndim == 3:
            rows, last = np.arange(batch.size), last_steps(batch)
            answer = outputs[rows, last]
            target = target[rows, last] if target.ndim == 2 else target
        return answer.argmax(axis=-1) == target

    def batch(self, size: int, seed: int = 0) -> Batch:
        """Random examples of the training set, drawn without replacement.

        Parameters
        ----------
        size : int
            Number of examples B, from 1 to the size of the training set.
        seed : int, default 0
            Seed of the draw. With the same seed, a smaller batch is the start of a larger one.

        Returns
        -------
        Batch
            A copy of the rows, with their row numbers in the training set as keys.

        Raises
        ------
        InputError
            If ``size`` or ``seed`` is not allowed.
        """
        seed = integer("seed", seed, least=0)
        return self.train.rows(self._order(seed, "batch")[: self._checked(size)])

    def batches(self, size: int, seed: int = 0, start: int = 0) -> Iterator[Batch]:
        """Minibatches for training, without end.

        Every epoch is a new order of the training set, cut into batches of equal size; the
        rest that fills no batch is left out of that epoch. Batch t depends on ``size``,
        ``seed`` and t only, so that training can be resumed at any step.

        Parameters
        ----------
        size : int
            Number of examples B, from 1 to the size of the training set.
        seed : int, default 0
            Seed of the orders.
        start : int, default 0
            The step t of the first batch.

        Returns
        -------
        iterator of Batch
            The batches of steps ``start``, ``start + 1`` and so on, with their row numbers in
            the training set as keys.

        Raises
        ------
        InputError
            If an argument is not allowed; at the call, not at the first batch.
        """
        step = integer("start", start, least=0)
        seed = integer("seed", seed, least=0)
        return self._steps(self._checked(size), seed, step)

    def _steps(self, size: int, seed: int, step: int) -> Iterator[Batch]:
        steps = self.train.size // size
        epoch, position = divmod(step, steps)
        while True:
            order = self._order(seed, "epoch", epoch)
            for first in range(position * size, steps * size, size):
                yield self.train.rows(order[first : first + size])
            epoch, position = epoch + 1, 0

    def _order(self, seed: int, *use: str | int) -> NDArray[np.int64]:
        """Random order of the rows of the training set, keyed by the task and the use."""
        stream = generator(seed, "data", self.name, self.identity, *use)
        return stream.permutation(self.train.size)

    def _checked(self, size: int) -> int:
        most = self.train.size
        number = integer("size", size, least=1)
        if number > most:
            raise refusal("size", size, f"at most {most}, the size of the training set")
        return number


def image_of(shape: tuple[int, ...]) -> Image | None:
    """Height, width and channels of images of this shape, which are square where it is flat."""
    if len(shape) == 1:
        side = isqrt(shape[0])
        return (side, side, 1) if side * side == shape[0] else None
    if len(shape) == 2:
        return (*shape, 1)
    return shape if len(shape) == 3 else None


def last_steps(batch: Batch) -> NDArray[np.int64]:
    """Last time step of each sequence that its mask counts, shape (B,)."""
    steps = batch.inputs.shape[1]
    if batch.mask is None:
        return np.full(batch.size, steps - 1)
    return steps - 1 - (batch.mask[:, ::-1] > 0).argmax(axis=1)


# Keyed by the task's options: a cached property would be pickled with every task sent to a
# worker, and two equal tasks would hold the data twice.
@lru_cache(maxsize=4)
def _loaded(task: Task) -> tuple[Batch, Batch]:
    try:
        train, test = task.load()
    except MemoryError as error:
        raise InputError(f"task {task.name}: {error}") from error
    return train.read_only(), test.read_only()

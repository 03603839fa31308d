"""Images shown row by row."""

from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar, Literal

import numpy as np

from plausibench.bench.components.selectors import select
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError, integer
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class RowByRow(Task):
    """The images of another task, one row of pixels a time step (after Le et al. 2015).

    Digits have 8 rows of 8 inputs, those of MNIST 28 of 28. The class is asked for in the
    last step, which alone the mask counts: earlier rows must be remembered.

    Parameters
    ----------
    images : str, default "digits"
        Task whose examples are square images, such as digits, mnist_5k or mnist[path=...].
    delay : int, default 0
        Blank time steps after the last row.
    hold : int, default 1
        Time steps for which a row is shown, say for neurons that take some to spike.

    Raises
    ------
    InputError
        If an option is not allowed; on reading, if the task has no square images.
    """

    images: str = "digits"
    delay: int = 0
    hold: int = 1

    name: ClassVar[str] = "row_by_row"
    summary: ClassVar[str] = "digits, or images of another task, a row of pixels each time step"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Le, Jaitly & Hinton 2015"

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", str(select("task", self.images)))
        object.__setattr__(self, "delay", integer("delay", self.delay, least=0))
        object.__setattr__(self, "hold", integer("hold", self.hold, least=1))

    @property
    def source(self) -> Task:
        """The task with the images."""
        task: Task = select("task", self.images).make()
        return task

    @property
    def identity(self) -> tuple[Any, ...]:
        """What decides the data: the images, wherever they lie, and the steps."""
        return (self.source.name, self.source.identity, self.delay, self.hold)

    @property
    def inputs_size(self) -> int:
        """Pixels of a row."""
        return isqrt(self.source.inputs_size)

    @property
    def steps(self) -> int:
        """Rows, each as long as it is held, and the delay."""
        return self.inputs_size * self.hold + self.delay

    @property
    def outputs_size(self) -> int:
        """The classes of the images."""
        return self.source.outputs_size

    def load(self) -> tuple[Batch, Batch]:
        """Cut the images of both sets into rows."""
        source = self.source
        return self._rows(source.train), self._rows(source.test)

    def _rows(self, batch: Batch) -> Batch:
        side = self.inputs_size
        if batch.inputs.shape[1:] != (side * side,) or batch.targets.dtype.kind != "i":
            raise InputError(f"images: {self.images} has no square images with classes")
        rows = batch.inputs.reshape(batch.size, side, side).repeat(self.hold, axis=1)
        inputs = np.pad(rows, ((0, 0), (0, self.delay), (0, 0)))
        mask = np.zeros(inputs.shape[:2])
        mask[:, -1] = 1
        return Batch(inputs, batch.targets, batch.keys, mask)

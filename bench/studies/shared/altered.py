"""Tasks that are altered for a study: targets in another form, and controls without structure."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import flag, integer
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class Altered(Task):
    """Another task with changes.

    Parameters
    ----------
    task
        The task.
    indicators
        Whether classes become rows of zeros and a one, which every objective with targets of
        real numbers can read.
    held
        Whether the test set is replaced by the last quarter of the training set, which is not
        trained on: for choosing a learning rate.
    shuffled
        Whether targets are dealt anew to the examples of each set, so that inputs say nothing
        about them. The deal is one and the same for all seeds of a study.
    permuted
        Whether inputs change places, pixels of an image or else steps of a sequence, in the same
        way in all examples: what neighbours tell about each other is lost to who looks there. The
        permutation is one and the same for all seeds of a study.
    flat
        Whether the steps of a sequence are shown at once, side by side, to networks without time.
    first
        How many of the training examples are used, from the first on; 0 for all.
    """

    task: Task
    indicators: bool = False
    held: bool = False
    shuffled: bool = False
    permuted: bool = False
    flat: bool = False
    first: int = 0

    def __post_init__(self) -> None:
        integer("first", self.first, least=0)
        for option in ("indicators", "held", "shuffled", "permuted", "flat"):
            flag(option, getattr(self, option))

    # What is a class variable of other tasks is here that of the task altered.
    @property
    def kind(self) -> Any:  # type: ignore[override]
        return "regression" if self.indicators else self.task.kind

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.task.name

    @property
    def idle(self) -> int | None:  # type: ignore[override]
        return self.task.idle

    @property
    def identity(self) -> tuple[Any, ...]:
        # The orders are those of the task, so that what is altered is all that differs.
        return self.task.identity

    @property
    def inputs_size(self) -> int:
        return self.train.inputs.shape[1] if self.flat else self.task.inputs_size

    @property
    def image(self) -> Image | None:
        return None if self.flat else self.task.image

    @property
    def outputs_size(self) -> int:
        return self.task.outputs_size

    def load(self) -> tuple[Batch, Batch]:
        train, test = self.task.train, self.task.test
        if self.held:
            cut = train.size - train.size // 4
            rows = np.arange(train.size)
            train, test = train.take(rows[:cut]), train.take(rows[cut:])
        if self.first:
            train = train.take(np.arange(min(self.first, train.size)))
        return self._altered(train, "train"), self._altered(test, "test")

    def _altered(self, batch: Batch, part: str) -> Batch:
        inputs, targets, mask = batch.inputs, batch.targets, batch.mask
        if self.shuffled:
            order = generator(0, "data", self.name, "shuffled", part).permutation(batch.size)
            targets = targets[order]
            mask = None if mask is None else mask[order]
        if self.permuted:
            # Pixels are the axis after the examples, and so are the steps of a sequence.
            places = inputs.shape[1]
            inputs = inputs[:, generator(0, "data", self.name, "permuted").permutation(places)]
        if self.flat:
            inputs, mask = inputs.reshape(batch.size, -1), None
        if self.indicators:
            targets = np.eye(self.outputs_size)[targets]
        return Batch(inputs, targets, batch.keys, mask)


def answered(output: np.ndarray, batch: Batch) -> float:
    """Share of examples whose largest output is the largest target."""
    targets = batch.targets if batch.targets.ndim == 1 else batch.targets.argmax(axis=1)
    return float((output.argmax(axis=-1) == targets).mean())

"""Add two numbers that are marked in a long sequence."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import Draws, SequenceTask
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class Adding(SequenceTask):
    """The sum of two marked numbers of a sequence (Hochreiter & Schmidhuber 1997).

    Each step shows a number, uniform in [0, 1), and a mark, which is 1 in two steps, one of the
    first half of the sequence and one of the second, and 0 else. The target is the sum of the two
    marked numbers, asked for in the last step, which alone the mask counts. This is the form of
    Arjovsky et al. (2016); the original has numbers in [-1, 1], a scaled sum, both marks in the
    first half and sequences of random length. Whoever always answers 1 has a squared error of 1/6,
    a loss of 1/12.

    Parameters
    ----------
    trials : int, default 1000
        Number of sequences of the training set, and of the test set.
    noise : float, default 0.0
        Standard deviation of the gaussian noise on the inputs, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    length : int, default 20
        Numbers of a sequence, at least 2: the longer, the harder.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    length: int = 20

    name: ClassVar[str] = "adding"
    summary: ClassVar[str] = "sum of two marked numbers of a sequence, told at its end"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    cites: ClassVar[str] = "Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "length", integer("length", self.length, least=2))

    @property
    def inputs_size(self) -> int:
        """The number and the mark."""
        return 2

    @property
    def outputs_size(self) -> int:
        """The sum."""
        return 1

    @property
    def steps(self) -> int:
        """Numbers of a sequence."""
        return self.length

    def draw(self, draws: Draws) -> Batch:
        """Draw numbers and marks."""
        rows, half = np.arange(self.trials), self.length // 2
        values = [draws.uniform(f"number {step}") for step in range(self.length)]
        first = draws.pick("first mark", range(half))
        second = draws.pick("second mark", range(half, self.length))
        inputs = np.zeros((self.trials, self.length, 2))
        inputs[:, :, 0] = np.stack(values, axis=1)
        for marked in (first, second):
            inputs[rows, marked, 1] = 1
        total = inputs[rows, first, 0] + inputs[rows, second, 0]
        mask = np.zeros((self.trials, self.length))
        mask[:, -1] = 1
        return Batch(inputs, total[:, None], mask=mask)

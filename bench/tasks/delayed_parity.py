"""Tell after a delay whether the number of ones was odd."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import Draws, SequenceTask
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class DelayedParity(SequenceTask):
    """Whether the number of ones in a sequence was odd (Bengio et al. 1994), told after a delay.

    A sequence of ``bits`` ones and minus ones is shown, one in each step, all equally probable,
    and then nothing for ``delay`` steps. A second input is 1 in the last step, which asks for the
    answer and alone is counted by the mask. Targets are the classes 0, even, and 1, odd. Whoever
    misses a single bit is right half of the time: bits grade what a network has to compute, the
    delay for how long it has to keep it. Delay and question are ours.

    Parameters
    ----------
    trials : int, default 1000
        Number of sequences of the training set, and of the test set.
    noise : float, default 0.1
        Standard deviation of the gaussian noise on the inputs, anew in each step. Without it the
        two sets share sequences, of which there are 2 ** bits.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    bits : int, default 3
        Ones and minus ones of a sequence.
    delay : int, default 5
        Steps from the last bit to the answer, at least 1.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    noise: float = 0.1
    bits: int = 3
    delay: int = 5

    name: ClassVar[str] = "delayed_parity"
    summary: ClassVar[str] = "whether the number of ones in a sequence was odd, told after a delay"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Bengio, Simard & Frasconi 1994"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("bits", "delay"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))

    @property
    def inputs_size(self) -> int:
        """The bit and the question."""
        return 2

    @property
    def outputs_size(self) -> int:
        """Even and odd."""
        return 2

    @property
    def steps(self) -> int:
        """Bits and delay."""
        return self.bits + self.delay

    def draw(self, draws: Draws) -> Batch:
        """Draw bits."""
        signs = np.stack([draws.sign(f"bit {place}") for place in range(self.bits)], axis=1)
        inputs = np.zeros((self.trials, self.steps, 2))
        inputs[:, : self.bits, 0] = signs
        inputs[:, -1, 1] = 1
        odd = (signs > 0).sum(axis=1) % 2
        mask = np.zeros(inputs.shape[:2])
        mask[:, -1] = 1
        return Batch(inputs, odd, mask=mask)

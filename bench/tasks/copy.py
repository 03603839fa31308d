"""Repeat a list of symbols after a delay."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import Draws, SequenceTask
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class Copy(SequenceTask):
    """Repeat a list of symbols after a delay (Arjovsky et al. 2016).

    A list of ``length`` random symbols is shown, one in each step, then ``delay`` steps pass, in
    the last of which a mark asks for the list, and in the ``length`` steps that follow it is to be
    repeated. Inputs are one for blank, one for each symbol and one for the mark. Targets are a
    class for each step: 0, blank, until the list is asked for, then the symbols 1, 2 and so on.
    All steps count, as in the paper. How many of the responses are right (see ``Task.idle``)
    grades a network: without any memory one in ``symbols``, and more with every symbol that it
    keeps. The paper has 8 symbols, lists of 10 and delays from 100 to 1000; so long a delay, in
    the sense of a dependency to be learnt, is that of Hochreiter & Schmidhuber (1997).

    Parameters
    ----------
    trials : int, default 1000
        Number of sequences of the training set, and of the test set.
    noise : float, default 0.0
        Standard deviation of the gaussian noise on the inputs, anew in each step. Without it, so
        few and short lists that most come twice are in both sets.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    symbols : int, default 8
        Number of different symbols, at least 2.
    length : int, default 10
        Symbols of a list.
    delay : int, default 10
        Steps from the list to its repetition, at least 1.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    symbols: int = 8
    length: int = 10
    delay: int = 10

    name: ClassVar[str] = "copy"
    summary: ClassVar[str] = "repeat a list of symbols after a delay"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Arjovsky, Shah & Bengio 2016; Hochreiter & Schmidhuber 1997"
    idle: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, least in (("symbols", 2), ("length", 1), ("delay", 1)):
            value = integer(option, getattr(self, option), least=least)
            object.__setattr__(self, option, value)

    @property
    def inputs_size(self) -> int:
        """Blank, the symbols and the mark."""
        return self.symbols + 2

    @property
    def outputs_size(self) -> int:
        """Blank and the symbols."""
        return self.symbols + 1

    @property
    def steps(self) -> int:
        """Twice the list and the delay."""
        return 2 * self.length + self.delay

    def draw(self, draws: Draws) -> Batch:
        """Draw lists."""
        listed = [
            draws.pick(f"symbol {place}", range(1, self.symbols + 1))
            for place in range(self.length)
        ]
        shown = np.zeros((self.trials, self.steps), dtype=np.int64)
        shown[:, : self.length] = np.stack(listed, axis=1)
        shown[:, self.length + self.delay - 1] = self.symbols + 1
        targets = np.zeros_like(shown)
        targets[:, -self.length :] = shown[:, : self.length]
        mask = np.ones(shown.shape)
        return Batch(np.eye(self.inputs_size)[shown], targets, mask=mask)

"""Count cues on two sides and tell the majority after a delay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import TrialTask, during
from plausibench.kernels.errors import InputError, integer, number
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class EvidenceAccumulation(TrialTask):
    """On which side most cues were (Morcos & Harvey 2016; Bellec et al. 2020).

    Inputs are the left and the right cue and a recall signal. Each cue is on the side that the
    trial favours with probability ``share``. Targets are the classes 0, more cues left, and 1,
    more cues right; the mask counts the recall period.

    Parameters
    ----------
    trials : int, default 1000
        Number of trials of the training set, and of the test set.
    dt : int, default 10
        Time step in milliseconds.
    noise : float, default 0.1
        Standard deviation of the gaussian noise on the inputs, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    cues : int, default 7
        Number of cues, odd.
    share : float, default 0.7
        Probability of the favoured side, from 0.5 to 1.
    cue, gap, delay, recall : int or sequence of int, default 100, 50, 500, 150
        Durations in ms of a cue, of the gap after each cue, of the delay and of the recall; of
        several, one is drawn for each trial.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    dt: int = 10
    cues: int = 7
    share: float = 0.7
    cue: tuple[int, ...] = (100,)
    gap: tuple[int, ...] = (50,)
    delay: tuple[int, ...] = (500,)
    recall: tuple[int, ...] = (150,)

    name: ClassVar[str] = "evidence_accumulation"
    summary: ClassVar[str] = "majority of cues on two sides, told after a delay"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    durations: ClassVar[tuple[str, ...]] = ("cue", "gap", "delay", "recall")
    cites: ClassVar[str] = "Morcos & Harvey 2016; Bellec et al. 2020"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "cues", integer("cues", self.cues, least=1))
        if self.cues % 2 == 0:
            raise InputError(f"cues: {self.cues} is even; without ties it must be odd")
        object.__setattr__(self, "share", number("share", self.share, least=0.5, most=1))

    @property
    def inputs_size(self) -> int:
        """Left, right and recall."""
        return 3

    @property
    def outputs_size(self) -> int:
        """Left and right."""
        return 2

    @property
    def timing(self) -> Mapping[str, Sequence[int]]:
        cues = {
            f"{period} {position}": getattr(self, period)
            for position in range(self.cues)
            for period in ("cue", "gap")
        }
        return {**cues, "delay": self.delay, "recall": self.recall}

    def draw(self, part: str) -> Batch:
        """Draw the sides of the cues."""
        draws, steps = self.draws(part), self.steps
        # A first edge at 0, where the first cue begins.
        edges = np.pad(draws.edges(self.timing, self.dt).T, ((1, 0), (0, 0)))
        favoured = draws.pick("favoured", (0, 1))
        inputs = np.zeros((self.trials, steps, 3))
        right = np.zeros(self.trials, dtype=np.int64)
        for cue in range(self.cues):
            on_favoured = draws.uniform(f"side of cue {cue}") < self.share
            side = np.where(on_favoured, favoured, 1 - favoured)
            trial, step = np.nonzero(during(edges[2 * cue], edges[2 * cue + 1], steps))
            inputs[trial, step, side[trial]] = 1
            right += side
        recall, end = edges[-2:]
        inputs[:, :, 2] = during(recall, end, steps)
        draws.add_noise("noise", inputs, self.noise, during(0, end, steps))
        answer = (2 * right > self.cues).astype(np.int64)
        return Batch(inputs, answer, mask=during(recall, end, steps))

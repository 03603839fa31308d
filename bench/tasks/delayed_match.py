"""Compare a stimulus with one from before a delay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import TrialTask, during
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class DelayedMatch(TrialTask):
    """Delayed match to sample: whether sample and test are the same stimulus.

    Each stimulus has an input of its own, which is 1 while it is shown. Half of the trials
    match; the other tests are any other stimulus. Targets are the classes 0, no match, and 1,
    match; the mask counts the response, which begins when the test is over.

    Parameters
    ----------
    trials : int, default 1000
        Number of trials of the training set, and of the test set.
    dt : int, default 20
        Time step in milliseconds.
    noise : float, default 0.1
        Standard deviation of the gaussian noise on the inputs, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    stimuli : int, default 4
        Number of different stimuli, at least 2.
    before, sample, delay, test_stimulus, response : int or sequence of int
        Durations in ms of the periods, default 100, 200, 500, 200, 100; of several, one is drawn
        for each trial.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    stimuli: int = 4
    before: tuple[int, ...] = (100,)
    sample: tuple[int, ...] = (200,)
    delay: tuple[int, ...] = (500,)
    test_stimulus: tuple[int, ...] = (200,)
    response: tuple[int, ...] = (100,)

    name: ClassVar[str] = "delayed_match"
    summary: ClassVar[str] = "delayed match to sample: same stimulus before and after a delay"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    durations: ClassVar[tuple[str, ...]] = (
        "before",
        "sample",
        "delay",
        "test_stimulus",
        "response",
    )
    cites: ClassVar[str] = "Miyashita & Chang 1988"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stimuli", integer("stimuli", self.stimuli, least=2))

    @property
    def inputs_size(self) -> int:
        """One for each stimulus."""
        return self.stimuli

    @property
    def outputs_size(self) -> int:
        """No match and match."""
        return 2

    @property
    def timing(self) -> Mapping[str, Sequence[int]]:
        return {period: getattr(self, period) for period in self.durations}

    def draw(self, part: str) -> Batch:
        """Draw pairs of stimuli."""
        draws, steps = self.draws(part), self.steps
        edges = draws.edges(self.timing, self.dt).T
        match = draws.pick("match", (0, 1))
        sample = draws.pick("sample", range(self.stimuli))
        other = (sample + draws.pick("distance", range(1, self.stimuli))) % self.stimuli
        inputs = np.zeros((self.trials, steps, self.stimuli))
        shown = ((sample, edges[0], edges[1]), (np.where(match, sample, other), *edges[2:4]))
        for stimulus, start, stop in shown:
            trial, step = np.nonzero(during(start, stop, steps))
            inputs[trial, step, stimulus[trial]] = 1
        draws.add_noise("noise", inputs, self.noise, during(0, edges[4], steps))
        return Batch(inputs, match, mask=during(edges[3], edges[4], steps))

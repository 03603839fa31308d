"""Integrate the one of two noisy streams that the context names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.task import last_steps
from plausibench.bench.tasks.trials import TrialTask, during
from plausibench.kernels.errors import number, positive
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class ContextualIntegration(TrialTask):
    """Sign of the mean of one of two noisy streams (Mante et al. 2013; Lin & Huang 2024).

    Inputs are two streams, which are noise around plus or minus ``offset`` while the stimulus
    lasts, and two context lines, one of which is 1 all the time and names the stream that
    counts. The target is 0 until the response begins, then the sign of that stream's offset.

    Parameters
    ----------
    trials : int, default 1000
        Number of trials of the training set, and of the test set.
    dt : int, default 2
        Time step in milliseconds.
    noise : float, default 1.0
        Standard deviation of the streams, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    offset : float, default 0.5
        Size of the mean of each stream; its signs are drawn for each stream by itself.
    before, stimulus, response : int or sequence of int, default 100, 400, 500
        Durations in ms of the periods; of several, one is drawn for each trial.
    switch : float, default 0.0
        Share of trials whose context changes when a fifth of the response is over.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    dt: int = 2
    noise: float = 1.0
    offset: float = 0.5
    before: tuple[int, ...] = (100,)
    stimulus: tuple[int, ...] = (400,)
    response: tuple[int, ...] = (500,)
    switch: float = 0.0

    name: ClassVar[str] = "contextual_integration"
    summary: ClassVar[str] = "sign of the one of two noisy streams that the context names"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    durations: ClassVar[tuple[str, ...]] = ("before", "stimulus", "response")
    cites: ClassVar[str] = "Mante, Sussillo, Shenoy & Newsome 2013; Lin & Huang 2023"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "offset", positive("offset", self.offset))
        object.__setattr__(self, "switch", number("switch", self.switch, least=0, most=1))

    @property
    def inputs_size(self) -> int:
        """Two streams and two context lines."""
        return 4

    @property
    def outputs_size(self) -> int:
        """One decision."""
        return 1

    @property
    def timing(self) -> Mapping[str, Sequence[int]]:
        return {period: getattr(self, period) for period in self.durations}

    def draw(self, part: str) -> Batch:
        """Draw streams and contexts."""
        draws, rows, steps = self.draws(part), np.arange(self.trials), self.steps
        start, go, end = draws.edges(self.timing, self.dt).T
        signs = np.stack([draws.sign(f"sign {stream}") for stream in (0, 1)], axis=1)
        context = draws.pick("context", (0, 1))
        switched = draws.uniform("switch") < self.switch
        change = np.where(switched, go + (end - go) // 5, end)
        inputs = np.zeros((self.trials, steps, 4))
        targets = np.zeros((self.trials, steps, 1))
        shown = during(start, go, steps)
        inputs[:, :, :2] = shown[:, :, None] * (self.offset * signs)[:, None]
        draws.add_noise("noise", inputs[:, :, :2], self.noise, shown)
        for line, begin, stop in ((context, 0 * go, change), (1 - context, change, end)):
            trial, step = np.nonzero(during(begin, stop, steps))
            inputs[trial, step, 2 + line[trial]] = 1
            answered = step >= go[trial]
            trial, step = trial[answered], step[answered]
            targets[trial, step, 0] = signs[rows, line][trial]
        return Batch(inputs, targets, mask=during(0, end, steps))

    def correct(self, outputs: NDArray[np.floating], batch: Batch) -> NDArray[np.bool_]:
        """Whether the mean output of the response, under the last context, has the right sign."""
        asked = batch.targets[:, :, 0]
        last = asked[np.arange(batch.size), last_steps(batch)]
        response = asked == last[:, None]
        return np.sign((outputs[:, :, 0] * response).sum(axis=1)) == last

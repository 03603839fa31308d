"""Generate a sine wave of the frequency that a constant input asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.trials import TrialTask, during
from plausibench.kernels.errors import InputError, positive
from plausibench.objectives.batch import Batch


@dataclass(frozen=True)
class SineGeneration(TrialTask):
    """Sine waves whose frequency a constant input sets (after Sussillo & Barak 2013).

    The input is the frequency divided by the highest one, all the time; the target is
    sin(2 pi f t) with t = 0 in the first step. Frequencies are uniform.

    Parameters
    ----------
    trials : int, default 1000
        Number of trials of the training set, and of the test set.
    dt : int, default 10
        Time step in milliseconds.
    noise : float, default 0.0
        Standard deviation of the gaussian noise on the input, anew in each step.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    lowest, highest : float, default 1.0, 5.0
        Range of the frequencies in Hz; the highest at most 250 / dt, four steps a period.
    duration : int or sequence of int, default 1000
        Duration in ms of a trial; of several, one is drawn for each trial.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    dt: int = 10
    noise: float = 0.0
    lowest: float = 1.0
    highest: float = 5.0
    duration: tuple[int, ...] = (1000,)

    name: ClassVar[str] = "sine_generation"
    summary: ClassVar[str] = "sine wave of the frequency that a constant input sets"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    durations: ClassVar[tuple[str, ...]] = ("duration",)
    cites: ClassVar[str] = "Sussillo & Barak 2013"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("lowest", "highest"):
            object.__setattr__(self, option, positive(option, getattr(self, option)))
        if self.highest < self.lowest:
            raise InputError(f"highest: {self.highest:g} Hz is below lowest, {self.lowest:g} Hz")
        if self.highest > 250 / self.dt:
            raise InputError(
                f"highest: {self.highest:g} Hz has fewer than four steps of {self.dt} ms a period"
            )

    @property
    def inputs_size(self) -> int:
        """The frequency asked for."""
        return 1

    @property
    def outputs_size(self) -> int:
        """The wave."""
        return 1

    @property
    def timing(self) -> Mapping[str, Sequence[int]]:
        return {"duration": self.duration}

    def draw(self, part: str) -> Batch:
        """Draw frequencies."""
        draws, steps = self.draws(part), self.steps
        end = draws.edges(self.timing, self.dt)[:, 0]
        live = during(0, end, steps)
        frequency = draws.uniform("frequency", self.lowest, self.highest)[:, None]
        inputs = (live * frequency / self.highest)[:, :, None]
        draws.add_noise("noise", inputs, self.noise, live)
        seconds = np.arange(steps) * self.dt / 1000
        targets = live * np.sin(2 * np.pi * frequency * seconds)
        return Batch(inputs, targets[:, :, None], mask=live)

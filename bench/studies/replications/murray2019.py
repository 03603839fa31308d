"""A recurrent network learns three sines, by RFLO and through time (Murray 2019).

The example of the author: 50 units with a time constant of ten steps learn, in trials of 100
steps, one output with a target of three sines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.architectures.rate_rnn import RateRnn
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Memory, Sgd
from plausibench.bench.training.training import trajectory
from plausibench.kernels.errors import Divergence
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.backpropagation_through_time import BackpropagationThroughTime
from plausibench.rules.rflo import Rflo
from plausibench.rules.rule import Rule

Array = np.ndarray

UNITS, STEPS, LEAK, RECURRENCE = 50, 100, 0.1, 1.5
RATE = 0.03
TRIALS = 10_000
HELD = "layer1.weights"
"""Input weights, which do not learn."""

RULES: dict[str, Rule] = {
    "BPTT": BackpropagationThroughTime(),
    # Feedback of variance 1, the one over the number of outputs.
    "RFLO": Rflo(scale=(UNITS + 1) ** 0.5),
}
ERRORS = {"BPTT": 2.3e-4, "RFLO": 1.5e-4}
"""Final errors of the author's single run of 10 000 trials."""


@dataclass(frozen=True)
class ThreeSines(Task):
    """One trial: a pulse in the first step, then three sines with periods of 100, 50 and 25."""

    name: ClassVar[str] = "three_sines"
    summary: ClassVar[str] = "a pulse, then a sum of three sines"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    @property
    def inputs_size(self) -> int:
        """The pulse."""
        return 1

    @property
    def outputs_size(self) -> int:
        """The sum."""
        return 1

    def load(self) -> tuple[Batch, Batch]:
        """The trial, to train and to test with."""
        phase = 2 * np.pi * np.arange(1, STEPS + 1) / STEPS
        wave = np.sin(phase) + np.sin(2 * phase) / 2 + np.sin(4 * phase) / 4
        pulse = np.zeros((1, STEPS, 1))
        pulse[:, 0] = 1
        trial = Batch(pulse, wave[None, :, None])
        return trial, trial


@dataclass(frozen=True)
class InputHeld(Sgd):
    """Gradient descent that leaves the input weights as they are."""

    def update(
        self,
        name: str,
        weights: Array,
        change: Array,
        moments: Sequence[Array],
        memory: Memory,
        factor: float = 1.0,
    ) -> bool:
        held = 0.0 if name == HELD else factor
        return super().update(name, weights, change, moments, memory, held)


def _error(name: str) -> str:
    return f"{name}: mean squared error at the end"


def _fall(name: str) -> str:
    return f"{name}: error at the end over that at the start"


def errors(seed: int, data: str) -> dict[str, float]:
    """Mean squared error over the steps of a trial after training, and over that before."""
    task, goal = ThreeSines(), MeanSquaredError()
    network = RateRnn((1, UNITS, 1), leak=LEAK, recurrence=RECURRENCE, bias=False).build(seed)
    found = {}
    for name, rule in RULES.items():
        reached: list[float] = []
        course = trajectory(rule, rule, network, goal, task, InputHeld(RATE), (0, TRIALS), 1, seed)
        try:
            with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
                # The objective is half the squared distance.
                reached += [2 * point.network.loss(goal, task.train) for point in course]
        except Divergence:
            reached = [float("nan")] * 2
        found[_error(name)], found[_fall(name)] = reached[1], reached[1] / reached[0]
    return found


RECIPE = Recipe(
    name="murray2019",
    source="example notebook of the author, one run of 10 000 trials",
    cites="Murray 2019",
    whole=Setting(
        description=(
            f"tanh rates, {UNITS} units, leak {LEAK:g}, recurrent weights of gain "
            f"{RECURRENCE:g}, trials of {STEPS} steps, three sines, rate {RATE:g}, {TRIALS} trials"
        ),
        deviations=(
            (
                "the sines have amplitudes 1, 1/2 and 1/4 and periods 100, 50 and 25, and a pulse "
                "in the first step sets the network off: ours"
            ),
            "a step is on the mean over the steps of a trial of half the squared error",
            (
                "the notebook's backpropagation counts the last error twice and its input trace is "
                "a step late; our rules are exact"
            ),
        ),
        targets=(
            *(Target(_error(name), ERRORS[name], "F", tolerance=ERRORS[name]) for name in RULES),
            *(Target(_fall(name), None, "F", below=0.01) for name in RULES),
        ),
        work=errors,
    ),
)

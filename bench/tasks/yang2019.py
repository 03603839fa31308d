"""The 20 cognitive tasks of Yang et al. (2019), to the paper's specification."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.ring import (
    RULES,
    TURN,
    Course,
    Ring,
    Rule,
    Stimuli,
    answers,
    pair,
    unit_strengths,
)
from plausibench.bench.tasks.trials import Array, Draws, during
from plausibench.kernels.errors import flag
from plausibench.objectives.batch import Batch

_GRACE = 100
"""Milliseconds at the start and after the go cue that do not count."""
_TAU = 100
"""Time constant in ms of the paper's network, by which its noise is defined."""

_DELAYS = (200, 400, 800, 1600)
_THIRDS = (200, 400, 600)
_SAMPLE = {"onset": _THIRDS, "sample": _THIRDS, "delay": _DELAYS}
_MATCH = Course(
    {**_SAMPLE, "response": (500,)},
    (("onset", "sample"), ("delay", "response")),
    "delay",
    "response",
)
_COURSES = {
    "go": Course(
        {"onset": range(300, 700), "wait": range(500, 1500), "response": (500,)},
        (("onset", "response"),),
        go="wait",
        fixation="wait",
    ),
    "reaction": Course(
        {"onset": range(500, 2500), "response": (500,)},
        (("onset", "response"),),
        go="onset",
        fixation="response",
    ),
    "memory": Course(
        {"onset": (300, 500, 700), "stimulus": _THIRDS, "delay": _DELAYS, "response": (500,)},
        (("onset", "stimulus"),),
        go="delay",
        fixation="delay",
    ),
    "decision": Course(
        {"onset": range(100, 400), "stimulus": (400, 800, 1600), "response": (500,)},
        (("onset", "stimulus"),),
        go="stimulus",
        fixation="stimulus",
    ),
    "comparison": Course(
        {
            "onset": _THIRDS,
            "first": _THIRDS,
            "delay": _DELAYS,
            "second": _THIRDS,
            "wait": range(100, 300),
            "response": (500,),
        },
        (("onset", "first"), ("delay", "second")),
        go="wait",
        fixation="wait",
    ),
    "sample": _MATCH,
    "category": _MATCH._replace(timing={**_SAMPLE, "response": _THIRDS}),
}


@dataclass(frozen=True)
class Yang2019(Ring):
    """The 20 cognitive tasks of Yang et al. (2019): fixate, then answer with a direction.

    Inputs are a fixation cue, two rings of units with stimuli as gaussian bumps, and one of 20
    rule inputs; targets are a fixation output (0.8, else 0.05) and a ring with a bump in the
    right direction. The mask has the paper's weights in time, which it puts inside the square:
    0 for the first 100 ms and the 100 ms after the go cue, 1 before and 25 after. The paper's
    factor of 2 on the error of the fixation output is no weight in time and is left out.
    Every trial has its own durations, padded at the end, where the paper draws them, and the
    modality of a single stimulus, for each batch.

    Parameters
    ----------
    trials : int, default 500
        Number of trials of the training set, and of the test set, up to 0.2 MB each.
    dt : int, default 20
        Time step in milliseconds, a divisor of 100.
    noise : float, default 0.01
        Noise of all inputs; its standard deviation in a step is noise sqrt(2 * 100 ms / dt).
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    task : str, default "go"
        One of go, rtgo, dlygo, anti, rtanti, dlyanti, dm1, dm2, ctxdm1, ctxdm2, multidm, dlydm1,
        dlydm2, ctxdlydm1, ctxdlydm2, multidlydm, dms, dnms, dmc, dnmc; several joined by "-", or
        "all", of which trials take turns.
    ring : int, default 32
        Number of units of a ring, an even number of at least 8.
    periods : {"variable", "fixed"}, default "variable"
        Whether durations are drawn for each trial or are their means.
    easy : bool, default False
        Differences of strength in decisions 10 times as large, 2 times across a delay.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    noise: float = 0.01
    easy: bool = False

    name: ClassVar[str] = "yang2019"
    summary: ClassVar[str] = (
        "20 cognitive tasks (go, anti, decisions, context, memory, matching) in time, on rings"
    )
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    cites: ClassVar[str] = "Yang et al. 2019"

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("easy", self.easy)

    @property
    def inputs_size(self) -> int:
        """Fixation, two rings and 20 rules."""
        return 1 + 2 * self.ring + len(RULES)

    @property
    def outputs_size(self) -> int:
        """Fixation and a ring."""
        return 1 + self.ring

    @property
    def courses(self) -> Mapping[str, Course]:
        return _COURSES

    def reach(self, draws: Draws, rule: Rule) -> Stimuli:
        angle = draws.uniform("angle", 0, TURN)
        strength = unit_strengths(draws.pick("modality", (0, 1)))
        return pair(angle, angle), strength, (angle + np.pi * rule.anti) % TURN

    def decide(self, draws: Draws, rule: Rule) -> Stimuli:
        angle = pair(*_apart(draws, 0.5 * np.pi, 1.5 * np.pi))
        if rule.family == "decision":
            coherences = np.array([0.01, 0.02, 0.04, 0.08]) * (10 if self.easy else 1)
        else:
            coherences = np.array([0.08, 0.16, 0.32]) * (2 if self.easy else 1)
        strength = np.zeros((draws.trials, 2, 2))
        if len(rule.attended) == 2:
            both = _strengths(draws, "both", coherences)
            for stimulus in (0, 1):
                use = f"imbalance {stimulus}"
                imbalance = draws.uniform(use, 0.2, 0.8) * draws.sign(f"sign of {use}")
                difference = both[:, stimulus] * imbalance
                strength[:, stimulus] = pair(
                    both[:, stimulus] + difference / 2, both[:, stimulus] - difference / 2
                )
        else:
            for modality in rule.shown:
                strength[:, :, modality] = _strengths(draws, f"modality {modality}", coherences)
        evidence = strength[:, :, list(rule.attended)].sum(axis=2)
        answer = np.where(evidence[:, 0] > evidence[:, 1], angle[:, 0], angle[:, 1])
        return angle, strength, answer

    def compare(self, draws: Draws, rule: Rule) -> Stimuli:
        if rule.family == "sample":
            match = draws.pick("match", (False, True))
            first, other = _apart(draws, np.pi / 9, 17 * np.pi / 9)
            second = np.where(match, first, other)
        else:
            directions = (0.1 + 0.2 * np.arange(10)) * np.pi
            first, second = (draws.pick(f"direction {n}", directions) for n in (0, 1))
            match = (first < np.pi) == (second < np.pi)
        strength = unit_strengths(*(draws.pick(f"modality {n}", (0, 1)) for n in (0, 1)))
        return pair(first, second), strength, np.where(match == rule.match, second, np.nan)

    def draw(self, part: str) -> Batch:
        """Draw a set of trials and render inputs, targets and mask."""
        conditions, steps = self.conditions(part), self.steps
        rules = list(RULES)
        numbers = np.array([rules.index(name) for name in self.names])[conditions.rule]
        inputs = self.clean_inputs(conditions._replace(rule=numbers), len(rules))
        live = during(0, conditions.length, steps)
        deviation = self.noise * np.sqrt(2 * _TAU / self.dt)
        self.draws(part).add_noise("noise", inputs, deviation, live)
        hold = np.isnan(conditions.answer)
        targets = np.zeros((self.trials, steps, self.outputs_size))
        targets[live] = 0.05
        targets[during(0, np.where(hold, conditions.length, conditions.go), steps), 0] = 0.8
        trial, step = np.nonzero(during(conditions.go, conditions.length, steps) & ~hold[:, None])
        targets[trial, step, 1:] += self.bump(conditions.answer)[trial]
        grace = _GRACE // self.dt
        mask = 25.0 * during(conditions.go + grace, conditions.length, steps)
        mask += during(np.full(self.trials, grace), conditions.go, steps)
        return Batch(inputs, targets, mask=mask)

    def correct(self, outputs: NDArray[np.floating], batch: Batch) -> NDArray[np.bool_]:
        """Whether the last step holds fixation, or points within pi / 5 of the answer."""
        return answers(outputs, batch)


def _apart(draws: Draws, least: float, most: float) -> tuple[Array, Array]:
    """A random direction and another one from ``least`` to ``most`` further on."""
    first = draws.uniform("first angle", 0, TURN)
    return first, (first + draws.uniform("distance", least, most)) % TURN


def _strengths(draws: Draws, use: str, coherences: Array) -> Array:
    """Strengths (B, 2) of two stimuli, which differ by twice a coherence."""
    mean = draws.uniform(f"mean of {use}", 0.8, 1.2)
    difference = draws.pick(f"coherence of {use}", coherences) * draws.sign(f"sign of {use}")
    return pair(mean + difference, mean - difference)

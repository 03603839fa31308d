"""The 20 cognitive tasks of Yang et al. (2019) with the conventions of NeuroGym."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.ring import (
    MODALITIES,
    RULES,
    TURN,
    Course,
    Ring,
    Rule,
    Stimuli,
    pair,
    unit_strengths,
)
from plausibench.bench.tasks.trials import Array, Draws, during
from plausibench.objectives.batch import Batch

_START = range(200, 500)
_MATCH = Course(
    {"fixation": (300,), "sample": (500,), "delay": (1000,), "test": (500,), "decision": (900,)},
    (("fixation", "sample"), ("delay", "test")),
    go="test",
    fixation="fixation",
)
_COURSES = {
    "go": Course(
        {"fixation": (500,), "stimulus": (500,), "decision": (500,)},
        (("fixation", "stimulus"),),
        go="stimulus",
        fixation="stimulus",
    ),
    "reaction": Course(
        {"fixation": (500,), "decision": (500,)},
        (("fixation", "decision"),),
        go="fixation",
        fixation="fixation",
    ),
    "memory": Course(
        {"fixation": (500,), "stimulus": (500,), "delay": (500,), "decision": (500,)},
        (("fixation", "stimulus"),),
        go="delay",
        fixation="delay",
    ),
    "decision": Course(
        {"fixation": _START, "stimulus": (500,), "decision": (200,)},
        (("fixation", "stimulus"),),
        go="stimulus",
        fixation="fixation",
    ),
    "comparison": Course(
        {"fixation": _START, "first": (500,), "delay": (1000,), "second": (500,), "end": (200,)},
        (("fixation", "first"), ("delay", "second")),
        go="second",
        fixation="fixation",
    ),
    "sample": _MATCH,
    "category": _MATCH,
}


@dataclass(frozen=True)
class Yang2019Neurogym(Ring):
    """The 20 cognitive tasks of Yang et al. (2019) as NeuroGym 2.3 sets them.

    Directions are the units of the ring, the targets of each step are classes: 0 to fixate,
    1 + k to answer with unit k. Durations are fixed but for the start of decisions. Noise is on
    both rings and only while stimuli of decisions and matches are shown. The fixation cue goes
    off with the first stimulus of decisions and matches. A sample is in the second category
    from the middle of the ring on; NeuroGym counts the middle itself to the first, which
    contradicts its tests. There are no rule inputs, unless several tasks take turns. Accuracy is
    the share of right responses among those asked for or given, as most steps ask for none.

    Parameters
    ----------
    trials : int, default 500
        Number of trials of the training set, and of the test set.
    dt : int, default 100
        Time step in milliseconds, a divisor of 100.
    noise : float, default 1.0
        Noise of the stimuli; its standard deviation in a step is noise / sqrt(dt).
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    task : str, default "go"
        One of go, rtgo, dlygo, anti, rtanti, dlyanti, dm1, dm2, ctxdm1, ctxdm2, multidm, dlydm1,
        dlydm2, ctxdlydm1, ctxdlydm2, multidlydm, dms, dnms, dmc, dnmc; several joined by "-", or
        "all", of which trials take turns.
    ring : int, default 16
        Number of units of a ring, an even number of at least 8.
    periods : {"variable", "fixed"}, default "variable"
        Whether durations are drawn for each trial or are their means.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    dt: int = 100
    noise: float = 1.0
    ring: int = 16

    name: ClassVar[str] = "yang2019_neurogym"
    summary: ClassVar[str] = "20 cognitive tasks in time as NeuroGym sets them, a class each step"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "Yang et al. 2019; Molano-Mazon et al. 2022"
    idle: ClassVar[int | None] = 0

    @property
    def inputs_size(self) -> int:
        """Fixation, two rings and, if several tasks take turns, a rule for each."""
        return 1 + 2 * self.ring + self._rules

    @property
    def outputs_size(self) -> int:
        """Fixation and a ring."""
        return 1 + self.ring

    @property
    def courses(self) -> Mapping[str, Course]:
        return _COURSES

    def reach(self, draws: Draws, rule: Rule) -> Stimuli:
        angle = draws.pick("answer", self._directions)
        shown = (angle + np.pi * rule.anti) % TURN
        strength = unit_strengths(draws.pick("modality", (0, 1)))
        return pair(shown, shown), strength, angle

    def decide(self, draws: Draws, rule: Rule) -> Stimuli:
        first = draws.pick("first direction", range(self.ring))
        second = (first + draws.pick("distance", range(1, self.ring))) % self.ring
        strength = np.zeros((draws.trials, 2, MODALITIES))
        for modality in rule.shown:
            use = f"modality {modality}"
            if rule.family == "decision":
                coherence = draws.pick(f"coherence of {use}", (0.08, 0.16, 0.32, 0.64))
                half = 0.5 * coherence * draws.sign(f"sign of {use}")
                strength[:, :, modality] = pair(0.5 + half, 0.5 - half)
            else:
                levels = np.array([0.3, 0.6, 1.0])
                one = draws.pick(f"first level of {use}", range(3))
                other = (one + draws.pick(f"second level of {use}", (1, 2))) % 3
                strength[:, :, modality] = pair(levels[one], levels[other])
        evidence = strength[:, :, list(rule.attended)].sum(axis=2)
        # Two modalities may contradict each other by the same amount, apart from rounding.
        difference = evidence[:, 0] - evidence[:, 1]
        tie = np.abs(difference) < 1e-9
        difference[tie] = draws.sign("tie")[tie]
        angle = pair(self._directions[first], self._directions[second])
        return angle, strength, np.where(difference > 0, angle[:, 0], angle[:, 1])

    def compare(self, draws: Draws, rule: Rule) -> Stimuli:
        half = self.ring // 2
        match = draws.pick("match", (False, True))
        first = draws.pick("first direction", range(self.ring))
        if rule.family == "sample":
            second = (first + half * ~match) % self.ring
        else:
            category = (first >= half) == match
            second = draws.pick("direction within category", range(half)) + half * category
        modality = draws.pick("modality", (0, 1))
        strength = unit_strengths(modality, modality)
        angle = pair(self._directions[first], self._directions[second])
        return angle, strength, np.where(match == rule.match, angle[:, 1], np.nan)

    def draw(self, part: str) -> Batch:
        """Draw a set of trials and render inputs, classes and mask."""
        conditions, steps = self.conditions(part), self.steps
        inputs = self.clean_inputs(conditions, self._rules)
        noisy = np.zeros((self.trials, steps), dtype=bool)
        for onset, offset in zip(conditions.onset.T, conditions.offset.T, strict=True):
            noisy |= during(onset, offset, steps)
        quiet = [RULES[name].family in ("go", "reaction", "memory") for name in self.names]
        noisy &= ~np.array(quiet)[conditions.rule, None]
        rings = inputs[:, :, 1 : 1 + MODALITIES * self.ring]
        self.draws(part).add_noise("noise", rings, self.noise / np.sqrt(self.dt), noisy)
        answered = ~np.isnan(conditions.answer)
        unit = np.rint(np.where(answered, conditions.answer, 0) / TURN * self.ring).astype(np.int64)
        due = during(conditions.go, conditions.length, steps) & answered[:, None]
        return Batch(inputs, due * (1 + unit)[:, None], mask=during(0, conditions.length, steps))

    @property
    def _rules(self) -> int:
        return len(self.names) if len(self.names) > 1 else 0

    @property
    def _directions(self) -> Array:
        return TURN * np.arange(self.ring) / self.ring

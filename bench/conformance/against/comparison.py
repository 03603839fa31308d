"""What came of comparing a function with a rule, and what there is to compare."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.bench.components import registry
from plausibench.bench.components.support import obstacle
from plausibench.bench.conformance.against.likeness import Law, law_of, sampled_law
from plausibench.bench.conformance.against.terms import (
    factor_names,
    name_factor,
    variants,
)
from plausibench.bench.measuring.adapter import Function
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, prepare
from plausibench.bench.measuring.exact import exact
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.batch import Batch
from plausibench.rules import BUILTIN
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

IT_IS = "it is"
BUT_FOR = "it is, but for a term"
IT_IS_NOT = "it is not"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came of comparing a function with a rule.

    Attributes
    ----------
    verdict
        ``it is``, ``it is, but for a term`` or ``it is not``.
    sentence
        The same in words, with figures.
    factor
        The one factor by which all its answers are the rule's, as far as they are.
    term
        What it differs by, where that has a name.
    nearest
        The rule or variant that is nearest, where it is not this one.
    rest
        Length of what is left of each parameter after the factor, relative to its answer.
    rows
        What was tried, one dict each: ``tried``, ``value``.
    """

    verdict: str
    sentence: str
    factor: float = float("nan")
    term: str = ""
    nearest: str = ""
    rest: Mapping[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def frame(self) -> "pd.DataFrame":
        """What was tried, as a table with columns ``tried`` and ``value``."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=["tried", "value"])

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False)
class Pair:
    """A function and a rule on one network and batch.

    Attributes
    ----------
    name
        Selector of the rule.
    setting
        The rule and where it is.
    function
        The function at the same weights and batch.
    theirs, ours
        Their laws.
    samples
        Draws of each that is drawn.
    rows
        What was tried so far.
    """

    name: str
    setting: Setting
    function: Function
    theirs: Law
    ours: Law
    samples: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def named(self) -> dict[str, float]:
        """Factors that have a name here."""
        size = self.setting.batch.size
        rows = len(next(iter(self.setting.clean.drive.values())))
        return factor_names(self.setting.network, size, rows // size)

    def note(self, tried: str, value: object) -> None:
        """Keep what was tried, and what came of it."""
        self.rows.append({"tried": tried, "value": str(value)})

    def times(self, factor: float) -> str:
        """What a sentence says of a factor; nothing of 1."""
        word = name_factor(factor, self.named)
        return "" if word == "1" else f", times {word}"

    @cached_property
    def alone(self) -> list[dict[str, Array]] | None:
        """The function's answers to single examples; None where it takes no other batch."""
        try:
            return answers_alone(
                self.setting.batch, lambda batch: replace(self.function, batch=batch).draw(0)
            )
        except Exception as error:  # noqa: BLE001 - a function may know one batch only
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            self.note("single examples", f"it takes no other batch ({said})")
            return None

    def laws_of_others(self) -> Iterator[tuple[str, Law]]:
        """Laws of the built-in rules and their variants that can run here and draw nothing."""
        for name in BUILTIN:
            rule: Rule = registry.make("rule", name)
            others = ((f"{name}[{option}]", other) for option, other in variants(rule))
            for label, each in [(name, rule), *others]:
                law = None if each.randomness() & WITHIN else self.law_near(each)
                if law is not None:
                    yield label, law

    def law_near(self, rule: Rule) -> Law | None:
        """Law of another rule here, with the state where it fits.

        None where it cannot run or finds no answer, or where it draws and the function does not.
        """
        setting = self.setting
        if rule.randomness() & WITHIN and not self.theirs.drawn:
            return None
        parts = setting.network, setting.objective, setting.batch
        try:
            if obstacle(rule, setting.network, setting.objective) is not None:
                return None
            first = rule.initial_state(setting.network, setting.seed)
            same = shapes(first) == shapes(setting.state)
            state = setting.state if same else first
            return law_of_rule(prepare(rule, *parts, state, setting.seed), self.samples)
        except (InputError, Divergence):
            return None


def answers_alone(
    batch: Batch, answer: Callable[[Batch], Mapping[str, Any]]
) -> list[dict[str, Array]]:
    """Answers to each example of a batch alone, flat."""
    return [
        {name: np.asarray(array).reshape(-1) for name, array in answer(batch.take([k])).items()}
        for k in range(batch.size)
    ]


def law_of_rule(setting: Setting, samples: int) -> Law:
    """The law of a rule of ours: exact where it draws nothing, else from its draws."""
    answer = exact(setting, WITHIN)
    if answer is not None and not any(answer.variance.values()):
        return law_of(answer.mean)
    drawn = (
        {name: block[name][place] for name in block}
        for block in formed_blocks(setting, samples, WITHIN)
        for place in range(len(next(iter(block.values()))))
    )
    return sampled_law(drawn, samples)


def shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of each array."""
    return {name: np.shape(array) for name, array in state.items()}

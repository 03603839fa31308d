"""Weighted sum of objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import InputError, choose, number, refusal
from plausibench.objectives import BUILTIN
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Array, Objective, Penalty, coupled

FORM = "a sum such as cross_entropy+0.01*weight_decay, or pairs of a weight and an objective"


@dataclass(frozen=True)
class WeightedSum(Objective):
    """Sum of objectives of the same outputs and targets, and of penalties on the weights.

    Parameters
    ----------
    terms
        Text such as ``cross_entropy+0.01*weight_decay``, with objectives that are built in and
        their default options, or pairs of a weight and an objective.
    """

    terms: str | Sequence[tuple[float, Objective]] = "cross_entropy+0.001*weight_decay"

    summary: ClassVar[str] = "weighted sum of objectives and penalties"
    equation: ClassVar[str] = "F = sum_k weight_k F_k"

    def __post_init__(self) -> None:
        if not isinstance(self.terms, str):
            object.__setattr__(self, "terms", self._pairs)
        if not self._pairs:
            raise refusal("terms", self.terms, FORM)

    @cached_property
    def _pairs(self) -> tuple[tuple[float, Objective], ...]:
        if isinstance(self.terms, str):
            return tuple(_term(part) for part in self.terms.split("+"))
        try:
            pairs = tuple((number("terms", weight), term) for weight, term in self.terms)
        except TypeError as error:
            raise refusal("terms", self.terms, FORM) from error
        if not all(isinstance(term, Objective) for _, term in pairs):
            raise refusal("terms", self.terms, FORM)
        return pairs

    @property
    def _activity(self) -> tuple[tuple[float, Objective], ...]:
        """Terms that depend on activity."""
        return tuple(pair for pair in self._pairs if not isinstance(pair[1], Penalty))

    @property
    def couples_examples(self) -> bool:
        return any(term.couples_examples for _, term in self._activity)

    @property
    def data(self) -> Objective:
        found = self._activity
        if len(found) == 1 and found[0][0] == 1:
            return found[0][1].data
        return WeightedSum(found) if 0 < len(found) < len(self._pairs) else self

    def in_time(self, batch: Batch) -> Batch:
        """The batch as its terms read it, one of which may read it in a way of its own.

        Raises
        ------
        InputError
            If more than one does.
        """
        read = [term.in_time(batch) for _, term in self._activity]
        own = [one for one in read if one is not batch]
        if len(own) > 1:
            raise InputError(
                f"terms: {len(own)} take returns of rewards over time, each in its own way; "
                "allowed is one"
            )
        return own[0] if own else batch

    def losses(self, output: Array, targets: Array) -> Array:
        if self.couples_examples:
            raise coupled(self)
        zero = np.zeros(output.shape[:-1], output.dtype)
        return sum((w * term.losses(output, targets) for w, term in self._activity), zero)

    def loss(self, output: Array, targets: Array) -> Array:
        zero = np.zeros(output.shape[:-2], output.dtype)
        return sum((w * term.loss(output, targets) for w, term in self._activity), zero)

    def error(self, output: Array, targets: Array) -> Array:
        zero = np.zeros_like(output)
        return sum((w * term.error(output, targets) for w, term in self._activity), zero)

    def penalty(self, parameters: Mapping[str, Array]) -> float:
        return sum(w * term.penalty(parameters) for w, term in self._pairs)

    def penalty_gradient(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        total: dict[str, Array] = {}
        for weight, term in self._pairs:
            for name, array in term.penalty_gradient(parameters).items():
                total[name] = total[name] + weight * array if name in total else weight * array
        return total

    def check(self, targets: Array, outputs: int) -> None:
        for _, term in self._pairs:
            term.check(targets, outputs)


def _term(text: str) -> tuple[float, Objective]:
    weight, star, name = text.rpartition("*")
    try:
        factor = float(weight) if star else 1.0
    except ValueError as error:
        raise refusal("terms", text, FORM) from error
    place = BUILTIN[choose("terms", name.strip(), [n for n in BUILTIN if n != "weighted_sum"])]
    module, _, title = place.partition(":")
    objective: Objective = getattr(import_module(module), title)()
    return number("terms", factor), objective

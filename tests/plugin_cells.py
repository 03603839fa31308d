"""A plug-in file of every kind."""

import pytest

from plausibench.kernels.errors import InputError

RULE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from plausibench.rules.rule import Rule, RuleCard

@dataclass(frozen=True)
class MyRule(Rule):
    rate: float = 1.0
    label: str = "none"
    card: ClassVar[RuleCard] = RuleCard(
        summary="", equation="", randomness=frozenset(), unbiased=False, exact_when="",
        variance_law="", synapse_knows="", cites="",
    )

    def __post_init__(self):
        if self.rate > 10:
            raise ValueError("rate is above 10")

    def estimate(self, network, objective, batch, clean, state, noise):
        return {}
"""


def refusal(call, *arguments, **options):
    """The one sentence with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)

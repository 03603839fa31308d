"""What an action is expected to teach about what comes of it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import integer, refusal
from plausibench.objectives.objective import Array, Objective, real_targets, softmax


@dataclass(frozen=True)
class InformationGain(Objective):
    r"""Minus the information that a softmax policy expects from its action (Little & Sommer 2013).

    The probabilities of the outcomes of each action are believed to be Dirichlet distributed. The
    targets are the counts :math:`\alpha` of every action and outcome, ``(B, A outcomes)`` with the
    outcomes of an action side by side. Seeing the outcome of an action tells, in nats,

    .. math:: I = H(\alpha / \alpha_0) - \psi(\alpha_0 + 1)
        + \sum_s \frac{\alpha_s}{\alpha_0} \psi(\alpha_s + 1),

    which is the expected divergence of what is believed after it from what was before.

    Parameters
    ----------
    outcomes
        Of each action.
    """

    outcomes: int = 2

    summary: ClassVar[str] = "minus the information that actions give about their outcomes"
    cites: ClassVar[str] = "Little & Sommer 2013"
    equation: ClassVar[str] = "F = -mean_b sum_a softmax(a_b)_a I(alpha_ba)"

    def __post_init__(self) -> None:
        integer("outcomes", self.outcomes, least=2)

    def losses(self, output: Array, targets: Array) -> Array:
        return -(softmax(output) * self._gains(output, targets)).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        policy, gains = softmax(output), self._gains(output, targets)
        return -policy * (gains - (policy * gains).sum(axis=-1, keepdims=True))

    def _gains(self, output: Array, targets: Array) -> Array:
        counts = targets.reshape(len(targets), -1, self.outcomes)
        return information_gain(counts).astype(output.dtype, copy=False)

    def check(self, targets: Array, outputs: int) -> None:
        real_targets(targets, "counts of outcomes", outputs * self.outcomes)
        if targets.min() <= 0:
            raise refusal("targets", targets.min(), "a count of a Dirichlet, above 0")


def information_gain(counts: Array) -> Array:
    """Expected information of one more outcome, nats, for counts ``(..., S)`` of a Dirichlet."""
    from scipy.special import digamma, xlogy

    total = counts.sum(axis=-1)
    mean = counts / total[..., None]
    entropy = -xlogy(mean, mean).sum(axis=-1)
    expected = digamma(total + 1) - (mean * digamma(counts + 1)).sum(axis=-1)
    gains: Array = entropy - expected
    return np.maximum(gains, 0)  # below zero by rounding only

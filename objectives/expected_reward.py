"""Expected reward of a softmax policy."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.objectives.objective import Array, Objective, one_hot, softmax


@dataclass(frozen=True)
class ExpectedReward(Objective):
    """Expected reward under a softmax policy, F_b = -sum_s pi_s r_s (Williams 1992).

    An integer class is the action that is rewarded with 1; a float target ``(B, N)`` is the
    reward of each action.
    """

    summary: ClassVar[str] = "minus the expected reward of a softmax policy"
    cites: ClassVar[str] = "Williams 1992"
    equation: ClassVar[str] = "F = -mean_b sum_s softmax(a_b)_s r_bs"

    def losses(self, output: Array, targets: Array) -> Array:
        rewards = one_hot(targets, output.shape[-1], output.dtype)
        return -(softmax(output) * rewards).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        rewards = one_hot(targets, output.shape[-1], output.dtype)
        policy = softmax(output)
        expected = (policy * rewards).sum(axis=-1, keepdims=True)
        return -policy * (rewards - expected)

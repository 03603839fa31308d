"""Cross-entropy of independent sigmoid outputs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import refusal
from plausibench.objectives.objective import Array, Objective, one_hot


@dataclass(frozen=True)
class BinaryCrossEntropy(Objective):
    """Cross-entropy of each output's sigmoid with its own target, summed over outputs.

    The network's output is the drive of the sigmoids, so that certain outputs lose no digits.
    Targets are integer classes, which are one-hot encoded, or numbers from 0 to 1.
    """

    summary: ClassVar[str] = "negative log-likelihood of targets under independent sigmoids"
    equation: ClassVar[str] = (
        "F = -mean_b sum_i y_bi log s(a_bi) + (1 - y_bi) log(1 - s(a_bi)),  s(a) = 1 / (1 + e^-a)"
    )

    def check(self, targets: Array, outputs: int) -> None:
        super().check(targets, outputs)
        if np.issubdtype(targets.dtype, np.integer):
            outside = targets[targets < 0]
        else:
            outside = targets[(targets < 0) | (targets > 1)]
        if outside.size:
            raise refusal("targets", outside[0], "a class, or a number from 0 to 1")

    def losses(self, output: Array, targets: Array) -> Array:
        right = one_hot(targets, output.shape[-1], output.dtype)
        losses: Array = (np.logaddexp(0, output) - right * output).sum(axis=-1)
        return losses

    def error(self, output: Array, targets: Array) -> Array:
        right = one_hot(targets, output.shape[-1], output.dtype)
        error: Array = np.exp(-np.logaddexp(0, -output)) - right
        return error

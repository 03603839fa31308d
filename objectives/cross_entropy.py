"""Cross-entropy of a softmax over the outputs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.elementwise import log_sum_exp, negative_log_softmax
from plausibench.kernels.errors import InputError, flag
from plausibench.objectives.objective import Array, Objective, one_hot, softmax


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy F_b = -sum_i y_i log softmax(a)_i; integer classes or probabilities.

    Parameters
    ----------
    double_softmax
        Whether the softmax is taken of the probabilities again, as Lin & Huang (2024) do: the
        loss then does not fall below ``log(e + n - 1) - 1`` for n classes, 1.461 for ten.
    """

    double_softmax: bool = False

    summary: ClassVar[str] = "negative log-likelihood of the target under a softmax"
    equation: ClassVar[str] = "F = -mean_b sum_i y_bi log softmax(a_b)_i"

    def __post_init__(self) -> None:
        flag("double_softmax", self.double_softmax)

    def check(self, targets: Array, outputs: int) -> None:
        super().check(targets, outputs)
        if targets.min() < 0:
            raise InputError(
                f"targets: {float(targets.min()):.3g} is no probability; allowed under "
                "cross_entropy are integer classes or probabilities"
            )

    def losses(self, output: Array, targets: Array) -> Array:
        output = softmax(output) if self.double_softmax else output
        rows = np.ascontiguousarray(output).reshape(-1, output.shape[-1])
        if targets.ndim == 1:
            losses = np.empty(output.shape[:-1], output.dtype)
            classes = np.ascontiguousarray(targets, np.int64)
            negative_log_softmax(rows, classes, losses.reshape(-1))
            return losses
        largest, logarithm = np.empty((2, len(rows)), output.dtype)
        log_sum_exp(rows, largest, logarithm)
        largest, logarithm = (part.reshape(output.shape[:-1]) for part in (largest, logarithm))
        weights = one_hot(targets, output.shape[-1], output.dtype)
        shifted = output - largest[..., None]
        return weights.sum(axis=-1) * logarithm - (weights * shifted).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        weights = one_hot(targets, output.shape[-1], output.dtype)
        chance = softmax(output)
        if not self.double_softmax:
            return chance * weights.sum(axis=-1, keepdims=True) - weights
        error = softmax(chance) * weights.sum(axis=-1, keepdims=True) - weights
        return chance * (error - (chance * error).sum(axis=-1, keepdims=True))

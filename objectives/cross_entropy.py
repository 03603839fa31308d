"""Cross-entropy of a softmax over the outputs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.objectives.objective import Array, Objective, one_hot, softmax


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy F_b = -sum_i y_i log softmax(a)_i; integer classes or probabilities."""

    summary: ClassVar[str] = "negative log-likelihood of the target under a softmax"
    equation: ClassVar[str] = "F = -mean_b sum_i y_bi log softmax(a_b)_i"

    def losses(self, output: Array, targets: Array) -> Array:
        shifted = output - output.max(axis=-1, keepdims=True)
        normaliser = np.log(np.exp(shifted).sum(axis=-1))
        if targets.ndim == 1:
            return normaliser - shifted[..., np.arange(targets.size), targets]
        weights = one_hot(targets, output.shape[-1], output.dtype)
        return weights.sum(axis=-1) * normaliser - (weights * shifted).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        weights = one_hot(targets, output.shape[-1], output.dtype)
        return softmax(output) * weights.sum(axis=-1, keepdims=True) - weights

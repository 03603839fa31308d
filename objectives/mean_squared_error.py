"""Half the squared distance between output and target."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.objectives.objective import Array, Objective, one_hot


@dataclass(frozen=True)
class MeanSquaredError(Objective):
    """Squared error F_b = 1/2 ||a - y||^2, summed over outputs, mean over the batch.

    Integer classes are one-hot encoded.
    """

    summary: ClassVar[str] = "half the squared distance to the target, summed over outputs"
    equation: ClassVar[str] = "F = mean_b 1/2 ||a_b - y_b||^2"

    def losses(self, output: Array, targets: Array) -> Array:
        difference = self.error(output, targets)
        return 0.5 * (difference * difference).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        return output - one_hot(targets, output.shape[-1], output.dtype)

"""What an objective is: per-example losses and the error signal at the output."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import InputError

Array = np.ndarray


class Objective(ABC):
    """A scalar F to be minimised: the mean over the batch of per-example losses.

    Arrays may carry any leading axes (samples, time) before the batch axis B and the
    output axis N.
    """

    summary: ClassVar[str]
    cites: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    @abstractmethod
    def losses(self, output: Array, targets: Array) -> Array:
        """Loss of every example, shape ``(..., B)``."""

    @abstractmethod
    def error(self, output: Array, targets: Array) -> Array:
        """Derivative of each example's loss with respect to the output, ``(..., B, N)``."""

    def check(self, targets: Array, outputs: int) -> None:
        """Refuse targets that do not fit ``outputs`` output units.

        Raises
        ------
        InputError
            In one sentence that names the targets and what is allowed.
        """
        if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
            largest = int(targets.max())
            if largest >= outputs:
                raise InputError(
                    f"targets: class {largest} does not fit a network of {outputs} output units; "
                    f"allowed are classes 0 to {outputs - 1}"
                )
        elif targets.ndim != 2 or targets.shape[1] != outputs:
            raise InputError(
                f"targets: shape {targets.shape} does not fit a network of {outputs} output "
                f"units; allowed are integer classes (B,) or an array (B, {outputs})"
            )


def one_hot(targets: Array, outputs: int, dtype: np.dtype) -> Array:
    """Integer classes ``(B,)`` as indicator rows ``(B, outputs)``; other targets unchanged."""
    if targets.ndim == 2:
        return targets.astype(dtype, copy=False)
    rows = np.zeros((targets.size, outputs), dtype=dtype)
    rows[np.arange(targets.size), targets] = 1
    return rows


def softmax(output: Array) -> Array:
    """Softmax over the last axis, shifted by the maximum so that it cannot overflow."""
    shifted = np.exp(output - output.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)

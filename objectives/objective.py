"""What an objective is: per-example losses and the error signal at the output."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import InputError
from plausibench.kernels.plain import PlainOptions
from plausibench.objectives.batch import Batch

Array = np.ndarray


class Objective(metaclass=PlainOptions):
    """A scalar F to be minimised: the mean over the batch of per-example losses.

    Arrays may carry any leading axes (samples, time) before the batch axis B and the
    output axis N.
    """

    summary: ClassVar[str]
    cites: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    reads_targets: ClassVar[bool] = True
    """Whether targets say what the output should be."""

    @property
    def couples_examples(self) -> bool:
        """Whether the loss is one of the whole batch, and no mean over its examples."""
        return False

    @property
    def data(self) -> "Objective":
        """The part that depends on activity: what a learning rule sees."""
        return self

    @abstractmethod
    def losses(self, output: Array, targets: Array) -> Array:
        """Loss of every example, shape ``(..., B)``."""

    @abstractmethod
    def error(self, output: Array, targets: Array) -> Array:
        """Derivative of each example's loss with respect to the output, ``(..., B, N)``."""

    def loss(self, output: Array, targets: Array) -> Array:
        """Loss of the batch, ``(...,)``."""
        mean: Array = self.losses(output, targets).mean(axis=-1)
        return mean

    def penalty(self, parameters: Mapping[str, Array]) -> float:
        """Part of the loss that depends on the parameters only."""
        return 0.0

    def penalty_gradient(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Gradient of :meth:`penalty`; parameters that it does not depend on may be left out.

        It is exact, and each synapse knows its own entry, so it is added to the estimate of any
        rule.
        """
        return {}

    def in_time(self, batch: Batch) -> Batch:
        """The batch as the losses of single steps read it; the same by default."""
        return batch

    def batch_losses(self, output: Array, batch: Batch) -> Array:
        """Loss of every example of a batch, ``(..., B)``, over time where the output has time.

        An output over time has a row for each step and example, ``(..., T B, N)``. The loss of an
        example is then the mean over its steps: weighted by the batch's mask where it has one, of
        the last step alone where the target belongs to the whole trial and there is no mask, and
        of all steps else.
        """
        targets, weights = in_rows(output, self.in_time(batch))
        losses = self.losses(output, targets)
        if weights is None:
            return losses
        return (losses.reshape(*losses.shape[:-1], *weights.shape) * weights).sum(axis=-2)

    def batch_loss(self, output: Array, batch: Batch) -> Array:
        """Loss of a batch, ``(...,)``, over time where the output has time."""
        if self.couples_examples:
            return self.loss(output, batch.targets)
        mean: Array = self.batch_losses(output, batch).mean(axis=-1)
        return mean

    def batch_error(self, output: Array, batch: Batch) -> Array:
        """Derivative of the batch's mean loss with respect to the output, one row per row."""
        targets, weights = in_rows(output, self.in_time(batch))
        error = self.error(output, targets)
        if weights is None:
            return error / batch.size
        return error * (weights.reshape(-1, 1) / batch.size)

    def check(self, targets: Array, outputs: int) -> None:
        """Refuse targets that do not fit ``outputs`` output units.

        Targets over time have an axis T after the examples.

        Raises
        ------
        InputError
            In one sentence that names the targets and what is allowed.
        """
        if np.issubdtype(targets.dtype, np.integer) and targets.ndim <= 2:
            largest = int(targets.max())
            if largest >= outputs:
                raise InputError(
                    f"targets: class {largest} does not fit a network of {outputs} output units; "
                    f"allowed are classes 0 to {outputs - 1}"
                )
        elif targets.ndim not in (2, 3) or targets.shape[-1] != outputs:
            raise InputError(
                f"targets: shape {targets.shape} does not fit a network of {outputs} output "
                f"units; allowed are integer classes (B,) or an array (B, {outputs})"
            )


class CoupledObjective(Objective):
    """An objective of the batch as a whole, such as one of the outputs' covariance."""

    @property
    def couples_examples(self) -> bool:
        return True

    @abstractmethod
    def loss(self, output: Array, targets: Array) -> Array:
        """Loss of the batch, ``(...,)``."""

    @abstractmethod
    def error(self, output: Array, targets: Array) -> Array:
        """Derivative of the loss with respect to the output, times B: ``(..., B, N)``."""

    def losses(self, output: Array, targets: Array) -> Array:
        raise coupled(self)


class Penalty(Objective):
    """An objective of the parameters alone, to be a term of a weighted sum."""

    reads_targets: ClassVar[bool] = False

    @abstractmethod
    def penalty(self, parameters: Mapping[str, Array]) -> float:
        """Value for these parameters."""

    @abstractmethod
    def penalty_gradient(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Gradient, of each parameter that it depends on."""

    def losses(self, output: Array, targets: Array) -> Array:
        return np.zeros(output.shape[:-1], output.dtype)

    def error(self, output: Array, targets: Array) -> Array:
        return np.zeros_like(output)

    def check(self, targets: Array, outputs: int) -> None:
        """Any targets fit."""


def coupled(objective: Objective) -> InputError:
    """Error saying that there is no loss of single examples."""
    return InputError(
        f"objective: {type(objective).__name__} couples the examples of a batch, so that single "
        "examples have no loss"
    )


def real_targets(targets: Array, what: str, columns: int | None = None) -> None:
    """Refuse targets that are not rows of real numbers.

    Raises
    ------
    InputError
        If they are classes, or do not have so many columns.
    """
    if targets.ndim != 2 or targets.dtype.kind != "f" or columns not in (None, targets.shape[1]):
        size = "B, N" if columns is None else f"B, {columns}"
        raise InputError(
            f"targets: {targets.dtype} of shape {targets.shape} are no {what}; allowed are "
            f"fractional numbers ({size})"
        )


def in_rows(output: Array, batch: Batch) -> tuple[Array, Array | None]:
    """Targets of every row of an output, and the weights of steps and examples ``(T, B)``.

    Rows are ordered by time, then by example. The weights of an example add up to 1; they are None
    where neither the output nor the targets have time.

    Raises
    ------
    InputError
        If targets or mask belong to other time steps than the output, or a mask leaves an example
        without any.
    """
    targets, size = batch.targets, batch.size
    steps = output.shape[-2] // size
    timed = targets.ndim == (2 if targets.dtype.kind == "i" else 3)
    if steps == 1 and not timed and batch.mask is None:
        return targets, None
    for name, array in (("targets", targets if timed else None), ("mask", batch.mask)):
        if array is not None and array.shape[1] != steps:
            raise InputError(
                f"{name}: {array.shape[1]} time steps do not fit an output of {steps}; allowed is "
                "one per step of the output"
            )
    weights = np.zeros((steps, size), dtype=output.dtype)
    if batch.mask is not None:
        total = batch.mask.sum(axis=1)
        if not total.all():
            raise InputError("mask: an example has no time step that counts; allowed is at least 1")
        weights[:] = (batch.mask / total[:, None]).T
    elif timed:
        weights[:] = 1 / steps
    else:
        weights[-1] = 1
    if timed:
        return targets.swapaxes(0, 1).reshape(steps * size, *targets.shape[2:]), weights
    return np.concatenate([targets] * steps), weights


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

"""Batch: the inputs and targets that a network is shown, with the key of each example."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plausibench.kernels.errors import InputError, refusal


@dataclass(frozen=True, eq=False, init=False)
class Batch:
    """Examples with their targets and keys, checked once and then only read.

    Parameters
    ----------
    inputs : array_like, shape (B, ...)
        Finite numbers. float32 stays float32, everything else becomes float64.
        Sequences are (B, T, N_in).
    targets : array_like, shape (B,) or (B, N_out), of sequences (B, T) or (B, T, N_out) too
        Whole numbers are classes, kept as int64; fractional numbers with an axis N_out are
        regression targets, kept in the precision of the inputs.
    keys : array_like of int, shape (B,), optional
        What the noise of each example is keyed by, kept as uint64. Rows permuted together
        with their keys keep their noise. Default: the positions 0 to B - 1.
    mask : array_like, shape (B, T), optional
        Weight of each time step in the loss, at least 0; only for sequences. Default: none, every
        step counts once.

    Raises
    ------
    InputError
        If an array is empty, has another shape or type, or holds NaN or infinity.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    keys: NDArray[np.uint64]
    mask: NDArray[Any] | None

    def __init__(
        self,
        inputs: ArrayLike,
        targets: ArrayLike,
        keys: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        checked = _inputs(inputs)
        # A frozen dataclass can only be filled in this way.
        object.__setattr__(self, "inputs", checked)
        object.__setattr__(self, "targets", _targets(targets, checked))
        object.__setattr__(self, "keys", _keys(keys, len(checked)))
        object.__setattr__(self, "mask", _mask(mask, checked))

    @property
    def size(self) -> int:
        """Number of examples B."""
        return len(self.inputs)

    def astype(self, dtype: Any) -> "Batch":
        """The same batch with inputs, and real-valued targets, in another floating-point type."""
        if self.inputs.dtype == dtype:
            return self
        targets = self.targets if self.targets.dtype.kind == "i" else self.targets.astype(dtype)
        return Batch(self.inputs.astype(dtype), targets, self.keys, self.mask)

    def take(self, rows: ArrayLike) -> "Batch":
        """Batch of the examples at ``rows``, in that order, with their keys.

        Parameters
        ----------
        rows : array_like of int, shape (R,)
            Positions from 0 to B - 1; a position may come more than once.

        Returns
        -------
        Batch
            Copies of these rows; writing into them leaves this batch as it is.

        Raises
        ------
        InputError
            If ``rows`` is empty, not whole numbers, or out of range.
        """
        chosen = np.asarray(rows)
        if (
            chosen.ndim != 1
            or chosen.dtype.kind not in "iu"
            or chosen.size == 0
            or chosen.min() < 0
            or chosen.max() >= self.size
        ):
            raise InputError(
                f"rows: these are not a list of positions from 0 to {self.size - 1} in the batch"
            )
        mask = None if self.mask is None else self.mask[chosen]
        return Batch(self.inputs[chosen], self.targets[chosen], self.keys[chosen], mask)


def _inputs(values: ArrayLike) -> NDArray[Any]:
    array = _array("inputs", values)
    if array.ndim < 2 or array.size == 0:
        raise InputError(
            f"inputs: shape {array.shape} is not (examples, inputs) with at least one of each"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"inputs: type {array.dtype} is not a real number")
    return _finite("inputs", array, np.float32 if array.dtype == np.float32 else np.float64)


def _targets(values: ArrayLike, inputs: NDArray[Any]) -> NDArray[Any]:
    array = _array("targets", values)
    if array.ndim == 0 or len(array) != len(inputs):
        raise InputError(
            f"targets: shape {array.shape} does not match inputs of {len(inputs)} examples"
        )
    steps = inputs.shape[1:2] if inputs.ndim == 3 else ()
    if array.ndim == 3 and steps and array.shape[1:2] != steps:
        raise InputError(
            f"targets: shape {array.shape} does not match inputs of {steps[0]} time steps"
        )
    if array.dtype.kind in "iu" and (array.ndim == 1 or (steps and array.shape[1:] == steps)):
        classes = np.ascontiguousarray(array, dtype=np.int64)
        if classes.min() < 0:
            raise InputError(f"targets: {array.min()} is not a class; classes count from 0")
        return classes
    if array.dtype.kind == "f" and array.ndim in (2, 2 + len(steps)) and array.size:
        return _finite("targets", array, inputs.dtype)
    raise InputError(
        f"targets: {array.dtype} of shape {array.shape} is neither whole numbers (examples,) "
        "for classes nor fractional numbers (examples, outputs) for regression"
    )


def _keys(values: ArrayLike | None, size: int) -> NDArray[np.uint64]:
    array = np.arange(size) if values is None else _array("keys", values)
    if array.shape != (size,) or array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(
            f"keys: {array.dtype} of shape {array.shape} is not one whole number of at least 0 "
            f"for each of the {size} examples"
        )
    return np.ascontiguousarray(array, dtype=np.uint64)


def _mask(values: ArrayLike | None, inputs: NDArray[Any]) -> NDArray[Any] | None:
    if values is None:
        return None
    array = _array("mask", values)
    if inputs.ndim != 3 or array.shape != inputs.shape[:2] or array.dtype.kind not in "fiub":
        raise InputError(
            f"mask: {array.dtype} of shape {array.shape} is not one number for each time step of "
            f"sequences of shape {inputs.shape}"
        )
    weights = _finite("mask", array, inputs.dtype)
    if weights.min() < 0:
        raise refusal("mask", weights.min(), "a weight of at least 0")
    return weights


def _array(field: str, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of unequal length
        raise InputError(f"{field}: no array can be made of rows of unequal length") from error


def _finite(field: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """C-contiguous copy or view of ``array`` as ``dtype``, all of it finite."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
        floats = np.ascontiguousarray(array, dtype=dtype)
    finite = np.isfinite(floats)
    if not finite.all():
        place = tuple(int(index) for index in np.argwhere(~finite)[0])
        raise InputError(f"{field}: {floats[place]} at {list(place)} is not a finite number")
    return floats

"""Batch: the inputs and targets that a network is shown, with the key of each example."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, refusal


@dataclass(frozen=True, eq=False, init=False)
class Batch:
    """Examples with their targets and keys, checked and copied once, and then only read.

    Arrays of numpy, pandas or PyTorch will do, and lists; a tensor is detached.

    Parameters
    ----------
    inputs : array_like, shape (B, ...)
        Finite numbers. float32 stays float32, everything else becomes float64.
        Sequences are (B, T, N_in).
    targets : array_like, shape (B,) or (B, N_out), of sequences (B, T) or (B, T, N_out) too
        Whole numbers (or booleans) without an axis N_out are classes, kept as int64; numbers with
        an axis N_out (regression targets, counts, rows that are 1 at the class) are kept in the
        precision of the inputs. Of sequences, whole numbers (B, T) are a class for each step.
    keys : array_like of int, shape (B,), optional
        What the noise of each example is keyed by, kept as uint64. Rows permuted together
        with their keys keep their noise. Default: the positions 0 to B - 1.
    mask : array_like, shape (B, T), optional
        Weight of each time step in the loss, at least 0; only for sequences. Default: none, every
        step counts once.

    Raises
    ------
    InputError
        If an array is empty, has another shape or type, holds NaN or infinity, or something
        would be lost of it: an imaginary part, a masked or missing entry.
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
        size = len(checked)
        _fill(self, checked, _targets(targets, checked), _keys(keys, size), _mask(mask, checked))

    def __repr__(self) -> str:
        parts = {"inputs": self.inputs, "targets": self.targets, "mask": self.mask}
        said = [f"{name} {a.dtype} {a.shape}" for name, a in parts.items() if a is not None]
        return f"Batch({', '.join(said)})"

    def read_only(self) -> "Batch":
        """The same examples, for all to read and for nobody to write into."""
        views = [
            None if array is None else array.view()
            for array in (self.inputs, self.targets, self.keys, self.mask)
        ]
        for view in views:
            if view is not None:
                view.flags.writeable = False
        return _fill(object.__new__(Batch), *views)

    @property
    def repeats(self) -> bool:
        """Whether two examples have one key, and so the same noise."""
        return np.unique(self.keys).size < self.size

    @property
    def size(self) -> int:
        """Number of examples B."""
        return len(self.inputs)

    def astype(self, dtype: Any) -> "Batch":
        """The same batch with inputs, and real-valued targets, in another floating-point type."""
        if self.inputs.dtype == dtype:
            return self
        targets = self.targets if self.targets.dtype.kind == "i" else self.targets.astype(dtype)
        inputs, mask = self.inputs.astype(dtype), self.mask
        if not np.isfinite(inputs).all() or not np.isfinite(targets).all():
            return Batch(inputs, targets, self.keys, mask)  # says what has become too large
        mask = None if mask is None else mask.astype(dtype)
        return _fill(object.__new__(Batch), inputs, targets, self.keys, mask)

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
        chosen = numbers("rows", rows)
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
        return self.rows(chosen)

    def rows(self, chosen: NDArray[Any]) -> "Batch":
        """As :meth:`take`, of positions that are known to be there."""
        mask = None if self.mask is None else self.mask[chosen]
        taken = (self.inputs[chosen], self.targets[chosen], self.keys[chosen], mask)
        return _fill(object.__new__(Batch), *taken)


def _fill(batch: Batch, *arrays: NDArray[Any] | None) -> Batch:
    """The batch, of arrays that are checked and that nobody else writes into."""
    for name, array in zip(("inputs", "targets", "keys", "mask"), arrays, strict=True):
        # A frozen dataclass can only be filled in this way.
        object.__setattr__(batch, name, array)
    return batch


def _inputs(values: ArrayLike) -> NDArray[Any]:
    array = numbers("inputs", values)
    if array.ndim < 2 or array.size == 0:
        raise InputError(
            f"inputs: shape {array.shape} is not (examples, inputs) with at least one of each"
        )
    return _finite("inputs", array, np.float32 if array.dtype == np.float32 else np.float64)


def _targets(values: ArrayLike, inputs: NDArray[Any]) -> NDArray[Any]:
    array = numbers("targets", values)
    if array.ndim == 0 or len(array) != len(inputs):
        raise InputError(
            f"targets: shape {array.shape} does not match inputs of {len(inputs)} examples"
        )
    steps = inputs.shape[1:2] if inputs.ndim == 3 else ()
    if array.ndim == 3 and steps and array.shape[1:2] != steps:
        raise InputError(
            f"targets: shape {array.shape} does not match inputs of {steps[0]} time steps"
        )
    whole = array.dtype.kind in "iub"
    if whole and (array.ndim == 1 or (steps and array.shape[1:] == steps)):
        classes = np.array(array, dtype=np.int64, order="C")
        if classes.min() < 0:
            wrong = array[classes < 0][0]  # also what int64 does not hold
            raise InputError(f"targets: {wrong} is not a class; classes count from 0")
        return classes
    if whole and array.ndim == 2 and array.shape[1] == 1:
        raise InputError(
            f"targets: {array.dtype} of shape {array.shape} is neither whole numbers (examples,) "
            "for classes nor fractional numbers (examples, 1); take its one column, or make it "
            "float"
        )
    if array.ndim in (2, 2 + len(steps)) and array.size:
        return _finite("targets", array, inputs.dtype)
    raise InputError(
        f"targets: {array.dtype} of shape {array.shape} is neither whole numbers (examples,) "
        "for classes nor numbers (examples, outputs) for regression"
    )


def _keys(values: ArrayLike | None, size: int) -> NDArray[np.uint64]:
    array = np.arange(size) if values is None else numbers("keys", values)
    if array.shape != (size,) or array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(
            f"keys: {array.dtype} of shape {array.shape} is not one whole number of at least 0 "
            f"for each of the {size} examples"
        )
    return np.array(array, dtype=np.uint64, order="C")


def _mask(values: ArrayLike | None, inputs: NDArray[Any]) -> NDArray[Any] | None:
    if values is None:
        return None
    array = numbers("mask", values)
    if inputs.ndim != 3 or array.shape != inputs.shape[:2]:
        raise InputError(
            f"mask: {array.dtype} of shape {array.shape} is not one number for each time step of "
            f"sequences of shape {inputs.shape}"
        )
    weights = _finite("mask", array, inputs.dtype)
    if weights.min() < 0:
        raise refusal("mask", weights.min(), "a weight of at least 0")
    return weights


def _finite(field: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """C-contiguous copy of ``array`` as ``dtype``, all of it finite."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
        floats = np.array(array, dtype=dtype, order="C")
    finite = np.isfinite(floats)
    if not finite.all():
        place = tuple(int(index) for index in np.argwhere(~finite)[0])
        raise InputError(f"{field}: {floats[place]} at {list(place)} is not a finite number")
    return floats

"""What users hand over as arrays: read without losing anything, or refused in a sentence."""

import textwrap
from numbers import Real
from typing import Any

import numpy as np

from plausibench.kernels.errors import InputError, show

Array = np.ndarray


def numbers(field: str, values: Any) -> Array:
    """Array of booleans, whole or fractional numbers; it may share memory with ``values``.

    Tensors of PyTorch are detached and brought to this processor, and types that numpy does not
    know, such as bfloat16 and the nullable types of pandas, become those of numpy.

    Raises
    ------
    InputError
        If something would be lost: an imaginary part, a masked or missing entry, or what is no
        number.
    """
    if values is None:
        raise InputError(f"{field}: None is not an array of numbers")
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise InputError(f"{field}: entries are masked; fill them or leave them out")
        values = values.data
    try:
        array = _typed(np.asarray(_fetched(values)))
    except Exception as error:  # sparse tensors, whatever a library raises
        if isinstance(values, list | tuple) and isinstance(error, ValueError):
            raise InputError(f"{field}: no array can be made of rows of unequal length") from error
        reason = textwrap.shorten(str(error), 100)
        raise InputError(
            f"{field}: no array of numbers can be made of {show(values, 60)} ({reason})"
        ) from error
    if array.dtype.kind == "c":
        raise InputError(
            f"{field}: type {array.dtype} has an imaginary part, which would be lost; pass the "
            "real part"
        )
    if array.dtype.kind not in "biuf":
        missing = array.dtype.kind == "O"
        raise InputError(
            f"{field}: type {array.dtype} is not a real number"
            + ("; fill or leave out missing entries" if missing else "")
        )
    return array


def _fetched(values: Any) -> Any:
    """A tensor without its graph, in memory that numpy reads and of a type that it knows."""
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    tensor = values.detach().cpu()
    if str(getattr(tensor, "dtype", "")).endswith("bfloat16"):
        return tensor.double()
    return tensor.resolve_conj().resolve_neg() if hasattr(tensor, "resolve_conj") else tensor


def _typed(array: Array) -> Array:
    """The same numbers in a type of numpy, where they came as objects or in a foreign one."""
    if array.dtype.kind == "V" and array.dtype.names is None:
        return array.astype(np.float64)  # bfloat16, and the types of 8 bits
    if array.dtype.kind == "O":
        listed = np.array(array.tolist())
        if listed.shape == array.shape and listed.dtype.kind in "biufc":
            return listed
        if all(isinstance(entry, Real) for entry in array.flat):
            return array.astype(np.float64)  # fractions, whole numbers of more than 64 bits
    return array

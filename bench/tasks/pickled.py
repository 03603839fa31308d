"""Reading pickled arrays without executing anything.

A pickle is a program: it names what is to be imported and called. Here only three names have a
meaning, those by which arrays of numpy are pickled, and they stand for :class:`Recorded`, which
writes down what it was called with; no other name is looked up, and nothing is imported or called
that does anything. Instructions are those of plain values, so that none reaches what other code
has registered. Arrays are then built from what was written down, bytes alone.
"""

import io
import pickle
import pickletools
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError

_ARRAY = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
_BYTES = {"u1", "|u1", b"u1", b"|u1"}
"""How numpy names the type of bytes."""
_ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET"),
    *("LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINUNICODE"),
    *("SHORT_BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
"""Instructions of plain values and of arrays."""


def read_pickled(content: bytes, path: Path, instead: str) -> dict[str, Any]:
    """The table in a pickle: numbers, text and lists of these, and arrays of bytes.

    Parameters
    ----------
    content : bytes
        Content of the file.
    path : Path
        Its name, for errors.
    instead : str
        What to use if this cannot be read.

    Returns
    -------
    dict
        Values by name.

    Raises
    ------
    InputError
        If the file is damaged, or holds anything else.
    """
    try:
        for instruction, _, _ in pickletools.genops(content):
            if instruction.name not in _ALLOWED:
                raise pickle.UnpicklingError(
                    f"it has the instruction {instruction.name}, which arrays of numbers need not"
                )
        table = _Reader(content).load()
        return {_text(name): _value(value) for name, value in table.items()}
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"path: {path} cannot be read ({reason}); {instead}") from error


class _Reader(pickle.Unpickler):
    """Reads what Python 2 wrote; finds no names but those of an array."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        # A class of this one reading: what a pickle does to it ends with it.
        self.recorded: Any = type("Recorded", (Recorded,), {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is not looked up because it may execute code"
            )
        return self.recorded


class Recorded:
    """What an array, or the type of its values, is pickled as: arguments and state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _value(value: Any) -> Any:
    if not isinstance(value, Recorded):
        return value
    _, shape, kind, by_column, content = value.state
    if kind.arguments[0] not in _BYTES:
        raise ValueError("an array in it does not hold bytes")
    if not all(type(size) is int for size in shape) or prod(shape) != len(content):
        raise ValueError(f"an array in it has not the size that its shape {shape} says")
    array: NDArray[np.uint8] = np.frombuffer(content, dtype=np.uint8)
    return array.reshape(shape, order="F" if by_column else "C")

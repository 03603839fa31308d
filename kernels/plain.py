"""What users hand over as options and arguments, as plain Python objects.

A numpy scalar that is kept as it came wraps around, overflows, or turns float32 into float64 where
a Python number would not; and options that mean the same must compare, hash and key random streams
the same.
"""

from abc import ABCMeta
from contextlib import suppress
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any, get_args


def plain(value: Any) -> Any:
    """The same as a bool, int, float, str or tuple of these, if it is one of them in disguise.

    Numbers and arrays of numpy become Python's, lists and ranges become tuples; everything else is
    returned as it is, for a check to accept or refuse.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        with suppress(OverflowError):  # a fraction of two large whole numbers
            return float(value)
        return value
    if hasattr(value, "ndim") and hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple | range):
        return tuple(plain(part) for part in value)
    return value


class PlainOptions(ABCMeta):
    """Metaclass of what has options: they are plain Python objects before they are checked.

    A whole number in a field that is declared as float becomes a float. No class has to do
    anything for it, nor can forget to.
    """

    def __call__(cls, *given: Any, **named: Any) -> Any:
        declared = {f.name: f.type for f in fields(cls) if f.init} if is_dataclass(cls) else {}
        kinds = [*declared.values(), *(None for _ in given)]
        return super().__call__(
            *(_option(value, kind) for value, kind in zip(given, kinds, strict=False)),
            **{name: _option(value, declared.get(name)) for name, value in named.items()},
        )


def _option(value: Any, declared: Any) -> Any:
    value = plain(value)
    if type(value) is int and (declared in (float, "float") or float in get_args(declared)):
        with suppress(OverflowError):  # refused by the check of this option
            return float(value)
    return value

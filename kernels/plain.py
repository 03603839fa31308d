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
    if hasattr(value, "ndim") and hasattr(value, "tolist") and not isinstance(value, type):
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
        options = {name: plain(value) for name, value in named.items()}
        made = super().__call__(*map(plain, given), **options)
        for option in fields(made) if is_dataclass(made) else ():
            declared = (option.type, *get_args(option.type))
            value = getattr(made, option.name, None)
            if type(value) is int and (float in declared or "float" in declared):
                with suppress(OverflowError):
                    # A frozen dataclass can only be filled in this way.
                    object.__setattr__(made, option.name, float(value))
        return made

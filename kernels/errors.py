"""Refusal of bad input: one error class and the few checks that every component shares.

Each check returns the value as a plain Python object, so that options which mean the same
compare, hash and key random streams the same.
"""

from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from difflib import get_close_matches
from math import isfinite
from numbers import Number

from plausibench.kernels.plain import plain


class InputError(ValueError):
    """Bad input, said in one sentence that a user can act on without a traceback."""


class Divergence(ArithmeticError):
    """A computation on valid input left the numbers it can use: an outcome, to be recorded."""


def refusal(field: str, value: object, allowed: str) -> InputError:
    """Error saying that ``value`` of ``field`` is not ``allowed``.

    Parameters
    ----------
    field : str
        Name of the option or argument, as the user wrote it.
    value : object
        What was given; long values are shortened.
    allowed : str
        What would have been right, with its article, e.g. ``"a number above 0"``.

    Returns
    -------
    InputError
        To be raised by the caller.
    """
    return InputError(f"{field}: {show(value)} is not {allowed}")


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def show(value: object, width: int = 80) -> str:
    """One-line text of ``value`` with at most ``width`` characters."""
    # str, because numpy numbers have the representation np.float64(0.1).
    try:
        text = " ".join((str(value) if isinstance(value, Number) else repr(value)).split())
    except Exception:  # noqa: BLE001 - Python writes out no whole number of 5000 digits, for one
        text = f"<{type(value).__name__} that cannot be written out>"
    return text if len(text) <= width else f"{text[: width - 3]}..."


def nearest(value: object, allowed: Iterable[str]) -> str | None:
    """The name in ``allowed`` that is most like ``value``, or None when none is alike."""
    names = {name.lower(): name for name in allowed}
    wanted = value.lower().replace("-", "_").replace(" ", "_") if isinstance(value, str) else ""
    alike = get_close_matches(wanted, names, n=1)
    alike += [name for name in names if wanted and name.startswith(wanted)]
    return names[alike[0]] if alike else None


def choose(field: str, value: object, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of the names in ``allowed``.

    Parameters
    ----------
    field : str
        Name of the option or argument.
    value : object
        What was given.
    allowed : iterable of str
        The valid names, in the order in which to list them.

    Returns
    -------
    str
        ``value``.

    Raises
    ------
    InputError
        If ``value`` is none of them; lists them and suggests the nearest.
    """
    names, given = list(allowed), plain(value)
    if isinstance(given, str) and given in names:
        return given
    near = nearest(value, names)
    hint = f"; did you mean {near!r}?" if near else ""
    raise InputError(f"{field}: {show(value)} is not known; choose one of {', '.join(names)}{hint}")


def integer(field: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return ``value`` as an int if it is a whole number from ``least`` to ``most``.

    Raises
    ------
    InputError
        If it is a bool, has a fractional type, or is out of range.
    """
    whole = plain(value)
    within = type(whole) is int and (least is None or whole >= least)
    if within and (most is None or whole <= most):
        return int(whole)
    raise refusal(field, value, f"a whole number{_between(least, most)}")


def number(
    field: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return ``value`` as a float if it is a finite number within the bounds.

    Parameters
    ----------
    field : str
        Name of the option or argument.
    value : object
        What was given.
    above, below : float, optional
        Bounds that are themselves not allowed.
    least, most : float, optional
        Bounds that are allowed.

    Returns
    -------
    float
        ``value`` as a Python float.

    Raises
    ------
    InputError
        If it is a bool, no number, infinite, NaN, or out of range.
    """
    given = plain(value)
    if type(given) in (int, float):
        with suppress(OverflowError):  # a whole number can be too large for a float
            amount = float(given)
            if (
                isfinite(amount)
                and (above is None or amount > above)
                and (least is None or amount >= least)
                and (below is None or amount < below)
                and (most is None or amount <= most)
            ):
                return amount
    bounds = {"above": above, "at least": least, "below": below, "at most": most}
    said = [f" {word} {bound:g}" for word, bound in bounds.items() if bound is not None]
    raise refusal(field, value, f"a finite number{' and'.join(said)}")


def positive(field: str, value: object) -> float:
    """Return ``value`` as a float if it is a finite number above 0, else raise InputError."""
    return number(field, value, above=0)


def flag(field: str, value: object) -> bool:
    """Return ``value`` as a bool if it is true or false, else raise InputError."""
    given = plain(value)
    if not isinstance(given, bool):
        raise refusal(field, value, "true or false")
    return given


def sizes(field: str, value: object, fewest: int = 1) -> tuple[int, ...]:
    """Return layer sizes as a tuple of ints; one whole number stands for one layer.

    Parameters
    ----------
    field : str
        Name of the option or argument.
    value : int or sequence of int
        Number of units of each layer, each at least 1.
    fewest : int, default 1
        The smallest number of layers that is allowed.

    Returns
    -------
    tuple of int
        One entry a layer.

    Raises
    ------
    InputError
        If there are too few layers or one is not a whole number of at least 1.
    """
    layers = plain(value)
    if isinstance(layers, int):
        layers = (layers,)
    if not isinstance(layers, Iterable) or isinstance(layers, str | bytes | Set | Mapping):
        raise refusal(field, value, "a list of whole numbers")
    layers = tuple(integer(field, size, least=1) for size in layers)
    if len(layers) < fewest:
        raise refusal(field, value, f"a list of at least {fewest} whole numbers")
    return layers


def _between(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"

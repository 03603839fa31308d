"""Numbers with their intervals as short text."""

import math

from plausibench.bench.report.aggregate import ROUNDING


def number(
    value: float, low: float, high: float, *, exact: bool = False, least: float = 0.0
) -> str:
    """Text of a value and its interval, with the digits that the interval's width leaves.

    Parameters
    ----------
    value, low, high
        The value and its 95 % interval; NaN where there is none.
    exact
        Whether a value without interval needs none.
    least
        What is smaller is a zero.

    Returns
    -------
    str
        ``0.12 [0.10, 0.14]``; an exact value alone; ``0.12 [?]`` if the interval is unknown;
        ``–`` if the value is. The width keeps one digit, or two if the first is below 4.
    """
    if not math.isfinite(value):
        return "–"
    known = math.isfinite(low) and math.isfinite(high)
    ends = (value, low, high) if known else (value,)
    if all(end == 0 or abs(end) < least for end in ends):
        return "0" if known or exact else "0 [?]"
    # Closed forms differ between seeds, where they do not, by rounding.
    if not known or high - low <= ROUNDING * max(abs(low), abs(high)):
        plain = _plain(value)
        return plain if known or exact else f"{plain} [?]"
    power = _power(max(abs(end) for end in ends))
    shift = power if not -4 <= power < 6 else 0
    width = (high - low) / 10.0**shift
    last = _power(width)
    decimals = -last + (1 if width / 10.0**last < 3.95 else 0)
    shown = [_rounded(end / 10.0**shift, decimals) for end in ends]
    tail = f"e{shift}" if shift else ""
    return f"{shown[0]}{tail} [{shown[1]}{tail}, {shown[2]}{tail}]"


def _rounded(value: float, decimals: int) -> str:
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _plain(value: float) -> str:
    mantissa, letter, power = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(power)}" if letter else mantissa


def _power(size: float) -> int:
    return math.floor(math.log10(size))

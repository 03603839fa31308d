"""Activation functions of whole arrays, in loops that become vector instructions.

An activation is named by a whole number, so that compiled code can choose one at run time:
`CODES` gives the number for each name. Arrays are C-contiguous, of one floating-point type
(float64 or float32) and of any shape. Arithmetic is done in that type, element by element, so a
result does not depend on the shape. The caller gives the array that takes the result.

tanh, the logistic sigmoid and softplus rest on one exponential: exp(x) = 2^k exp(r) with
|r| <= log(2) / 2 and a Taylor polynomial for exp(r) - 1 (Muller, 2016, chapter 11). Relative
errors stay below 4e-16 for tanh and sigmoid and 6e-16 for softplus (in float32 2e-7 and 3.1e-7,
found by trying all numbers), except that results below 2.3e-308 (float32: 1.2e-38) may be 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from plausibench.kernels.compiled import kernel
from plausibench.kernels.errors import refusal
from plausibench.kernels.threads import by_rows

Array = np.ndarray

IDENTITY, TANH, SIGMOID, RELU, SOFTPLUS, HARD_SIGMOID = range(6)
CODES: dict[str, int] = {
    "identity": IDENTITY,
    "tanh": TANH,
    "sigmoid": SIGMOID,
    "relu": RELU,
    "softplus": SOFTPLUS,
    "hard_sigmoid": HARD_SIGMOID,
}

BLOCK = 1024  # elements that pass through all steps while they are in the first-level cache


def activate(code: int, drive: Array, out: Array) -> None:
    """Write f(drive) to ``out``; compiled code may call it too, on one-dimensional arrays.

    Parameters
    ----------
    code : int
        Which f, one of `CODES`.
    drive : ndarray
        Any shape. NaN gives NaN.
    out : ndarray
        Takes the result; of the shape of ``drive``, which it may be.

    Raises
    ------
    InputError
        If the code is unknown, or an array has another shape or type or is not C-contiguous.
        Compiled code is not checked.
    """
    _check(code, out)
    _match("drive", drive, out)
    by_rows(lambda *rows: _activate(code, *_flat(rows)), drive, out)


def derivative(code: int, drive: Array, activity: Array, out: Array) -> None:
    """Write the derivative f'(drive) to ``out``; compiled code may call it too, in one dimension.

    The slope of relu at 0 is 0, and so is that of the hard sigmoid at 0 and 1.

    Parameters
    ----------
    code : int
        Which f, one of `CODES`.
    drive : ndarray
        Any shape.
    activity : ndarray
        f(drive), of the shape of ``drive``: where f' is a function of f it saves the exponential.
    out : ndarray
        Takes the result; of the shape of ``drive``.

    Raises
    ------
    InputError
        As in `activate`.
    """
    _check(code, out)
    _match("drive", drive, out)
    _match("activity", activity, out)
    by_rows(lambda *rows: _derivative(code, *_flat(rows)), drive, activity, out)


def perturb(code: int, drive: Array, noise: Array, amplitude: float, out: Array) -> None:
    """Write f(drive + amplitude * noise) to ``out`` in one pass.

    Parameters
    ----------
    code : int
        Which f, one of `CODES`.
    drive : ndarray
        ``(B, N)``, shared by all samples, or ``(S, B, N)``.
    noise : ndarray
        ``(S, B, N)``.
    amplitude : float
        Factor of the noise, in units of the drive.
    out : ndarray
        ``(S, B, N)``, takes the result.

    Raises
    ------
    InputError
        As in `activate`; only ``drive`` may lack the first axis.
    """
    _check(code, out)
    _match("noise", noise, out)
    _match("drive", drive, out, shared=True)
    _perturb(code, drive.reshape(-1), noise.reshape(-1), float(amplitude), out.reshape(-1))


def perturb_sum(
    code: int, drive: Array, shared: Array, noise: Array, amplitude: float, out: Array
) -> None:
    """Add ``shared`` to the drive and write f(drive + amplitude * noise) to ``out`` in one pass.

    Parameters
    ----------
    code : int
        Which f, one of `CODES`.
    drive : ndarray
        ``(S, B, N)``, changed in place.
    shared : ndarray
        ``(B, N)``.
    noise, amplitude, out
        As in `perturb`.

    Raises
    ------
    InputError
        As in `activate`; ``shared`` lacks the first axis.
    """
    _check(code, out)
    _match("noise", noise, out)
    _match("drive", drive, out)
    _match("shared", shared, out, shared=True)
    _perturb_sum(
        code,
        drive.reshape(-1),
        shared.reshape(-1),
        noise.reshape(-1),
        float(amplitude),
        out.reshape(-1),
    )


def log_sum_exp(values: Array, largest: Array, logarithm: Array) -> None:
    """Write the largest value m of each row and log(sum(exp(values - m))).

    Parameters
    ----------
    values : ndarray
        ``(R, N)``, N at least 1. A row with NaN or infinity gives NaN as its logarithm.
    largest, logarithm : ndarray
        ``(R,)``, take the results, of the type of ``values``.

    Raises
    ------
    InputError
        If an array has another shape or type or is not C-contiguous.
    """
    _check(IDENTITY, logarithm)
    _match("largest", largest, logarithm)
    if values.dtype != logarithm.dtype or not values.flags.c_contiguous:
        raise refusal("values", values.dtype, f"a C-contiguous array of {logarithm.dtype}")
    if values.ndim != 2 or values.shape[1] < 1 or values.shape[0] != logarithm.size:
        raise refusal("shape of values", values.shape, f"({logarithm.size}, N)")
    _log_sum_exp(values, largest, logarithm)


def negative_log_softmax(values: Array, classes: Array, out: Array) -> None:
    """Write -log softmax(values)_c of each row, with c the class that the row belongs to.

    Parameters
    ----------
    values : ndarray
        ``(R, N)``. A row with NaN or infinity gives NaN.
    classes : ndarray
        Whole numbers from 0 to N - 1, int64 ``(C,)``; C divides R, and row r has class ``r mod C``.
    out : ndarray
        ``(R,)``, takes the result, of the type of ``values``.

    Raises
    ------
    InputError
        If an array has another shape or type or is not C-contiguous, or a class is out of range.
    """
    _check(IDENTITY, out)
    if values.dtype != out.dtype or not values.flags.c_contiguous:
        raise refusal("values", values.dtype, f"a C-contiguous array of {out.dtype}")
    if values.ndim != 2 or out.shape != values.shape[:1]:
        raise refusal("shape of values", values.shape, f"({out.size}, N)")
    if classes.dtype != np.int64 or classes.ndim != 1 or len(values) % max(classes.size, 1):
        given = f"{classes.dtype} {classes.shape}"
        raise refusal("classes", given, f"an int64 vector whose length divides {len(values)}")
    if not _negative_log_softmax(values, classes, out):
        allowed = f"whole numbers from 0 to {values.shape[1] - 1}"
        raise refusal("classes", [int(classes.min()), int(classes.max())], allowed)


def _flat(arrays: Sequence[Array]) -> list[Array]:
    return [array.reshape(-1) for array in arrays]


def _check(code: int, out: Array) -> None:
    """Refuse what compiled code would misread."""
    if not IDENTITY <= code <= HARD_SIGMOID:
        raise refusal("code", code, f"one of CODES, a whole number from 0 to {HARD_SIGMOID}")
    if out.dtype.char not in "df":
        raise refusal("type of out", out.dtype, "float64 or float32")
    if not out.flags.c_contiguous:
        raise refusal("strides of out", out.strides, "those of a C-contiguous array")


def _match(name: str, array: Array, out: Array, shared: bool = False) -> None:
    """Refuse an array unlike ``out``; a shared one lacks the first axis."""
    if array.dtype != out.dtype:
        raise refusal(f"type of {name}", array.dtype, f"that of out, {out.dtype}")
    if array.shape != out.shape and not (shared and array.shape == out.shape[1:]):
        raise refusal(f"shape of {name}", array.shape, f"that of out, {out.shape}")
    if not array.flags.c_contiguous:
        raise refusal(f"strides of {name}", array.strides, "those of a C-contiguous array")


@overload(activate)
def _activate_in_kernels(code: Any, drive: Any, out: Any) -> Any:
    def compiled(code: Any, drive: Any, out: Any) -> None:
        _activate(code, drive, out)

    return compiled


@overload(derivative)
def _derivative_in_kernels(code: Any, drive: Any, activity: Any, out: Any) -> Any:
    def compiled(code: Any, drive: Any, activity: Any, out: Any) -> None:
        _derivative(code, drive, activity, out)

    return compiled


@kernel
def _activate(code: int, drive: Array, out: Array) -> None:
    for start in range(0, out.size, BLOCK):
        part = out[start : start + BLOCK]
        source = drive[start : start + BLOCK]
        for i in range(part.size):
            part[i] = source[i]
        _apply(code, part)


@kernel
def _perturb(code: int, drive: Array, noise: Array, amplitude: float, out: Array) -> None:
    factor = out.dtype.type(amplitude)
    for sample in range(0, out.size, max(drive.size, 1)):
        for start in range(0, drive.size, BLOCK):
            source = drive[start : start + BLOCK]
            here = sample + start
            part = out[here : here + source.size]
            change = noise[here : here + source.size]
            for i in range(part.size):
                part[i] = source[i] + factor * change[i]
            _apply(code, part)


@kernel
def _perturb_sum(
    code: int, drive: Array, shared: Array, noise: Array, amplitude: float, out: Array
) -> None:
    factor = out.dtype.type(amplitude)
    for sample in range(0, out.size, max(shared.size, 1)):
        for start in range(0, shared.size, BLOCK):
            more = shared[start : start + BLOCK]
            here = sample + start
            source = drive[here : here + more.size]
            part = out[here : here + more.size]
            change = noise[here : here + more.size]
            for i in range(part.size):
                whole = source[i] + more[i]
                source[i] = whole
                part[i] = whole + factor * change[i]
            _apply(code, part)


@kernel
def _log_sum_exp(values: Array, largest: Array, logarithm: Array) -> None:
    for row in range(values.shape[0]):
        largest[row], logarithm[row] = _largest_and_logarithm(values[row])


@kernel
def _largest_and_logarithm(line: Array) -> tuple[float, float]:
    most = line[0]
    for i in range(1, line.size):
        most = line[i] if line[i] > most else most
    total = 0.0
    for i in range(line.size):
        rest, scale = _exponential(line[i] - most)
        total += scale * rest + scale
    return most, math.log(total)


@kernel
def _negative_log_softmax(values: Array, classes: Array, out: Array) -> bool:
    """Whether all classes are in range; else nothing is written."""
    for c in range(classes.size):
        if not 0 <= classes[c] < values.shape[1]:
            return False
    for row in range(values.shape[0]):
        largest, logarithm = _largest_and_logarithm(values[row])
        chosen = values[row, classes[row % classes.size]]
        out[row] = out.dtype.type(logarithm) - (chosen - largest)
    return True


@kernel
def _derivative(code: int, drive: Array, activity: Array, out: Array) -> None:
    zero, one = out.dtype.type(0), out.dtype.type(1)
    if code == IDENTITY:
        out[:] = one
    elif code == TANH:
        for i in range(out.size):
            out[i] = (one - activity[i]) * (one + activity[i])
    elif code == SIGMOID:
        for i in range(out.size):
            out[i] = activity[i] * (one - activity[i])
    elif code == RELU:
        for i in range(out.size):
            # The last choice is NaN.
            out[i] = one if drive[i] > zero else zero if drive[i] <= zero else drive[i]
    elif code == HARD_SIGMOID:
        for i in range(out.size):
            inside = one if drive[i] < one else zero
            out[i] = inside if drive[i] > zero else zero if drive[i] <= zero else drive[i]
    else:
        for i in range(out.size):
            out[i] = _sigmoid(drive[i])


@kernel
def _apply(code: int, values: Array) -> None:
    """Replace values by f(values): one array, for the compiler must know that nothing overlaps."""
    if code == TANH:
        for i in range(values.size):
            values[i] = _tanh(values[i])
    elif code == SIGMOID:
        for i in range(values.size):
            values[i] = _sigmoid(values[i])
    elif code == RELU:
        for i in range(values.size):
            values[i] = _relu(values[i])
    elif code == SOFTPLUS:
        for i in range(values.size):
            values[i] = _softplus(values[i])
    elif code == HARD_SIGMOID:
        for i in range(values.size):
            values[i] = _hard_sigmoid(values[i])


@kernel
def _tanh(x: float) -> float:
    """Divide e by e + 2, e = exp(2 |x|) - 1: no digits cancel, and it is odd to the last bit."""
    real = type(x)
    size = abs(x)
    size = real(22) if size > real(22) else size  # where tanh is 1; NaN stays
    rest, scale = _exponential(size + size)
    rise = scale * rest + (scale - real(1))
    return math.copysign(rise / (rise + real(2)), x)


@kernel
def _sigmoid(x: float) -> float:
    real = type(x)
    decay = _decay(x)
    return (real(1) if x >= real(0) else decay) / (real(1) + decay)


@kernel
def _relu(x: float) -> float:
    real = type(x)
    return real(0) if x <= real(0) else x  # NaN stays


@kernel
def _hard_sigmoid(x: float) -> float:
    real = type(x)
    low = _relu(x)
    return real(1) if low >= real(1) else low  # NaN stays


@kernel
def _softplus(x: float) -> float:
    """max(x, 0) + log(1 + z) with z = exp(-|x|), and log(q) = 2 artanh((q - 1) / (q + 1))."""
    real = type(x)
    z = _decay(x)
    halve = z > real(math.sqrt(2) - 1)  # there log(1 + z) = log(2) + log((1 + z) / 2)
    ratio = (z - real(1) if halve else z) / (z + (real(3) if halve else real(2)))
    logarithm = ratio * _artanh(ratio * ratio) + (real(LOG2) if halve else real(0))
    return logarithm + _relu(x)


@kernel
def _decay(x: float) -> float:
    """exp(-|x|)."""
    rest, scale = _exponential(-abs(x))
    return scale * rest + scale


def _by_type(double: Callable[..., Any], single: Callable[..., Any]) -> Callable[..., Any]:
    """Function for kernels that is ``double`` for float64 and ``single`` for float32."""

    def either(x: float) -> Any:
        return double(x)

    @overload(either)
    def compiled(x: Any) -> Any:
        choice = single if x == types.float32 else double

        def chosen(x: Any) -> Any:
            return choice(x)

        return chosen

    return either


# exp(x) = 2^k (1 + e): the functions return e and 2^k. Adding SHIFT rounds x / log(2) to the whole
# number k and leaves it in the last bits, whence 2^k is made; k * HIGH is exact. From x = LOWEST
# down 2^k is 0. E2 ... are the coefficients of the Taylor series.
LOG2 = math.log(2)
LOWEST, HIGH, LOW = -1023 * LOG2, float.fromhex("0x1.62e42feep-1"), 1.9082149292705877e-10
SHIFT = 1.5 * 2.0**52
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1 / math.factorial(n) for n in range(2, 14))


@kernel
def _exponential_double(x: float) -> tuple[float, float]:
    x = LOWEST if x < LOWEST else x
    shifted = x * (1 / LOG2) + SHIFT
    whole = shifted - SHIFT
    r = (x - whole * HIGH) - whole * LOW
    scale = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    r2 = r * r
    r4 = r2 * r2
    tail = ((E10 + E11 * r) + (E12 + E13 * r) * r2) * (r4 * r4)
    tail = tail + ((E6 + E7 * r) + (E8 + E9 * r) * r2) * r4
    tail = tail + ((E2 + E3 * r) + (E4 + E5 * r) * r2)
    return tail * r2 + r, scale


REAL = np.float32
F_LOWEST, F_SHIFT, F_TURNS = REAL(-127 * LOG2), REAL(1.5 * 2**23), REAL(1 / LOG2)
F_HIGH, F_LOW = REAL(0.693115234375), REAL(3.1946184945309415e-05)
F2, F3, F4, F5, F6, F7 = (REAL(1 / math.factorial(n)) for n in range(2, 8))


@kernel
def _exponential_single(x: np.float32) -> tuple[np.float32, np.float32]:
    x = F_LOWEST if x < F_LOWEST else x
    shifted = x * F_TURNS + F_SHIFT
    whole = shifted - F_SHIFT
    r = (x - whole * F_HIGH) - whole * F_LOW
    scale = np.int32((np.float32(shifted).view(np.int32) + 127) << 23).view(np.float32)
    r2 = r * r
    tail = (F6 + F7 * r) * (r2 * r2)
    tail = tail + ((F2 + F3 * r) + (F4 + F5 * r) * r2)
    return tail * r2 + r, scale


# 2 artanh(s) / s as a polynomial in q = s^2 <= 0.03.
A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 = (2 / (2 * n + 1) for n in range(10))


@kernel
def _artanh_double(q: float) -> float:
    q2 = q * q
    q4 = q2 * q2
    tail = (A8 + A9 * q) * (q4 * q4)
    tail = tail + ((A4 + A5 * q) + (A6 + A7 * q) * q2) * q4
    return tail + ((A2 + A3 * q) * q2 + A1 * q) + A0


B0, B1, B2, B3 = (REAL(2 / (2 * n + 1)) for n in range(4))


@kernel
def _artanh_single(q: np.float32) -> np.float32:
    q2 = q * q
    return (B2 + B3 * q) * q2 + B1 * q + B0


_exponential = _by_type(_exponential_double, _exponential_single)
_artanh = _by_type(_artanh_double, _artanh_single)

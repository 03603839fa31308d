"""Noise that depends on what it disturbs, not on when it is drawn.

Entry (s, r, n) of a result is a function of the key of the stream, ``samples[s]``, ``rows[r]``
and n alone: any part can be drawn again, in any order and in any thread. Each row has a generator
of its own, xoshiro256++ (Blackman and Vigna, 2021), seeded by splitmix64 (Steele et al., 2014)
from a mix of key, sample and row. A key serves one purpose: the three functions read the same
random words, so their draws from one key are dependent.

Normals come from the ziggurat method (Marsaglia and Tsang, 2000) with 256 layers of equal area.
The layer and the place in it come from different bits, which avoids the flaw found by Doornik
(2005), and the place has a sign and 52 more bits.
"""

import math

import numpy as np

from plausibench.kernels.compiled import kernel
from plausibench.kernels.errors import refusal

Array = np.ndarray
Word = np.uint64


def normal(key: int, samples: Array, rows: Array, out: Array) -> None:
    """Fill ``out`` with independent standard normal numbers.

    Parameters
    ----------
    key : int
        Key of the stream, unsigned 64-bit; see `plausibench.kernels.streams.stream`.
    samples : ndarray
        Numbers of the samples, int64 ``(S,)``.
    rows : ndarray
        Keys of the rows, for instance of the examples in a batch, uint64 ``(R,)``.
    out : ndarray
        Takes the result, float64 or float32 ``(S, R, N)``, C-contiguous. In float32 it is the
        float64 result, rounded.

    Raises
    ------
    InputError
        If the key is out of range, or an array has another type or shape.
    """
    _check(key, samples, rows, out)
    _normal(np.uint64(key), samples, rows, out)


def uniform(key: int, samples: Array, rows: Array, out: Array) -> None:
    """Fill ``out`` with independent multiples of 2^-53, uniform in [0, 1).

    In float32 the largest round to 1.

    Parameters
    ----------
    key, samples, rows, out
        As for `normal`.

    Raises
    ------
    InputError
        As in `normal`.
    """
    _check(key, samples, rows, out)
    _uniform(np.uint64(key), samples, rows, out)


def rademacher(key: int, samples: Array, rows: Array, out: Array) -> None:
    """Fill ``out`` with independent signs, -1 and 1 with equal probability.

    Parameters
    ----------
    key, samples, rows, out
        As for `normal`.

    Raises
    ------
    InputError
        As in `normal`.
    """
    _check(key, samples, rows, out)
    _rademacher(np.uint64(key), samples, rows, out)


def _check(key: int, samples: Array, rows: Array, out: Array) -> None:
    """Refuse what compiled code would misread or write in a wrong place."""
    if not 0 <= key < 1 << 64:
        raise refusal("key", key, "an unsigned 64-bit number")
    if samples.dtype != np.int64 or samples.ndim != 1:
        raise refusal("samples", f"{samples.dtype} {samples.shape}", "an int64 vector")
    if rows.dtype != np.uint64 or rows.ndim != 1:
        raise refusal("rows", f"{rows.dtype} {rows.shape}", "a uint64 vector")
    if out.dtype.char not in "df" or not out.flags.c_contiguous:
        raise refusal("out", out.dtype, "a C-contiguous array of float64 or float32")
    if out.ndim != 3 or out.shape[:2] != (samples.size, rows.size):
        raise refusal("shape of out", out.shape, f"({samples.size}, {rows.size}, N)")


@kernel
def _normal(key: Word, samples: Array, rows: Array, out: Array) -> None:
    for s in range(samples.size):
        sample = samples[s]
        for r in range(rows.size):
            a, b, c, d = _state(key, sample, rows[r])
            row = out[s, r]
            for n in range(row.size):
                word, a, b, c, d = _next(a, b, c, d)
                x, layer, inside = _place(word)
                if not inside:  # kept out of this loop, which it would slow down
                    x, a, b, c, d = _outside(x, layer, a, b, c, d)
                row[n] = x


@kernel
def _uniform(key: Word, samples: Array, rows: Array, out: Array) -> None:
    for s in range(samples.size):
        sample = samples[s]
        for r in range(rows.size):
            a, b, c, d = _state(key, sample, rows[r])
            row = out[s, r]
            for n in range(row.size):
                word, a, b, c, d = _next(a, b, c, d)
                row[n] = _fraction(word)


@kernel
def _rademacher(key: Word, samples: Array, rows: Array, out: Array) -> None:
    for s in range(samples.size):
        sample = samples[s]
        for r in range(rows.size):
            a, b, c, d = _state(key, sample, rows[r])
            for start in range(0, out.shape[2], 64):
                word, a, b, c, d = _next(a, b, c, d)
                part = out[s, r, start : start + 64]
                for n in range(part.size):  # bit n of the word: 0 is 1, 1 is -1
                    part[n] = 1.0 - 2.0 * ((word >> Word(n)) & Word(1))


GOLDEN = Word(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, made odd


@kernel
def _mix(x: Word) -> Word:
    """One-to-one map of 64-bit words in which every bit of the result depends on all of ``x``."""
    x = (x ^ (x >> Word(30))) * Word(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> Word(27))) * Word(0x94D049BB133111EB)
    return x ^ (x >> Word(31))


@kernel
def _state(key: Word, sample: int, row: Word) -> tuple[Word, Word, Word, Word]:
    """State of the generator of a row: words 1 to 4 of splitmix64."""
    seed = _mix(key + GOLDEN)
    seed = _mix(seed + Word(sample) * GOLDEN)
    seed = _mix(seed + row * GOLDEN)
    first = seed + GOLDEN
    second = first + GOLDEN
    third = second + GOLDEN
    return _mix(first), _mix(second), _mix(third), _mix(third + GOLDEN)


@kernel
def _next(a: Word, b: Word, c: Word, d: Word) -> tuple[Word, Word, Word, Word, Word]:
    """One word of xoshiro256++, and the state after it."""
    word = _rotate(a + d, 23) + a
    shifted = b << Word(17)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    return word, a, b, c ^ shifted, _rotate(d, 45)


@kernel
def _rotate(x: Word, count: int) -> Word:
    return (x << Word(count)) | (x >> Word(64 - count))


@kernel
def _fraction(word: Word) -> float:
    return (word >> Word(11)) * 2.0**-53


def _edges() -> Array:
    """Right ends of the layers from the lowest to the top, then 0.

    Layer 0 holds the tail beyond the edge of layer 1 too: its own edge is where a rectangle of the
    same height would end.
    """
    area = TAIL * _density(TAIL) + math.sqrt(math.pi / 2) * math.erfc(TAIL / math.sqrt(2))
    edges = [area / _density(TAIL), TAIL]
    while len(edges) < 256:
        edges.append(math.sqrt(-2 * math.log(_density(edges[-1]) + area / edges[-1])))
    return np.array([*edges, 0.0])


def _density(x: float) -> float:
    return math.exp(-x * x / 2)


TAIL = 3.6541528853610088  # for this edge the 256th layer ends at the top, exp(0)
EDGES = _edges()
# A place in a layer is an odd number from -2^53 to 2^53, so 0 is not drawn and signs are even.
WIDTHS = EDGES[:-1] / 2.0**53
INNER = (EDGES[1:] / EDGES[:-1] * 2.0**53).astype(np.int64)
HEIGHTS = np.array([_density(edge) for edge in EDGES])


@kernel
def _place(word: Word) -> tuple[float, Word, bool]:
    """Place in a layer, the layer, and whether the density is above the layer there."""
    layer = word & Word(255)
    place = (np.int64(word) >> 10) | 1
    return place * WIDTHS[layer], layer, abs(place) < INNER[layer]


@kernel
def _outside(
    x: float, layer: Word, a: Word, b: Word, c: Word, d: Word
) -> tuple[float, Word, Word, Word, Word]:
    """One normal number when the first place is not inside, and the state after it."""
    while True:
        if layer == 0:
            beyond, a, b, c, d = _tail(a, b, c, d)
            return math.copysign(beyond, x), a, b, c, d
        word, a, b, c, d = _next(a, b, c, d)
        step = HEIGHTS[layer + Word(1)] - HEIGHTS[layer]
        if HEIGHTS[layer] + step * _fraction(word) < math.exp(-x * x / 2):
            return x, a, b, c, d
        word, a, b, c, d = _next(a, b, c, d)
        x, layer, inside = _place(word)
        if inside:
            return x, a, b, c, d


@kernel
def _tail(a: Word, b: Word, c: Word, d: Word) -> tuple[float, Word, Word, Word, Word]:
    """One normal number above `TAIL`, by rejection from an exponential (Marsaglia, 1964)."""
    while True:
        word, a, b, c, d = _next(a, b, c, d)
        excess = -math.log1p(-_fraction(word)) / TAIL
        word, a, b, c, d = _next(a, b, c, d)
        if -2 * math.log1p(-_fraction(word)) > excess * excess:
            return TAIL + excess, a, b, c, d

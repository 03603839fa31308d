"""Compiled sums over estimates, or over their post factors.

Sums are in float64, whatever the type of the estimates, and in a fixed order. A chunk of the
parameters is done for all samples before the next, so that it stays in the first-level cache.
"""

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray

CHUNK = 1024
LANES = 64  # a power of 2 that divides it


@kernel
def deviations(
    coefficients: Array,
    directions: Array,
    reference: Array,
    origin: float,
    run: int,
    total: Array,
    squares: Array,
    cross: Array,
    start: int = 0,
) -> None:
    """One pass over estimates ``coefficient_k * direction_k`` (S, P).

    Deviations are d = estimate - origin * reference, with an origin of 1, or of 0.

    Writes the sum of d over each run of so many samples to ``total`` (runs, P), and ``|d_k|^2``
    and ``d_k . reference`` (S,). The first sample has the number ``start``: a run that has begun
    before goes on.
    """
    squares[:] = 0.0
    cross[:] = 0.0
    buffer, lanes = np.empty(CHUNK), np.empty(LANES)
    for first in range(0, reference.size, CHUNK):
        g = reference[first : first + CHUNK]
        d = buffer[: g.size]
        for k in range(len(directions)):
            coefficient, number = coefficients[k], start + k
            estimate = directions[k, first : first + CHUNK]
            sums = total[number // run, first : first + CHUNK]
            if number % run == 0:
                for p in range(g.size):
                    d[p] = coefficient * estimate[p] - origin * g[p]
                    sums[p] = d[p]
            else:
                for p in range(g.size):
                    d[p] = coefficient * estimate[p] - origin * g[p]
                    sums[p] += d[p]
            squares[k] += _dot(d, d, lanes)
            cross[k] += _dot(d, g, lanes)


@kernel
def inner(directions: Array, reference: Array, lengths: Array, along: Array) -> None:
    """Write ``|direction_k|^2`` and ``direction_k . reference``, (S,), of directions (S, P)."""
    lengths[:] = 0.0
    along[:] = 0.0
    buffer, lanes = np.empty(CHUNK), np.empty(LANES)
    for first in range(0, reference.size, CHUNK):
        g = reference[first : first + CHUNK]
        d = buffer[: g.size]
        for k in range(len(directions)):
            d[:] = directions[k, first : first + CHUNK]
            lengths[k] += _dot(d, d, lanes)
            along[k] += _dot(d, g, lanes)


@kernel
def products(mean: Array, reference: Array) -> tuple[float, float, float, float]:
    """``|mean - reference|^2``, ``mean . reference`` and the squared lengths of two vectors."""
    buffer, lanes = np.empty(CHUNK), np.empty(LANES)
    apart, along, length, own = 0.0, 0.0, 0.0, 0.0
    for first in range(0, reference.size, CHUNK):
        m, g = mean[first : first + CHUNK], reference[first : first + CHUNK]
        d = buffer[: g.size]
        for p in range(g.size):
            d[p] = m[p] - g[p]
        apart += _dot(d, d, lanes)
        along += _dot(m, g, lanes)
        length += _dot(m, m, lanes)
        own += _dot(g, g, lanes)
    return apart, along, length, own


@kernel
def add_along(coefficient: float, direction: Array, total: Array) -> None:
    """Add ``coefficient * direction`` to a total (P,)."""
    for p in range(total.size):
        total[p] += coefficient * direction[p]


@kernel
def sum_posts(
    factors: Array,
    pairs: Array,
    along: Array,
    grams: Array,
    lengths: Array,
    places: Array,
    origin: float,
    run: int,
    total: Array,
    squares: Array,
    cross: Array,
) -> None:
    """One pass over post factors ``(S, n)`` that K projections share, whose estimates they make.

    ``|estimate|^2`` is the inner product of ``pairs`` (S, m), between the post factors of the
    examples, with ``grams`` (K, m), between the pre factors; ``along`` (K, n) gives that of the
    estimate with its reference, and ``lengths`` (K,) are ``|reference|^2``. Of the first samples,
    as many as ``squares`` has, it writes the sum of the post factors over each run of so many to
    ``total`` (runs, n), and for d = estimate - origin * reference ``|d|^2`` and ``d . reference``
    to ``squares`` and ``cross``, (S, projections), in the columns ``places`` (K,).
    """
    lanes = np.empty(LANES)
    inner = np.zeros((len(squares), len(places)))
    for start in range(0, factors.shape[1], CHUNK):
        for k in range(len(inner)):
            part = factors[k, start : start + CHUNK]
            _add(part, k % run == 0, total[k // run, start : start + CHUNK])
            for j in range(len(places)):
                inner[k, j] += _dot(part, along[j, start : start + CHUNK], lanes)
    for k in range(len(inner)):
        for j in range(len(places)):
            length = _dot(pairs[k], grams[j], lanes)
            apart = length - 2 * origin * inner[k, j]
            squares[k, places[j]] = apart + origin * origin * lengths[j]
            cross[k, places[j]] = inner[k, j] - origin * lengths[j]


@kernel
def _add(values: Array, first: bool, total: Array) -> None:
    """Add values to a total; the first ones replace what was there."""
    if first:
        for p in range(values.size):
            total[p] = values[p]
    else:
        for p in range(values.size):
            total[p] += values[p]


@kernel
def _dot(a: Array, b: Array, lanes: Array) -> float:
    """Inner product in explicit lanes: vector instructions whose order no processor changes."""
    lanes[:] = 0.0
    whole = a.size - a.size % CHUNK
    for first in range(0, whole, CHUNK):
        for i in range(LANES):  # lanes outside and a fixed count inside: sums stay in registers
            lane = lanes[i]
            for turn in range(CHUNK // LANES):
                p = first + turn * LANES + i
                lane += a[p] * b[p]
            lanes[i] = lane
    for start in range(whole, a.size, LANES):
        for i in range(min(LANES, a.size - start)):
            lanes[i] += a[start + i] * b[start + i]
    width = LANES
    while width > 1:
        width //= 2
        for i in range(width):
            lanes[i] += lanes[width + i]
    return lanes[0]

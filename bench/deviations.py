"""Compiled sums over estimates, or over their post factors.

Sums are in float64, whatever the type of the estimates, and in a fixed order. A chunk of the
parameters is done for all samples before the next, so that it stays in the first-level cache.
"""

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray

CHUNK = 1024


@kernel
def deviations(
    coefficients: Array,
    directions: Array,
    reference: Array,
    run: int,
    total: Array,
    squares: Array,
    cross: Array,
) -> None:
    """One pass over estimates ``coefficient_k * direction_k`` (S, P): d = estimate - reference.

    Adds the sum of d over each run of so many samples to ``total`` (runs, P) and writes
    ``|d_k|^2`` and ``d_k . reference`` (S,).
    """
    squares[:] = 0.0
    cross[:] = 0.0
    buffer = np.empty(CHUNK)
    for start in range(0, reference.size, CHUNK):
        g = reference[start : start + CHUNK]
        d = buffer[: g.size]
        for k in range(len(directions)):
            coefficient = coefficients[k]
            estimate = directions[k, start : start + CHUNK]
            for p in range(g.size):
                d[p] = coefficient * estimate[p] - g[p]
            _add(d, total[k // run, start : start + CHUNK])
            squares[k] += _dot(d, d)
            cross[k] += _dot(d, g)


@kernel
def sum_posts(factors: Array, along: Array, run: int, total: Array, cross: Array) -> None:
    """One pass over post factors ``(S, n)``: inner products with ``along`` (K, n), and their sum.

    Of the first samples, as many as ``cross`` has, it adds the sum over each run of so many to
    ``total`` (runs, n), and writes ``factors_k . along_j`` to ``cross`` (S, K).
    """
    cross[:] = 0.0
    for start in range(0, factors.shape[1], CHUNK):
        for k in range(len(cross)):
            part = factors[k, start : start + CHUNK]
            _add(part, total[k // run, start : start + CHUNK])
            for j in range(len(along)):
                cross[k, j] += _dot(part, along[j, start : start + CHUNK])


@kernel
def _add(values: Array, total: Array) -> None:
    for p in range(values.size):
        total[p] += values[p]


@kernel
def _dot(a: Array, b: Array) -> float:
    """Inner product in eight explicit lanes, which no processor may order in another way."""
    lanes = a.size - a.size % 8
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for p in range(0, lanes, 8):
        s0 += a[p] * b[p]
        s1 += a[p + 1] * b[p + 1]
        s2 += a[p + 2] * b[p + 2]
        s3 += a[p + 3] * b[p + 3]
        s4 += a[p + 4] * b[p + 4]
        s5 += a[p + 5] * b[p + 5]
        s6 += a[p + 6] * b[p + 6]
        s7 += a[p + 7] * b[p + 7]
    for p in range(lanes, a.size):
        s0 += a[p] * b[p]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))

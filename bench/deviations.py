"""Compiled sums over estimates, or over their post factors.

Sums are in float64, whatever the type of the estimates, and in a fixed order. A chunk of the
parameters is done for all samples before the next, so that it stays in the first-level cache.
"""

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray

CHUNK = 1024
LANES = 64  # a power of 2


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
    buffer, lanes = np.empty(CHUNK), np.empty(LANES)
    for start in range(0, reference.size, CHUNK):
        g = reference[start : start + CHUNK]
        d = buffer[: g.size]
        for k in range(len(directions)):
            coefficient = coefficients[k]
            estimate = directions[k, start : start + CHUNK]
            for p in range(g.size):
                d[p] = coefficient * estimate[p] - g[p]
            _add(d, total[k // run, start : start + CHUNK])
            squares[k] += _dot(d, d, lanes)
            cross[k] += _dot(d, g, lanes)


@kernel
def sum_posts(factors: Array, along: Array, run: int, total: Array, cross: Array) -> None:
    """One pass over post factors ``(S, n)``: inner products with ``along`` (K, n), and their sum.

    Of the first samples, as many as ``cross`` has, it adds the sum over each run of so many to
    ``total`` (runs, n), and writes ``factors_k . along_j`` to ``cross`` (S, K).
    """
    cross[:] = 0.0
    lanes = np.empty(LANES)
    for start in range(0, factors.shape[1], CHUNK):
        for k in range(len(cross)):
            part = factors[k, start : start + CHUNK]
            _add(part, total[k // run, start : start + CHUNK])
            for j in range(len(along)):
                cross[k, j] += _dot(part, along[j, start : start + CHUNK], lanes)


@kernel
def _add(values: Array, total: Array) -> None:
    for p in range(values.size):
        total[p] += values[p]


@kernel
def _dot(a: Array, b: Array, lanes: Array) -> float:
    """Inner product in explicit lanes: vector instructions whose order no processor changes."""
    width = lanes.size
    lanes[:] = 0.0
    for start in range(0, a.size, width):
        left, right = a[start : start + width], b[start : start + width]
        for i in range(left.size):
            lanes[i] += left[i] * right[i]
    while width > 1:
        width //= 2
        for i in range(width):
            lanes[i] += lanes[width + i]
    return lanes[0]

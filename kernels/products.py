"""Products of a vector with a matrix, inside compiled loops over single examples."""

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray


@kernel
def add_product(vector: Array, matrix: Array, out: Array) -> None:
    """Add ``vector @ matrix`` to ``out``: ``(N,)``, the rows of ``(N, M)`` flat, ``(M,)``."""
    columns, rows = out.size, vector.size
    # Four rows at a time, summed in order, so that ``out`` is read and written less often.
    blocked = rows - rows % 4
    for row in range(0, blocked, 4):
        one, two, three, four = vector[row], vector[row + 1], vector[row + 2], vector[row + 3]
        weights = matrix[row * columns : (row + 4) * columns]
        for n in range(columns):
            total = out[n] + one * weights[n] + two * weights[n + columns]
            out[n] = total + three * weights[n + 2 * columns] + four * weights[n + 3 * columns]
    for row in range(blocked, rows):
        one, weights = vector[row], matrix[row * columns : (row + 1) * columns]
        for n in range(columns):
            out[n] += one * weights[n]


@kernel
def add_products(vectors: Array, matrix: Array, out: Array) -> None:
    """Add ``matrix.T @ vectors`` to ``out``: ``(N, K)``, the rows of ``(N, M)`` flat, ``(M, K)``.

    Column k has the bits that `add_product` gives for it, whatever stands in the others.
    """
    columns, rows, lanes = len(out), len(vectors), out.shape[1]
    blocked = rows - rows % 8
    for n in range(columns):
        total = out[n]
        for row in range(0, blocked, 8):
            v, w = vectors[row : row + 8], matrix[row * columns + n :]
            w0, w1, w2, w3 = w[0], w[columns], w[2 * columns], w[3 * columns]
            w4, w5, w6, w7 = (
                w[4 * columns],
                w[5 * columns],
                w[6 * columns],
                w[7 * columns],
            )
            for k in range(lanes):
                half = total[k] + w0 * v[0, k] + w1 * v[1, k] + w2 * v[2, k] + w3 * v[3, k]
                total[k] = half + w4 * v[4, k] + w5 * v[5, k] + w6 * v[6, k] + w7 * v[7, k]
        for row in range(blocked, rows):
            v, weight = vectors[row], matrix[row * columns + n]
            for k in range(lanes):
                total[k] += weight * v[k]

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

"""Places of neurons in the unit square, and how far apart they are."""

import math

import numpy as np

from plausibench.kernels.errors import InputError, show, sizes

Array = np.ndarray

INPUT_EDGE, OUTPUT_EDGE = 0.0, 1.0
"""The x at which inputs and outputs lie that have a place."""


def grid(rows: int, columns: int) -> Array:
    """Centres of the cells of a grid over the unit square, row by row, ``(rows columns, 2)``."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([(x + 0.5) / columns, (y + 0.5) / rows], axis=1)


def edge(count: int, x: float) -> Array:
    """Places spread evenly on the line of this ``x`` through the unit square, ``(count, 2)``."""
    return np.stack([np.full(count, float(x)), (np.arange(count) + 0.5) / count], axis=1)


def distances(one: Array, other: Array) -> Array:
    """Euclidean distances between places ``(N, 2)`` and ``(M, 2)``, as ``(N, M)``."""
    apart = one[:, None] - other
    return np.hypot(apart[..., 0], apart[..., 1])


def grid_shape(field: str, shape: object, neurons: int) -> tuple[int, int]:
    """Rows and columns of a grid that holds this many neurons, a square where none is named.

    Raises
    ------
    InputError
        If it is no pair of whole numbers or has another number of places.
    """
    if shape is None:
        side = math.isqrt(neurons)
        if side * side != neurons:
            raise InputError(
                f"{field}: {neurons} neurons do not fill a square; name rows and columns with "
                f"{neurons} places in all"
            )
        return side, side
    pair = sizes(field, shape)
    if len(pair) != 2 or math.prod(pair) != neurons:
        raise InputError(
            f"{field}: {show(shape)} does not hold {neurons} neurons; allowed are rows and columns "
            f"with {neurons} places in all"
        )
    return pair[0], pair[1]

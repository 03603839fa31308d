"""Steps of optimisers: one pass over parameters, which change in place.

Arrays are one-dimensional, of one floating-point type, and do not overlap. Each function writes the
change of a parameter over the estimate from which it comes, and tells whether all parameters are
finite afterwards. ``kept`` is the share of a parameter that decay leaves, and ``factor`` is that of
the change. Arithmetic is that of the equations, element by element.
"""

import math

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray


@kernel
def plain(weights: Array, change: Array, kept: float, rate: float, factor: float) -> bool:
    """``w <- kept w - factor rate g``, with the estimate g in ``change``."""
    real = weights.dtype.type
    kept, rate, factor, most = real(kept), real(-rate), real(factor), _most(weights)
    finite = True
    for i in range(weights.size):
        moved = factor * (rate * change[i])
        weight = kept * weights[i] + moved
        change[i] = moved
        weights[i] = weight
        finite &= abs(weight) <= most
    return finite


@kernel
def heavy_ball(
    weights: Array,
    change: Array,
    velocity: Array,
    kept: float,
    rate: float,
    factor: float,
    momentum: float,
) -> bool:
    """``v <- momentum v + g, w <- kept w - factor rate v`` (Polyak 1964)."""
    real = weights.dtype.type
    kept, rate, factor, most = real(kept), real(-rate), real(factor), _most(weights)
    momentum = real(momentum)
    finite = True
    for i in range(weights.size):
        speed = momentum * velocity[i] + change[i]
        moved = factor * (rate * speed)
        weight = kept * weights[i] + moved
        velocity[i] = speed
        change[i] = moved
        weights[i] = weight
        finite &= abs(weight) <= most
    return finite


@kernel
def adam(
    weights: Array,
    change: Array,
    mean: Array,
    square: Array,
    kept: float,
    rate: float,
    factor: float,
    first: float,
    second: float,
    first_left: float,
    second_left: float,
    epsilon: float,
) -> bool:
    """``w <- kept w - factor rate (m / first_left) / (sqrt(v / second_left) + epsilon)``.

    Where ``m <- first m + (1 - first) g, v <- second v + (1 - second) g^2``, ``first_left`` is
    1 - first^t and ``second_left`` 1 - second^t (Kingma & Ba 2015).
    """
    real = weights.dtype.type
    kept, rate, factor, most = real(kept), real(-rate), real(factor), _most(weights)
    new_first, new_second = real(1 - first), real(1 - second)
    first, second, epsilon = real(first), real(second), real(epsilon)
    first_left, second_left = real(first_left), real(second_left)
    finite = True
    for i in range(weights.size):
        g = change[i]
        m = first * mean[i] + new_first * g
        v = second * square[i] + new_second * g * g
        moved = factor * (rate * (m / first_left) / (math.sqrt(v / second_left) + epsilon))
        weight = kept * weights[i] + moved
        mean[i] = m
        square[i] = v
        change[i] = moved
        weights[i] = weight
        finite &= abs(weight) <= most
    return finite


@kernel
def _most(array: Array) -> float:
    """The largest finite number of the type of an array."""
    return np.finfo(array.dtype).max

"""Adam in place, with the penalty on absolute values in the same pass."""

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8


@kernel
def adam(
    values: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    count: int,
    rate: float,
    penalty: float,
) -> None:
    """Take step number ``count``, from 1, in flat arrays of one floating-point type.

    The gradient of ``penalty * sum |values|`` is added to ``gradient`` (0 where a value is 0).
    """
    real = values.dtype.type
    one, first, second = real(1), real(FIRST), real(SECOND)
    unbiased = real(rate / (1 - FIRST**count))
    scale = real(1 / (1 - SECOND**count))
    weight, epsilon, zero = real(penalty), real(EPSILON), real(0)
    for i in range(values.size):
        value = values[i]
        sign = weight if value > zero else -weight if value < zero else zero
        g = gradient[i] + sign
        m = first * mean[i] + (one - first) * g
        s = second * square[i] + (one - second) * g * g
        mean[i], square[i] = m, s
        values[i] = value - unbiased * m / (np.sqrt(s * scale) + epsilon)


@kernel
def shrink(
    values: Array, gradient: Array, last: Array, size: float, penalty: float, push: float
) -> None:
    """Take an accelerated step of proximal gradient descent (Beck & Teboulle 2009) in place.

    From ``values``, where ``gradient`` was taken, a step of ``size`` is made, absolute values
    are reduced by ``size * penalty`` down to 0, and ``values`` moves on by ``push`` times the
    distance from ``last``, which takes the result without that.
    """
    real = values.dtype.type
    step, least, further, zero = real(size), real(size * penalty), real(push), real(0)
    for i in range(values.size):
        moved = values[i] - step * gradient[i]
        length = abs(moved) - least
        new = zero if length <= zero else length if moved > zero else -length
        values[i] = new + further * (new - last[i])
        last[i] = new

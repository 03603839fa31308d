"""Relaxation of the values of predictive coding in a chain, one example at a time."""

import numpy as np

from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import activate, derivative
from plausibench.kernels.products import add_product

Array = np.ndarray


@kernel
def relax(
    sizes: Array,
    codes: Array,
    upward: Array,
    downward: Array,
    outside: Array,
    step: float,
    steps: int,
    values: Array,
    activity: Array,
    errors: Array,
) -> None:
    """Take Euler steps down the energy, with the output clamped.

    The units of an example lie in one row, layer after layer. All arrays are C-contiguous, of
    float64 but for the first two.

    Parameters
    ----------
    sizes
        Number of neurons in each layer, int64 ``(L,)``.
    codes
        Activation of each layer, int64 ``(L,)``.
    upward
        Weights, flat, one row a sender: from each layer onto the next, **negative**.
    downward
        Weights, flat, one row a sender: onto each layer from the next.
    outside
        Drive of each unit by inputs and biases, ``(R, U)``.
    step, steps
        Length and number of steps.
    values
        ``(R, U)``: where to start; take the last values.
    activity, errors
        ``(R, U)``, take the results, of the last values.
    """
    depth = sizes.size
    force, slope = np.empty(sizes.max()), np.empty(sizes.max())
    for example in range(len(values)):
        v, a, e = values[example], activity[example], errors[example]
        for count in range(steps + 1):
            start = 0
            for layer in range(depth):
                end = start + sizes[layer]
                activate(codes[layer], v[start:end], a[start:end])
                start = end
            for unit in range(v.size):
                e[unit] = v[unit] - outside[example, unit]
            start, up = 0, 0
            for layer in range(1, depth):
                end, size = start + sizes[layer - 1], sizes[layer]
                weights = sizes[layer - 1] * size
                add_product(a[start:end], upward[up : up + weights], e[end : end + size])
                start, up = end, up + weights
            if count == steps:
                break
            start, down = 0, 0
            for layer in range(depth - 1):
                size = sizes[layer]
                end, above = start + size, sizes[layer + 1]
                weights = above * size
                pull, slopes = force[:size], slope[:size]
                pull[:] = 0
                add_product(e[end : end + above], downward[down : down + weights], pull)
                derivative(codes[layer], v[start:end], a[start:end], slopes)
                for n in range(size):
                    v[start + n] += step * (slopes[n] * pull[n] - e[start + n])
                start, down = end, down + weights

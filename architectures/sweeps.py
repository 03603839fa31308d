"""Sweeps through the layers of a chain that settles, one example at a time."""

import numpy as np

from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import activate
from plausibench.kernels.products import add_product

Array = np.ndarray

NOTHING, DIFFERENCE, SOFTMAX, REWARD = range(4)
"""What nudges the output: nothing, or the derivative of the squared error, cross-entropy or
expected reward."""


@kernel
def sweep(
    sizes: Array,
    codes: Array,
    upward: Array,
    downward: Array,
    outside: Array,
    layers: int,
    nudged: int,
    nudging: float,
    targets: Array,
    tolerance: Array,
    steps: int,
    drive: Array,
    activity: Array,
) -> float:
    """Update layers in turn, upwards, until no activity changes any more.

    The units of an example lie in one row, layer after layer. Examples do not see one another,
    so a result does not depend on the rest of the batch. All arrays are C-contiguous, of float64
    but for the first two.

    Parameters
    ----------
    sizes
        Number of neurons in each layer, int64 ``(L,)``.
    codes
        Activation of each layer, int64 ``(L,)``.
    upward
        Weights, flat, one row a sender: from each layer onto the next.
    downward
        Weights, flat, one row a sender: onto each layer from the next.
    outside
        Constant drive of each unit, ``(R, U)``.
    layers
        Number of layers that move; the last one may be held.
    nudged, nudging
        What nudges the output, and how strongly.
    targets
        Of the nudge, ``(R, N_L)``.
    tolerance, steps
        An example is at rest when no activity changes by more than its tolerance ``(R,)`` in a
        sweep, relative to the largest activity where that is above 1; largest number of sweeps.
    drive, activity
        ``(R, U)``: where to start; take the results.

    Returns
    -------
    float
        0, or the last change of the first example that is not at rest after ``steps`` sweeps;
        infinity where an activity is not finite.
    """
    last = sizes.size - 1
    # Stronger nudging would overshoot; this is exact for the squared error of a linear output.
    share = 1 / (1 + max(nudging, 0.0))
    new, error = np.empty(sizes.max()), np.empty(sizes[last])
    for example in range(len(outside)):
        a, z, constant = activity[example], drive[example], outside[example]
        moved = np.inf
        for _ in range(steps):
            moved, largest = 0.0, 1.0
            start, below, up, down = 0, 0, 0, 0
            for layer in range(layers):
                size = sizes[layer]
                end = start + size
                total, own = z[start:end], a[start:end]
                total[:] = constant[start:end]
                if layer > 0:
                    weights = sizes[layer - 1] * size
                    add_product(a[below:start], upward[up : up + weights], total)
                    up += weights
                if layer < last:
                    above = sizes[layer + 1]
                    weights = above * size
                    add_product(a[end : end + above], downward[down : down + weights], total)
                    down += weights
                if layer == last and nudged != NOTHING:
                    slope(nudged, own, targets[example], error)
                    for n in range(size):
                        total[n] -= nudging * error[n]
                asked = new[:size]
                activate(codes[layer], total, asked)
                if layer == last and nudged != NOTHING:
                    for n in range(size):
                        asked[n] = own[n] + share * (asked[n] - own[n])
                for n in range(size):
                    change, height = abs(asked[n] - own[n]), abs(asked[n])
                    # A change that is not a number counts, and stays.
                    if change > moved or change != change:
                        moved = change
                    largest = max(largest, height)
                    own[n] = asked[n]
                below, start = start, end
            if not moved < np.inf:
                return np.inf
            if moved <= tolerance[example] * largest:
                moved = 0.0
                break
        if moved > 0:
            return moved
    return 0.0


@kernel
def slope(nudged: int, output: Array, target: Array, out: Array) -> None:
    """Derivative of the loss of one example by its output."""
    if nudged == DIFFERENCE:
        for n in range(out.size):
            out[n] = output[n] - target[n]
        return
    top, total, weight, expected = output.max(), 0.0, 0.0, 0.0
    for n in range(out.size):
        out[n] = np.exp(output[n] - top)
        total += out[n]
        weight += target[n]
    for n in range(out.size):
        out[n] /= total
        expected += out[n] * target[n]
    for n in range(out.size):
        if nudged == SOFTMAX:
            out[n] = out[n] * weight - target[n]
        else:
            out[n] = -out[n] * (target[n] - expected)

"""Euler integration of the dendritic microcircuit, one example at a time.

The somatic voltages of an example lie in one row, in blocks: the neurons of population 1, then for
every population above it its neurons followed by the interneurons that predict them, one each,
which sit in the population below. So what a population sends to a block is one product of its
rates with a matrix, and what a block sends back to the apical dendrites another.
"""

import numpy as np

from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import activate
from plausibench.kernels.products import add_product

Array = np.ndarray

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Change of a voltage in a step, relative to the largest one, that rounding alone can make."""


@kernel
def settle(
    sizes: Array,
    codes: Array,
    conductances: Array,
    upward: Array,
    downward: Array,
    bias: Array,
    inputs: Array,
    targets: Array,
    tolerance: Array,
    steps: int,
    voltage: Array,
    drive: Array,
    rate: Array,
    apical: Array,
) -> int:
    """Integrate from rest until no voltage changes by more than a tolerance in a step.

    Examples do not see one another, so a result does not depend on the rest of the batch. All
    arrays are C-contiguous, of float64 but for the first two.

    Parameters
    ----------
    sizes
        Number of inputs, then of neurons in each population, int64 ``(L + 1,)``.
    codes
        Rate function of each population, int64 ``(L,)``.
    conductances
        ``(L, 6)``, times the length of a step. Of the neurons of a population: total, towards
        the basal dendrite, towards the apical dendrite or, at the top, the target. Of the
        interneurons that predict them: total, towards the dendrite, towards the predicted
        neuron; not used for population 1.
    upward
        Weights, flat, one row a sender: ``(N_0, N_1)``, then from each population
        ``(N_k, 2 N_(k+1))`` onto the next block.
    downward
        Weights, flat, one row a sender: ``(2 N_(k+1), N_k)`` from each block but the first onto
        the apical dendrites below.
    bias
        Of each unit of a row, ``(U,)``.
    inputs, targets
        Rates ``(B, N_0)`` and voltages ``(B, N_L)``.
    tolerance, steps
        Largest change of a voltage at rest for each example ``(B,)``, or what rounding alone can
        make where that is more; maximum number of steps.
    voltage, drive, rate
        Results ``(B, U)``: voltages of the somata, and of their basal dendrites or the dendrites
        of interneurons; firing rates.
    apical
        Result ``(B, N_1 + ... + N_(L-1))``: voltages of the apical dendrites.

    Returns
    -------
    int
        Steps until the slowest example was at rest; -1 if one was not after ``steps``.
    """
    layers, slowest = codes.size, 0
    change = np.empty_like(bias)
    first = sizes[0] * sizes[1]
    for example in range(len(inputs)):
        u, v, r, a = voltage[example], drive[example], rate[example], apical[example]
        u[:] = 0
        v[:] = bias
        add_product(inputs[example], upward[:first], v[: sizes[1]])
        taken = -1
        for count in range(steps + 1):
            # Rates and dendrites of all populations, at the same voltages.
            start = 0
            for layer in range(layers):
                end = start + sizes[layer + 1] * (1 if layer == 0 else 2)
                activate(codes[layer], u[start:end], r[start:end])
                start = end
            a[:] = 0
            sender, start, dendrite, up, down = 0, sizes[1], 0, first, 0
            for layer in range(1, layers):
                size, width = sizes[layer], 2 * sizes[layer + 1]
                end, weights = start + width, size * width
                v[start:end] = bias[start:end]
                senders, below = r[sender : sender + size], a[dendrite : dendrite + size]
                add_product(senders, upward[up : up + weights], v[start:end])
                add_product(r[start:end], downward[down : down + weights], below)
                sender, start, dendrite = start, end, dendrite + size
                up, down = up + weights, down + weights

            largest = 1.0
            for unit in range(u.size):
                largest = max(largest, abs(u[unit]), abs(v[unit]))
            if not largest < np.inf:
                break
            limit = max(tolerance[example], ROUNDING * largest)
            # The change of every soma, which is applied only if it is not yet small.
            moving, start, dendrite = 0, 0, 0
            for layer in range(layers):
                size = sizes[layer + 1]
                end = start + size
                other = targets[example] if layer == layers - 1 else a[dendrite : dendrite + size]
                dendrite += size
                moving += drift(
                    u[start:end],
                    v[start:end],
                    other,
                    conductances[layer, :3],
                    limit,
                    change[start:end],
                )
                if layer > 0:
                    predicted, start, end = u[start:end], end, end + size
                    moving += drift(
                        u[start:end],
                        v[start:end],
                        predicted,
                        conductances[layer, 3:],
                        limit,
                        change[start:end],
                    )
                start = end
            if moving == 0:
                taken = count
                break
            for unit in range(u.size):
                u[unit] += change[unit]
        if taken < 0:
            return -1
        slowest = max(slowest, taken)
    return slowest


@kernel
def drift(
    soma: Array, dendrite: Array, other: Array, conductances: Array, tolerance: float, out: Array
) -> int:
    """Write the change of somatic voltages to ``out``; count those larger than ``tolerance``."""
    total, coupling, pull = conductances[0], conductances[1], conductances[2]
    moving = 0
    for n in range(soma.size):
        out[n] = coupling * dendrite[n] + pull * other[n] - total * soma[n]
        # Negated, so that a voltage that is not a number counts.
        moving += not abs(out[n]) <= tolerance
    return moving

"""Euler integration of the dendritic microcircuit, many examples side by side.

Every unit has a row, with a lane for each example. Rows stand in blocks: the neurons of population
1, then for every population above it its neurons followed by the interneurons that predict them,
one each, which sit in the population below. So what a population sends to a block is one product of
its rates with a matrix, and what a block sends back to the apical dendrites another.
"""

import numpy as np

from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import activate
from plausibench.kernels.products import add_product, add_products

Array = np.ndarray

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Change of a voltage in a step, relative to the largest one, that rounding alone can make."""

LANES = 32
"""Examples that settle side by side; one that is at rest makes room for the next."""


@kernel
def settle(
    sizes: Array,
    codes: Array,
    match: Array,
    conductances: Array,
    upward: Array,
    downward: Array,
    bias: Array,
    inputs: Array,
    targets: Array,
    tolerance: Array,
    steps: int,
    settled: Array,
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
    match
        ``(L,)``. Where the interneurons that predict a population have the weights and biases of
        its neurons times a factor, and send down what its neurons send with the other sign: that
        factor, which saves half of the products. Elsewhere, and for population 1, 0.
    conductances
        ``(U, 3)``, of each unit, times the length of a step: total, towards the basal dendrite or
        that of an interneuron, towards what else pulls it.
    upward
        Weights, flat, one row a sender: ``(N_0, N_1)``, then from each population
        ``(N_k, 2 N_(k+1))`` onto the next block, or where they match ``(N_k, N_(k+1))``.
    downward
        Weights, flat, one row a sender: ``(2 N_(k+1), N_k)`` from each block but the first onto
        the apical dendrites below, or where they match ``(N_(k+1), N_k)``.
    bias
        Of each unit, ``(U,)``.
    inputs, targets
        Rates ``(B, N_0)`` and voltages ``(B, N_L)``.
    tolerance, steps
        Largest change of a voltage at rest for each example ``(B,)``, or what rounding alone can
        make where that is more; maximum number of steps.
    settled
        Result ``(4, B, U)``: voltages of the somata; of their basal dendrites or the dendrites of
        interneurons; firing rates; and what else pulls a soma: the voltage of its apical dendrite,
        its target, or the voltage of the neuron that an interneuron predicts.

    Returns
    -------
    int
        Steps until the slowest example was at rest; -1 if one was not after ``steps``.
    """
    examples, units = settled.shape[1:]
    lanes = min(LANES, examples)
    circuit, change = np.zeros((4, units, lanes)), np.zeros((units, lanes))
    voltage, spare = circuit[0], np.empty((sizes.max(), lanes))
    largest, limit, moving = np.empty(lanes), np.empty(lanes), np.empty(lanes, np.int64)
    who, taken = np.arange(lanes), np.zeros(lanes, np.int64)
    for lane in range(lanes):
        begin(lane, lane, sizes, upward, bias, inputs, targets, circuit)
    following, resting, slowest = lanes, 0, 0
    while resting < examples:
        flow(sizes, codes, match, upward, downward, bias, circuit, spare)
        highest(voltage, circuit[1], largest)
        for lane in range(lanes):
            limit[lane] = max(tolerance[who[lane]], ROUNDING * largest[lane])
        drift(circuit, conductances, limit, change, moving)
        for lane in range(lanes):
            # A lane without a further example keeps its last one, which has been counted.
            if taken[lane] < 0:
                continue
            if not largest[lane] < np.inf or (moving[lane] > 0 and taken[lane] == steps):
                return -1
            taken[lane] += 1
            if moving[lane] > 0:
                continue
            settled[:, who[lane]] = circuit[:, :, lane]
            slowest, resting = max(slowest, taken[lane] - 1), resting + 1
            taken[lane], change[:, lane] = -1, 0
            if following < examples:
                begin(lane, following, sizes, upward, bias, inputs, targets, circuit)
                who[lane], taken[lane], following = following, 0, following + 1
        for unit in range(units):
            for lane in range(lanes):
                voltage[unit, lane] += change[unit, lane]
    return slowest


@kernel
def begin(
    lane: int,
    example: int,
    sizes: Array,
    upward: Array,
    bias: Array,
    inputs: Array,
    targets: Array,
    circuit: Array,
) -> None:
    """Put an example at rest into a lane, with its inputs and targets, which stay."""
    basal = bias[: sizes[1]].copy()
    add_product(inputs[example], upward[: sizes[0] * sizes[1]], basal)
    top = circuit.shape[1] - 2 * sizes[-1] if sizes.size > 2 else 0
    circuit[0, :, lane] = 0
    circuit[1, : sizes[1], lane] = basal
    circuit[3, top : top + sizes[-1], lane] = targets[example]


@kernel
def flow(
    sizes: Array,
    codes: Array,
    match: Array,
    upward: Array,
    downward: Array,
    bias: Array,
    circuit: Array,
    spare: Array,
) -> None:
    """Rates, dendrites and pulls of all units at the same somatic voltages."""
    u, v, r, pull = circuit[0], circuit[1], circuit[2], circuit[3]
    start = 0
    for layer in range(codes.size):
        end = start + sizes[layer + 1] * (1 if layer == 0 else 2)
        activate(codes[layer], u[start:end].reshape(-1), r[start:end].reshape(-1))
        start = end
    sender, start, up, down = 0, sizes[1], sizes[0] * sizes[1], 0
    for layer in range(1, codes.size):
        size, above = sizes[layer], sizes[layer + 1]
        middle, end = start + above, start + 2 * above
        width = above if match[layer] != 0 else 2 * above
        v[start:end] = np.expand_dims(bias[start:end], 1)
        senders, below = r[sender : sender + size], pull[sender : sender + size]
        add_products(senders, upward[up : up + size * width], v[start : start + width])
        returning = r[start:end]
        if match[layer] != 0:
            v[middle:end] = match[layer] * v[start:middle]
            returning = spare[:above]
            returning[:] = r[start:middle] - r[middle:end]
        below[:] = 0
        add_products(returning, downward[down : down + size * width], below)
        pull[middle:end] = u[start:middle]
        sender, start = start, end
        up, down = up + size * width, down + size * width


@kernel
def highest(soma: Array, dendrite: Array, out: Array) -> None:
    """Write the largest voltage of each lane to ``out``, or 1."""
    out[:] = 1
    for unit in range(len(soma)):
        for lane in range(out.size):
            most = max(abs(soma[unit, lane]), abs(dendrite[unit, lane]))
            out[lane] = most if most > out[lane] else out[lane]


@kernel
def drift(circuit: Array, conductances: Array, tolerance: Array, out: Array, moving: Array) -> None:
    """Write the change of somatic voltages to ``out``; count the large ones of each lane."""
    u, v, pull = circuit[0], circuit[1], circuit[3]
    moving[:] = 0
    for unit in range(len(out)):
        total, coupling, other = conductances[unit, 0], conductances[unit, 1], conductances[unit, 2]
        for lane in range(moving.size):
            flow = coupling * v[unit, lane] + other * pull[unit, lane] - total * u[unit, lane]
            out[unit, lane] = flow
            # Negated, so that a voltage that is not a number counts.
            moving[lane] += not abs(flow) <= tolerance[lane]

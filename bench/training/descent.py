"""A step of training in one pass: the estimate is formed part by part, and used while it is near.

Parameters, and what an optimiser remembers, change in place. Parts depend on shapes alone, so that
the bits are the same with any number of threads.
"""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.bench.training.optimisers import Arrays, Memory, Optimiser
from plausibench.kernels.buffers import empty
from plausibench.kernels.threads import spread
from plausibench.rules.estimate import Estimate, Outer, form_one

Array = np.ndarray

MANY = 1 << 18
"""Parameters of a network from which threads pay: they take a while to begin."""


def descend(
    optimise: Optimiser,
    network: Network,
    estimates: Mapping[str, Estimate],
    extra: Mapping[str, Array],
    memory: Memory,
    factors: Mapping[str, float],
    applied: Mapping[str, Array] | None = None,
) -> bool:
    """Move the parameters of a network, in place, down an estimate of one sample.

    Parameters
    ----------
    optimise
        How estimates change parameters.
    network
        Its parameters are C-contiguous, and nobody else's.
    estimates
        One for each projection, ``(*shape)`` or ``(1, *shape)``.
    extra
        What is added to estimates, ``(*shape)`` by name.
    memory
        What the optimiser remembers, changed in place; empty at first.
    factors
        Of the changes, by name; 1 where there is none.
    applied
        Arrays ``(*shape)`` by name that take the changes, decay left out; None if nobody asks.

    Returns
    -------
    bool
        Whether all parameters are finite.
    """
    optimise.begin(memory, network.parameters)
    finite, remembered = [], [memory[name] for name in optimise.moments]

    def move(piece: tuple[Projection, Array | None, slice, slice]) -> None:
        p, formed, neurons, flat = piece
        weights = network.parameters[p.name].reshape(-1)[flat]
        change = _part(p, estimates[p.name], neurons) if formed is None else formed[flat]
        change = change.astype(weights.dtype, copy=False)
        if applied is not None:
            kept = applied[p.name].reshape(-1)[flat]
            kept[:] = change
            change = kept
        if p.name in extra:
            change += extra[p.name].reshape(-1)[flat]
        moments = [arrays[p.name].reshape(-1)[flat] for arrays in remembered]
        factor = factors.get(p.name, 1.0)
        finite.append(optimise.update(p.name, weights, change, moments, memory, factor))

    pieces = [
        (p, formed, *part)
        for p in network.projections
        for formed in [_formed(p, estimates[p.name])]
        for part in p.synapse.parts
    ]

    def move_each(block: list[tuple[Projection, Array | None, slice, slice]]) -> None:
        for piece in block:
            move(piece)

    spread(move_each, [pieces] if network.size < MANY else [[piece] for piece in pieces])
    return all(finite)


def _formed(p: Projection, estimate: Estimate) -> Array | None:
    """The estimate of one sample, in one dimension; None where its parts are formed apart."""
    if not isinstance(estimate, Outer):
        # A copy: it becomes the change, and may belong to the state of a rule.
        return np.array(form_one(p.synapse, estimate), order="C").reshape(-1)
    if p.synapse.separable:
        return None
    # It divides examples, not weights, among threads: within a part it would have but one.
    return p.synapse.outer(*_sides(estimate)).reshape(-1)


def _part(p: Projection, estimate: Estimate, neurons: slice) -> Array:
    """Part of an outer product of one sample, in one dimension."""
    assert isinstance(estimate, Outer)
    post, pre = _sides(estimate)
    return p.synapse.outer(post[:, neurons], pre).reshape(-1)


def _sides(estimate: Outer) -> tuple[Array, Array]:
    """Factors of one sample, ``(B, N_out)`` and ``(B, N_in)``."""
    return (
        estimate.post[0] if estimate.post.ndim == 3 else estimate.post,
        estimate.pre[0] if estimate.pre.ndim == 3 else estimate.pre,
    )


def copied(parameters: Mapping[str, Array]) -> Arrays:
    """Parameters in memory of their own, to be changed in place."""
    copies = {}
    for name, array in parameters.items():
        copies[name] = empty(array.shape, array.dtype)
        copies[name][...] = array
    return copies

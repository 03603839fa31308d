"""Parameters laid end to end, in forward order and in float64."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.network import Network

Array = np.ndarray


def vector(network: Network, arrays: Mapping[str, Array]) -> Array:
    """One array ``(*shape)`` per parameter as a vector ``(P,)``."""
    parts = [arrays[p.name].reshape(-1) for p in network.projections]
    return np.concatenate(parts).astype(np.float64, copy=False)


def vectors(network: Network, arrays: Mapping[str, Array]) -> Array:
    """One array ``(S, *shape)`` per parameter as rows ``(S, P)``."""
    parts = [arrays[p.name].reshape(len(arrays[p.name]), -1) for p in network.projections]
    return np.concatenate(parts, axis=1).astype(np.float64, copy=False)


def shaped(network: Network, rows: Array) -> dict[str, Array]:
    """One array ``(S, *shape)`` per parameter from rows ``(S, P)``: the inverse of `vectors`."""
    found, start = {}, 0
    for p in network.projections:
        size = int(np.prod(p.synapse.shape))
        found[p.name] = rows[:, start : start + size].reshape(len(rows), *p.synapse.shape)
        start += size
    return found

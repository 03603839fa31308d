"""A chain of layers, laid out for compiled loops over single examples."""

from collections.abc import Mapping

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Network
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse

Array = np.ndarray


def is_plain(network: Network) -> bool:
    """Whether every layer is pointwise, and driven by all of the one below and by a bias only."""
    names = [INPUT, *(population.name for population in network.populations)]
    below = dict(zip(names[1:], names[:-1], strict=True))
    return (
        not network.wires
        and all(type(population.neurons) is Pointwise for population in network.populations)
        and all(
            type(p.synapse) is (BiasSynapse if p.source == CONSTANT else DenseSynapse)
            and p.source in (CONSTANT, below[p.target])
            for p in network.projections
        )
        and len({p.target for p in network.returning}) == len(network.returning)
    )


def layout(network: Network) -> tuple[list[str], Array, Array]:
    """Name, size and activation code of every layer; sizes and codes int64 ``(L,)``."""
    codes = []
    for population in network.populations:
        assert isinstance(population.neurons, Pointwise)
        codes.append(population.neurons.code)
    names = [population.name for population in network.populations]
    return names, np.array([p.size for p in network.populations]), np.array(codes)


def side_by_side(arrays: Mapping[str, Array], names: list[str], shape: tuple[int, ...]) -> Array:
    """Arrays ``(..., N)`` of the layers side by side, ``(*shape, U)``, C-contiguous."""
    parts = [np.broadcast_to(arrays[name], (*shape, arrays[name].shape[-1])) for name in names]
    return np.ascontiguousarray(np.concatenate(parts, axis=-1))


def by_layer(rows: Array, names: list[str], sizes: Array) -> dict[str, Array]:
    """Undo :func:`side_by_side`."""
    ends = np.cumsum(sizes)
    return {
        name: np.ascontiguousarray(rows[..., end - size : end])
        for name, end, size in zip(names, ends, sizes, strict=True)
    }


def senders(between: list[Array], factor: float = 1.0) -> Array:
    """Weights from each layer to the next, flat, one row a sender."""
    return np.concatenate([np.empty(0), *(factor * array.T.reshape(-1) for array in between)])


def receivers(between: list[Array], factor: float = 1.0) -> Array:
    """The same weights, flat, one row a receiver."""
    return np.concatenate([np.empty(0), *(factor * array.reshape(-1) for array in between)])

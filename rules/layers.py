"""What rules that settle or aim at targets share: what they ask of a network, and contrasts."""

from collections.abc import Iterable

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network, Projection
from plausibench.objectives.batch import Batch

Array = np.ndarray


def no_chain(network: Network, rule: str) -> str | None:
    """Why a rule that needs a chain of layers cannot run; None if it can."""
    below = INPUT
    for population in network.populations:
        onto = [p.source for p in network.incoming[population.name] if p.source != CONSTANT]
        if onto != [below]:
            return f"{rule} needs layers in a chain, each fed by the one below only"
        below = population.name
    return wired(network, rule)


def wired(network: Network, rule: str) -> str | None:
    """Why a rule cannot run whose signals go along synapses only; None if it can."""
    if not network.wires:
        return None
    wire = network.wires[0]
    return (
        f"{rule} sends its signals along synapses, and activity of {wire.source} also reaches "
        f"{wire.target} by a wire without weights"
    )


def gated(network: Network, rule: str) -> str | None:
    """Why a rule that computes what neurons do from their synapses cannot run; None if it can."""
    if not network.modulating:
        return wired(network, rule)
    name, gate = next(iter(network.modulating.items()))
    return f"{rule} needs activity that follows from drive, and {gate} multiplies that of {name}"


def in_double(network: Network, batch: Batch, clean: Activity) -> tuple[Network, Batch, Activity]:
    """Network, batch and clean pass in float64, where the signal is a small difference."""
    if network.dtype == np.float64:
        return network, batch, clean
    network, batch = network.astype("float64"), batch.astype("float64")
    return network, batch, network.forward(batch.inputs)


def representable(factors: Iterable[Array], examples: int, dtype: np.dtype) -> bool:
    """Whether sums over examples of products of two of the factors are finite in a type."""
    # Beyond the root of the largest number, products of two factors overflow.
    most = np.sqrt(np.finfo(dtype).max) / examples
    # What is not a number is not at most anything.
    return all(bool(np.abs(factor).max(initial=0.0) <= most) for factor in factors)


def contrast(p: Projection, after: Activity, before: Activity) -> Array:
    """Change of post times pre between two phases, ``(*shape,)``, summed over examples."""
    post, pre = after.activity[p.target], after.presynaptic(p)
    # As a sum of products with differences, which loses no digits.
    moved = p.synapse.outer(post - before.activity[p.target], pre)
    moved += p.synapse.outer(before.activity[p.target], pre - before.presynaptic(p))
    return moved

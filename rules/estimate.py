"""Gradient estimates: pre x post factors, whole arrays, or a direction with a coefficient."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.synapses import Synapse
from plausibench.rules.noise import Again, Noise

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Outer:
    """Sum over examples of post times pre, what a synapse can form from its two sides.

    Attributes
    ----------
    post
        ``(B, N_out)``, or ``(S, B, N_out)`` with one entry per sample of the estimator.
    pre
        ``(B, N_in)`` or ``(S, B, N_in)``.
    """

    post: Array
    pre: Array


@dataclass(frozen=True, eq=False)
class Dense:
    """An estimate without factors: ``array`` is ``(*shape)`` or ``(S, *shape)``."""

    array: Array


@dataclass(frozen=True, eq=False)
class Directional:
    """A coefficient along a direction.

    Attributes
    ----------
    coefficient
        ``(S,)``.
    direction
        ``(S, *shape)``.
    again
        Draws parts of directions again, so that sums along them need not be held for all
        parameters at once; None for directions that cannot be.
    """

    coefficient: Array
    direction: Array
    again: Again | None = None


Estimate = Outer | Dense | Directional
Estimates = dict[str, Estimate]


def outers(network: Network, clean: Activity, signals: Mapping[str, Array]) -> Estimates:
    """One outer product per projection, of the signal on its target with presynaptic activity."""
    return {
        p.name: Outer(network.postsynaptic(signals, p), clean.presynaptic(p))
        for p in network.projections
    }


def directed(
    coefficient: Array, xi: Mapping[str, Array], noise: Noise, law: str = "gaussian"
) -> Estimates:
    """The noise on every parameter, as ``noise`` drew it by this law, times ``(S,)`` numbers."""
    return {
        name: Directional(coefficient, drawn, noise.again(name, law)) for name, drawn in xi.items()
    }


def per_row(values: Array, rows: Array) -> Array:
    """Numbers of each example ``(..., B)`` for every row of ``(..., T B, N)``."""
    steps = rows.shape[-2] // values.shape[-1]
    return (values if steps == 1 else np.concatenate([values] * steps, axis=-1))[..., None]


def per_example(values: Array, size: int) -> Array:
    """Sum of the numbers of each row ``(..., T B)`` over the steps of each of B examples."""
    return values.reshape(*values.shape[:-1], -1, size).sum(axis=-2)


def by_example(rows: Array, size: int) -> Array:
    """Rows ``(T B, N)`` of B examples as ``(B, T, N)``."""
    return np.ascontiguousarray(rows.reshape(-1, size, rows.shape[-1]).swapaxes(0, 1))


def difference(network: Network, one: Estimates, other: Estimates) -> Estimates:
    """One estimate less another, unformed where they have a factor or a direction in common."""
    posts: dict[tuple[int, int], Array] = {}
    found: Estimates = {}
    for p in network.projections:
        a, b = one[p.name], other[p.name]
        if isinstance(a, Outer) and isinstance(b, Outer) and _equal(a.pre, b.pre):
            pair = id(a.post), id(b.post)  # weights and bias of a layer share theirs
            if pair not in posts:
                posts[pair] = a.post - b.post
            found[p.name] = Outer(posts[pair], a.pre)
        elif (
            isinstance(a, Directional) and isinstance(b, Directional) and a.direction is b.direction
        ):
            found[p.name] = replace(a, coefficient=a.coefficient - b.coefficient)
        else:
            found[p.name] = Dense(form_one(p.synapse, a) - form_one(p.synapse, b))
    return found


def _equal(one: Array, other: Array) -> bool:
    return one is other or np.array_equal(one, other)


def form(network: Network, estimates: Mapping[str, Estimate]) -> dict[str, Array]:
    """Form the arrays ``(*shape)`` or ``(S, *shape)`` of each parameter."""
    return {p.name: form_one(p.synapse, estimates[p.name]) for p in network.projections}


def form_one(synapse: Synapse, estimate: Estimate) -> Array:
    """Form the array of one parameter."""
    if isinstance(estimate, Outer):
        return synapse.outer(estimate.post, estimate.pre)
    if isinstance(estimate, Dense):
        return estimate.array
    extra = (1,) * (estimate.direction.ndim - 1)
    return estimate.coefficient.reshape(-1, *extra) * estimate.direction

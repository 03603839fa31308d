"""Neurons of a population in another order: everything that is indexed by them follows."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.kernels.errors import InputError, choose

Array = np.ndarray

Axes = dict[str, tuple[str | None, ...]]
"""Population that each axis of each array runs over, None for an axis without neurons."""


def parameter_axes(network: Network) -> Axes:
    """Populations of the axes of every parameter."""
    return {p.name: _axes(p) for p in network.projections}


def feedback_axes(network: Network) -> Axes:
    """Populations of the axes of weights in the layout of the way back, per path."""
    return {p.name: _axes(p)[::-1] for p in network.returning}


def _axes(p: Projection) -> tuple[str | None, ...]:
    """Populations of the axes of its weights."""
    ends = {"target": p.target, "source": p.source}
    return tuple(ends[end] for end in p.synapse.axes) or (None,) * len(p.synapse.shape)


def permuted(
    arrays: Mapping[str, Array], axes: Axes, population: str, order: Array
) -> dict[str, Array]:
    """Arrays with the axes of a population in another order.

    Parameters
    ----------
    arrays, axes
        Arrays, and the populations of their axes.
    population
        Whose neurons are reordered.
    order
        The neuron that comes to each place, ``(N,)``.
    """
    found = {}
    for name, array in arrays.items():
        for axis, indexed in enumerate(axes[name]):
            if indexed == population:
                array = np.take(array, order, axis=axis)
        found[name] = array
    return found


def permuted_network(network: Network, population: str, order: Array) -> Network:
    """The same function, computed with the neurons of a hidden population in another order.

    Raises
    ------
    InputError
        If there is no such hidden population, its synapses share weights between neurons, or a
        wire joins its neurons to partners.
    """
    choose("population", population, [each.name for each in network.hidden])
    for p in network.projections:
        if population in (p.target, p.source) and not p.synapse.axes:
            raise InputError(
                f"population: the neurons of {population} have fixed places in {p.name}; allowed "
                "are populations with one weight for each pair of neurons"
            )
    for wire in network.wires:
        if population in (wire.target, wire.source):
            raise InputError(
                f"population: the neurons of {population} have partners in {wire.source} or "
                f"{wire.target}, joined by a wire; allowed are populations without wires"
            )
    changed = permuted(network.parameters, parameter_axes(network), population, order)
    moved = tuple(
        replace(each, neurons=each.neurons.reordered(order)) if each.name == population else each
        for each in network.populations
    )
    return replace(network, populations=moved, parameters=changed)

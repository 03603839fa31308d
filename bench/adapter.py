"""Measure any Python function that estimates a gradient, whatever library it is written in."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from plausibench.architectures.network import CONSTANT, Activity, Network, Projection
from plausibench.architectures.synapses import BiasSynapse
from plausibench.bench.measurement import Measurement, from_moments
from plausibench.bench.moments import BLOCK, Moments
from plausibench.bench.quick import gradient
from plausibench.kernels.errors import InputError, choose, integer, refusal
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense

Array = np.ndarray
Arrays = Mapping[str, Any]
Update = Callable[[Arrays, Any, np.random.Generator], Arrays]
Reference = Arrays | Callable[[Arrays, Any], Arrays] | tuple[Network, Objective]

SIGNS = {"gradient": 1.0, "descent": -1.0}


def measure_function(
    update: Update,
    parameters: Arrays,
    batch: Any,
    samples: int = 2000,
    seed: int = 0,
    *,
    reference: Reference,
    sign: str = "gradient",
) -> Measurement:
    """Measure bias and variance of any function that estimates a gradient, with 95 % intervals.

    Parameters
    ----------
    update
        Called as ``update(parameters, batch, rng)`` once for every sample. Returns one array for
        each parameter, under its name and of its shape; anything that numpy reads as numbers.
    parameters
        Weights by name, passed on as they are; ``update`` must leave them as they are.
    batch
        Passed on as it is.
    samples
        Draws K of the estimator.
    seed
        Root of the random streams: each sample has a generator ``rng`` of its own, a numpy
        Generator that depends on the seed and the number of the sample only.
    reference
        The gradient to judge against: a dict of arrays, a function of parameters and batch that
        returns one, or a network and an objective ``(network, objective)`` whose exact gradient
        it is, with the network's weights replaced by ``parameters``.
    sign
        ``gradient`` if ``update`` estimates the gradient, ``descent`` if it goes against it, as
        a change of the weights does.

    Returns
    -------
    Measurement
        As that of :func:`measure`, one entry per parameter and one for all of them.

    Raises
    ------
    InputError
        If an argument is not allowed, or an array has another name, shape or is not finite.
    """
    integer("samples", samples, least=1)
    integer("seed", seed)
    choose("sign", sign, tuple(SIGNS))
    if not callable(update):
        raise refusal("update", update, "a function of parameters, batch and rng")
    if not isinstance(parameters, Mapping) or not parameters:
        raise refusal("parameters", parameters, "a dict of at least one array")
    shapes = {name: np.shape(array) for name, array in parameters.items()}
    with one_blas_thread():
        g = _arrays("reference", _reference(reference, parameters, batch), shapes)
        moments = _moments(g)
        before = {name: np.array(array) for name, array in parameters.items()}
        for index in range(-(-samples // BLOCK)):
            valid = min(BLOCK, samples - index * BLOCK)
            drawn: dict[str, list[Array]] = {name: [] for name in shapes}
            for number in range(index * BLOCK, index * BLOCK + valid):
                rng = generator(seed, "rule", "function", number)
                one = _arrays("update", update(parameters, batch, rng), shapes)
                for name, array in one.items():
                    drawn[name].append(SIGNS[sign] * array.reshape(-1))
            estimates = {name: Dense(np.stack(arrays)) for name, arrays in drawn.items()}
            moments.add(moments.block(estimates, index, valid))
            for name, array in parameters.items():
                # Else every sample would be of another gradient.
                if not np.array_equal(before[name], np.asarray(array)):
                    raise InputError(f"update: it changes the parameter {name}; work on a copy")
    about = {"redrawn": "rule", "reference": "gradient given", "method": "sampled"}
    flat = from_moments(moments, g, samples, about)
    mean = {name: flat.mean[name].reshape(shape) for name, shape in shapes.items()}
    return Measurement(flat.rows, g, mean)


def _reference(reference: Reference, parameters: Arrays, batch: Any) -> Arrays:
    if isinstance(reference, tuple):
        if len(reference) != 2 or not isinstance(reference[0], Network):
            raise refusal("reference", reference, "a network and an objective")
        network, objective = reference
        shapes = {name: array.shape for name, array in network.parameters.items()}
        weights = _arrays("parameters", parameters, shapes)
        return gradient(network.with_parameters(weights), objective, batch)
    if callable(reference):
        return reference(parameters, batch)
    return reference


def _arrays(field: str, given: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Arrays of the expected names and shapes as float64."""
    if not isinstance(given, Mapping) or set(given) != set(shapes):
        names = sorted(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise InputError(f"{field}: {names}; allowed is one array for each of {sorted(shapes)}")
    found = {}
    for name, shape in shapes.items():
        array = np.asarray(given[name], dtype=np.float64)
        if array.shape != shape:
            raise InputError(f"{field}: {name} has shape {array.shape}; allowed is {shape}")
        if not np.isfinite(array).all():
            raise InputError(f"{field}: {name} has numbers that are not finite")
        found[name] = array
    return found


def _moments(reference: Mapping[str, Array]) -> Moments:
    """Sums over draws of arrays without structure: each is a vector, like the biases of a layer."""
    projections = tuple(
        Projection(name, CONSTANT, name, BiasSynapse(array.size))
        for name, array in reference.items()
    )
    flat = {name: array.reshape(-1) for name, array in reference.items()}
    network = Network("function", 1, (), projections, flat)
    ones = np.ones((1, 1))
    return Moments(network, Activity({}, {CONSTANT: ones}, ones), flat)

"""Measure any Python function that estimates a gradient, whatever library it is written in."""

import pickle
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from plausibench.architectures.network import CONSTANT, Activity, Network, Projection
from plausibench.architectures.synapses import BiasSynapse
from plausibench.bench.components.arguments import refuse_reserved
from plausibench.bench.measuring.exact import Exact
from plausibench.bench.measuring.measurement import Measurement, from_exact, from_moments
from plausibench.bench.measuring.moments import BLOCK, Moments
from plausibench.bench.measuring.quick import gradient
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, choose, integer, refusal, show
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense

Array = np.ndarray
Arrays = Mapping[str, Any]
Update = Callable[[Arrays, Any, np.random.Generator], Arrays]
Sample = dict[str, Array]
Reference = Arrays | Callable[[Arrays, Any], Arrays] | tuple[Network, Objective]

SIGNS = {"gradient": 1.0, "descent": -1.0}
ARRAYS = "a dict of at least one array, such as dict(module.named_parameters())"
REPEATABLE = 1e-5
"""Relative difference between two calls with equal generators that rounding on several threads or
in single precision may make."""


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
        Called as ``update(parameters, batch, rng)`` for every sample. Returns one array for each
        parameter, under its name and of its shape: of numpy, PyTorch (its graph is left behind),
        JAX, or anything else that numpy reads as numbers. It must not change the parameters, and
        must depend on its arguments alone. To see that it does, it is called again at the end,
        and once at the start, with a generator like the first.
    parameters
        Weights by name, passed on as they are. Dicts within the dict are read too; their entries
        are named by the path, as in ``dense/kernel``.
    batch
        Passed on as it is.
    samples
        Draws K of the estimator. A function that draws nothing is known after one.
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
        If an argument is not allowed, an array has another name or shape or is not finite, or
        ``update`` changes the parameters, keeps a state, or draws from elsewhere than ``rng``.
    """
    samples = integer("samples", samples, least=1)
    seed = integer("seed", seed)
    factor = SIGNS[choose("sign", sign, tuple(SIGNS))]
    if not callable(update):
        raise refusal("update", update, "a function of parameters, batch and rng")
    if not isinstance(parameters, Mapping) or not parameters:
        raise refusal("parameters", parameters, ARRAYS)
    before = {name: array.copy() for name, array in _named("parameters", parameters).items()}
    for name, array in before.items():
        refuse_reserved("parameters", name)
        if not array.size:
            raise InputError(f"parameters: {name} has shape {array.shape}; leave it out")
    if not before:
        raise refusal("parameters", parameters, ARRAYS)
    shapes = {name: array.shape for name, array in before.items()}

    def draw(number: int) -> tuple[Sample, bool]:
        """A sample, and whether it took anything from its generator."""
        rng, fresh = (generator(seed, "rule", "function", number) for _ in range(2))
        estimate = _arrays("update", update(parameters, batch, rng), shapes)
        drew = rng.bit_generator.random_raw() != fresh.bit_generator.random_raw()
        return {name: factor * array for name, array in estimate.items()}, drew

    def check_unchanged(by: str) -> None:
        """Refuse changed parameters: every sample would be of another gradient."""
        for name, array in _named("parameters", parameters).items():
            if not np.array_equal(before[name], array, equal_nan=True):
                raise InputError(f"{by}: it changes the parameter {name}; work on a copy")

    with one_blas_thread():
        g = _arrays("reference", _reference(reference, parameters, batch), shapes)
        check_unchanged("reference")
        generators = _global_generators()
        first, drew = draw(0)
        used = [
            name
            for name, state in _global_generators().items()
            if state != generators.get(name, state)
        ]
        check_unchanged("update")
        _refuse_unlike(first, draw(0)[0], used)
        second, drew_again = draw(1)
        about = {"redrawn": "rule", "reference": "gradient given"}
        if not (drew or drew_again) and _distance(first, second) == 0:
            nothing = Exact(first, dict.fromkeys(first, 0.0), 1, "exact")
            return from_exact(nothing, g, {**about, "redrawn": "nothing"})
        moments = _moments(g)
        for index in range(-(-samples // BLOCK)):
            valid = min(BLOCK, samples - index * BLOCK)
            drawn = [
                (first, second)[number] if number < 2 else draw(number)[0]
                for number in range(index * BLOCK, index * BLOCK + valid)
            ]
            estimates = {
                name: Dense(np.stack([one[name].reshape(-1) for one in drawn])) for name in shapes
            }
            moments.add(moments.block(estimates, index, valid))
            check_unchanged("update")
        _refuse_unlike(first, draw(0)[0], used)
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


def _arrays(field: str, given: Any, shapes: Mapping[str, tuple[int, ...]]) -> Sample:
    """Arrays of the expected names and shapes as float64."""
    named = _named(field, given) if isinstance(given, Mapping) else {}
    if set(named) != set(shapes):
        had = ", ".join(sorted(named)) if isinstance(given, Mapping) else show(given, 60)
        allowed = ", ".join(sorted(shapes))
        raise InputError(
            f"{field}: {had or 'an empty dict'} in place of a dict with one array for each of "
            f"{allowed}"
        )
    found = {}
    for name, shape in shapes.items():
        array = named[name].astype(np.float64)
        if array.shape != shape:
            raise InputError(f"{field}: {name} has shape {array.shape}; allowed is {shape}")
        if not np.isfinite(array).all():
            raise InputError(f"{field}: {name} has numbers that are not finite")
        found[name] = array
    return found


def _named(field: str, given: Arrays) -> Sample:
    """Arrays of a dict by name; in dicts within it the name is the path."""
    found: Sample = {}
    for key, value in given.items():
        within = _named(f"{field}: {key}", value) if isinstance(value, Mapping) else None
        if within is None:
            if value is None:
                raise InputError(
                    f"{field}: {key} is None; allowed is an array (in PyTorch the gradient of what "
                    "backward() did not reach is None)"
                )
            within = {"": numbers(f"{field}: {key}", value)}
        for path, array in within.items():
            name = f"{key}/{path}" if path else str(key)
            if name in found:
                raise InputError(f"{field}: two arrays have the name {name!r}; rename one")
            found[name] = array
    return found


def _global_generators() -> dict[str, Any]:
    """State of each generator that belongs to the whole process."""
    states: dict[str, Any] = {
        "numpy's np.random": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "Python's random": random.getstate(),
    }
    if "torch" in sys.modules:
        states["torch's"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


def _refuse_unlike(first: Sample, again: Sample, used: list[str]) -> None:
    """Refuse a function that answers equal calls differently."""
    if _distance(first, again) <= REPEATABLE:
        return
    if used:
        reason = f"it draws from a global generator ({', '.join(used)})"
    else:
        reason = "it keeps a state, or draws from a generator of its own"
    raise InputError(
        f"update: two calls with the same arguments and equal generators differ: {reason}; "
        "draw from rng only, or seed from it what you draw from, and change nothing"
    )


def _distance(one: Sample, two: Sample) -> float:
    """Largest difference between two samples relative to their largest number."""
    largest = max(np.abs(array).max(initial=0.0) for s in (one, two) for array in s.values())
    apart = max(np.abs(one[name] - two[name]).max(initial=0.0) for name in one)
    return float(apart / largest) if largest else 0.0


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

"""Measure any Python function that estimates a gradient, whatever library it is written in."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausibench.architectures.network import CONSTANT, Activity, Network, Projection
from plausibench.architectures.synapses import BiasSynapse
from plausibench.bench.components.arguments import refuse_reserved
from plausibench.bench.measuring.exact import Exact
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.measurement import Measurement, from_exact, from_moments
from plausibench.bench.measuring.moments import Drawn, Moments
from plausibench.bench.measuring.quick import gradient
from plausibench.kernels.errors import InputError, flag, integer, refusal
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Directional
from plausibench.rules.foreign import (
    Arrays,
    Update,
    checked,
    drew,
    factor_of,
    global_states,
    named_arrays,
    refuse_changed,
    seeded,
)

Array = np.ndarray
Sample = dict[str, Array]
Reference = Arrays | Callable[[Arrays, Any], Arrays] | tuple[Network, Objective]

ARRAYS = "a dict of at least one array, such as dict(module.named_parameters())"
REPEATABLE = 1e-5
"""Relative difference between two calls with equal generators that rounding on several threads or
in single precision may make."""


@dataclass(frozen=True)
class Function:
    """A user's function at fixed parameters, batch and seed: its draws have numbers.

    Attributes
    ----------
    update, parameters, batch, seed
        As those of :func:`measure_function`.
    factor
        What every answer is multiplied by.
    seeds_globals
        Whether the global generators are seeded for every draw.
    before
        Copies of the parameters, by name.
    """

    update: Update
    parameters: Arrays
    batch: Any
    seed: int
    factor: float
    seeds_globals: bool
    before: Sample

    @classmethod
    def of(
        cls,
        update: Update,
        parameters: Arrays,
        batch: Any,
        seed: int,
        sign: str,
        scale: float,
        seeds_globals: bool,
    ) -> "Function":
        """Check the arguments and keep copies of the parameters.

        Raises
        ------
        InputError
            If one is not allowed.
        """
        seed = integer("seed", seed)
        factor = factor_of(sign, scale)
        seeds_globals = flag("seeds_globals", seeds_globals)
        if not callable(update):
            raise refusal("update", update, "a function of parameters, batch and rng")
        if not isinstance(parameters, Mapping) or not parameters:
            raise refusal("parameters", parameters, ARRAYS)
        before = {
            name: array.copy() for name, array in named_arrays("parameters", parameters).items()
        }
        for name, array in before.items():
            refuse_reserved("parameters", name)
            if not array.size:
                raise InputError(f"parameters: {name} has shape {array.shape}; leave it out")
        if not before:
            raise refusal("parameters", parameters, ARRAYS)
        return cls(update, parameters, batch, seed, factor, seeds_globals, before)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter."""
        return {name: array.shape for name, array in self.before.items()}

    def draw(self, number: int, finite: bool = True) -> Sample:
        """What the function answers, in its memory; ``finite`` as of :func:`checked`."""
        return self._drawn(generator(self.seed, "rule", "function", number), finite)

    def drawing(self, number: int) -> tuple[Sample, bool]:
        """A copy of an answer, and whether it took anything from its generator."""
        rng, fresh = (generator(self.seed, "rule", "function", number) for _ in range(2))
        sample = {name: array.astype(np.float64) for name, array in self._drawn(rng).items()}
        return sample, self.seeds_globals or drew(rng, fresh)

    def _drawn(self, rng: np.random.Generator, finite: bool = True) -> Sample:
        with seeded(rng, self.seeds_globals):
            answer = self.update(self.parameters, self.batch, rng)
        return checked("update", answer, self.shapes, None, finite)

    def sum_block(self, moments: Moments, index: int, valid: int, known: Sequence[Sample]) -> None:
        """Add a block of draws to their sums; the first ones of all are known.

        Raises
        ------
        InputError
            If one does not fit or is not finite, or the parameters have changed.
        """
        numbers = range(index * BLOCK, index * BLOCK + valid)
        factor = np.array([self.factor])

        def draws() -> Iterator[Drawn]:
            for number in numbers:
                sample = known[number] if number < len(known) else self.draw(number, finite=False)
                yield (
                    {name: Directional(factor, a.reshape(1, -1)) for name, a in sample.items()},
                    None,
                    None,
                )
                del sample  # its memory is for the next

        with np.errstate(over="ignore", invalid="ignore"):  # flagged where it is told
            sums = moments.streamed(draws(), index, valid, 1)
        assert sums is not None
        if not np.isfinite(sums.squares).all():
            # The sums tell without another pass: drawn again, the numbers that did it are refused.
            deque(map(self.draw, numbers), maxlen=0)
        moments.add(sums)
        self.check_unchanged()

    def check_unchanged(self, by: str = "update") -> None:
        """Refuse changed parameters.

        Raises
        ------
        InputError
            If one has changed.
        """
        refuse_changed(by, self.before, named_arrays("parameters", self.parameters))

    def first(self) -> tuple[Sample, bool]:
        """The first draw, refused if a second call with equal arguments answers differently."""
        first, took = self.drawing(0)
        self.check_unchanged()
        self.repeat(first)
        return first, took

    def repeat(self, first: Sample) -> None:
        """Draw the first sample again, and refuse one that differs.

        Raises
        ------
        Unrepeatable
            If it does, naming the global generators from which this call drew.
        """
        before = global_states()
        again = self.draw(0)
        after = global_states()
        refuse_unlike(first, again, [n for n, s in after.items() if s != before.get(n, s)])


def measure_function(
    update: Update,
    parameters: Arrays,
    batch: Any,
    samples: int = 2000,
    seed: int = 0,
    *,
    reference: Reference,
    sign: str = "gradient",
    scale: float = 1.0,
    seeds_globals: bool = False,
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
    scale
        What its answers are multiplied by, such as 1 / learning rate.
    seeds_globals
        Whether the global generators of PyTorch, numpy and Python are seeded from ``rng`` before
        every call, for functions that draw from them as dropout does. They are left as they were.

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
    function = Function.of(update, parameters, batch, seed, sign, scale, seeds_globals)
    shapes = function.shapes
    with one_blas_thread():
        g = checked("reference", _reference(reference, parameters, batch), shapes)
        function.check_unchanged("reference")
        first, drew = function.first()
        second, drew_again = function.drawing(1)
        about = {"redrawn": "rule", "reference": "gradient given"}
        if not (drew or drew_again) and apart(first, second) == 0:
            mean = {name: function.factor * array for name, array in first.items()}
            nothing = Exact(mean, dict.fromkeys(mean, 0.0), 1, "exact")
            return from_exact(nothing, g, {**about, "redrawn": "nothing"})
        moments = _moments(g)
        for index in range(-(-samples // BLOCK)):
            valid = min(BLOCK, samples - index * BLOCK)
            function.sum_block(moments, index, valid, (first, second))
        function.repeat(first)
    flat = from_moments(moments, g, samples, about)
    mean = {name: flat.mean[name].reshape(shape) for name, shape in shapes.items()}
    return Measurement(flat.rows, g, mean)


def _reference(reference: Reference, parameters: Arrays, batch: Any) -> Arrays:
    if isinstance(reference, tuple):
        if len(reference) != 2 or not isinstance(reference[0], Network):
            raise refusal("reference", reference, "a network and an objective")
        network, objective = reference
        shapes = {name: array.shape for name, array in network.parameters.items()}
        weights = checked("parameters", parameters, shapes)
        return gradient(network.with_parameters(weights), objective, batch)
    if callable(reference):
        given: Arrays = reference(parameters, batch)
        return given
    return reference


class Unrepeatable(InputError):
    """A function that answers equal calls differently."""


def refuse_unlike(first: Sample, again: Sample, used: Sequence[str]) -> None:
    """Refuse a function that answers equal calls differently.

    Raises
    ------
    Unrepeatable
        If it does, naming the global generators that moved.
    """
    if apart(first, again) <= REPEATABLE:
        return
    if used:
        reason = f"it draws from a global generator ({', '.join(used)})"
    else:
        reason = "it keeps a state, or draws from a generator of its own"
    raise Unrepeatable(
        f"update: two calls with the same arguments and equal generators differ: {reason}; "
        "draw from rng only, or seed from it what you draw from, and change nothing"
    )


def apart(one: Sample, two: Sample) -> float:
    """Largest difference between two samples relative to their largest number."""
    largest = max(np.abs(array).max(initial=0.0) for s in (one, two) for array in s.values())
    most = max(np.abs(one[name] - two[name]).max(initial=0.0) for name in one)
    return float(most / largest) if largest else 0.0


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

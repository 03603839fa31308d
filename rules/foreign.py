"""Rules that are a function of the weights, in any library: PyTorch, JAX, numpy, ..."""

import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, choose, number, positive, refusal, show
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State

Array = np.ndarray
Arrays = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]
Update = Callable[[Arrays, Any, np.random.Generator], Arrays]

SIGNS = {"gradient": 1.0, "descent": -1.0}
STREAM = "rule", "function"
"""Stream of the generators that functions are given, by the number of the sample."""
LONGEST = 60
"""Letters of a refused answer that are shown."""

_ONE_AT_A_TIME = threading.RLock()
"""Functions of users, and the global generators, are not made for several threads."""


class FunctionRule(Rule):
    """A rule whose estimate is a function of the network's weights, in whatever library.

    A rule of this kind defines :meth:`update`, or :meth:`updates` where one call can do many draws.
    It is run, checked, tabled and drawn like any other. Draws of such a function belong to the
    batch as a whole, not to its examples.
    """

    keyed: ClassVar[bool] = False

    sign: ClassVar[str] = "gradient"
    """``descent`` if the function goes against the gradient, as a change of the weights does."""

    scale: ClassVar[float] = 1.0
    """What the function's answers are multiplied by, such as 1 / learning rate."""

    seeds_globals: ClassVar[bool] = False
    """Whether the global generators of PyTorch, numpy and Python are seeded for every draw.

    For functions that draw from them, as dropout does. They are left as they were.
    """

    def update(
        self, parameters: dict[str, Array], batch: Batch, rng: np.random.Generator, state: State
    ) -> Arrays:
        """Return one array for each parameter, of its shape, from these arguments alone.

        Parameters
        ----------
        parameters
            Weights by name; not to be changed.
        batch
            With ``inputs`` (B, N) and ``targets``.
        rng
            Generator of this draw.
        state
            The rule's state, such as feedback weights; not to be changed.

        Raises
        ------
        InputError
            If the rule defines neither this nor ``updates``.
        """
        raise InputError(
            f"{type(self).__name__}: it has neither update(parameters, batch, rng, state) nor "
            "updates(parameters, batch, rngs, state); define one of them"
        )

    def updates(
        self,
        parameters: dict[str, Array],
        batch: Batch,
        rngs: Sequence[np.random.Generator],
        state: State,
    ) -> Arrays:
        """Return a draw for each generator, ``(S, *shape)`` per parameter, where it is defined.

        A block has no draw whose numbers global generators could be seeded with: ``seeds_globals``
        needs ``update``.
        """
        raise NotImplementedError

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Call the function for the samples, or once where the card says that nothing is drawn.

        Raises
        ------
        InputError
            If the function raises, an array has another name or shape or is not finite, parameters
            are changed, something is drawn against the card, or global generators are to be seeded
            for a block.
        """
        if self.in_blocks:
            return self._block(network, batch, state, noise)
        drawn = [
            {name: array.copy() for name, array in draw.items()}  # it may return one array always
            for draw in self.draws(network, batch, state, noise)
        ]
        if not self._drawing:
            return {name: Dense(array) for name, array in drawn[0].items()}
        return {name: Dense(np.stack([draw[name] for draw in drawn])) for name in drawn[0]}

    def draws(
        self, network: Network, batch: Batch, state: State, noise: Noise, finite: bool = True
    ) -> Iterator[dict[str, Array]]:
        """Draws one after the other, ``(*shape)`` per parameter: none is kept.

        ``finite`` says whether to refuse numbers that are not.

        Raises
        ------
        InputError
            As :meth:`estimate` does; of changed parameters, behind the last one.
        """
        where, parameters = f"{type(self).__name__}.update", network.parameters
        shapes = {name: array.shape for name, array in parameters.items()}
        before = {name: array.copy() for name, array in parameters.items()}
        for sample in noise.samples if self._drawing else noise.samples[:1]:
            rng = generator(noise.seed, *STREAM, int(sample))
            with _ONE_AT_A_TIME, _told(where), seeded(rng, self.seeds_globals):
                answer = self.update(parameters, batch, rng, state)
            if not self._drawing:
                refuse_drawn(where, rng, generator(noise.seed, *STREAM, int(sample)))
            yield self._scaled(checked(where, answer, shapes, network.dtype, finite), network)
            del answer  # its memory is for the next
        refuse_changed(where, before, parameters)

    def _block(self, network: Network, batch: Batch, state: State, noise: Noise) -> Estimates:
        """Draws of one call for all samples."""
        where, parameters = f"{type(self).__name__}.updates", network.parameters
        if self.seeds_globals:
            raise InputError(
                f"seeds_globals: {where} draws a block at once, and they are seeded for one draw; "
                "allowed is False, or update in place of updates"
            )
        samples = noise.samples if self._drawing else noise.samples[:1]
        rngs = [generator(noise.seed, *STREAM, int(sample)) for sample in samples]
        shapes = {name: (len(rngs), *array.shape) for name, array in parameters.items()}
        before = {name: array.copy() for name, array in parameters.items()}
        with _ONE_AT_A_TIME, _told(where):
            answer = self.updates(parameters, batch, rngs, state)
        refuse_changed(where, before, parameters)
        if not self._drawing:
            refuse_drawn(where, rngs[0], generator(noise.seed, *STREAM, int(samples[0])))
        found = self._scaled(checked(where, answer, shapes, network.dtype), network)
        return {name: Dense(array) for name, array in found.items()}

    def _scaled(self, answer: dict[str, Array], network: Network) -> dict[str, Array]:
        factor = self.factor
        return {
            name: (array if factor == 1 else factor * array).astype(network.dtype, copy=False)
            for name, array in answer.items()
        }

    @property
    def _drawing(self) -> bool:
        return bool(self.randomness() & {"rule", "action", "spike"})

    @property
    def factor(self) -> float:
        """What the function's answers are multiplied by: the scale, with the sign."""
        return factor_of(self.sign, self.scale)

    @property
    def in_blocks(self) -> bool:
        """Whether one call does many draws."""
        return type(self).updates is not FunctionRule.updates


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Tell whatever a function of a user's raises with the function's name."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where} raised {type(error).__name__}: {error}") from error


def from_step(step: Callable[..., Any], rate: float) -> Update:
    """Return the update of code that only moves its weights: what a step took from them / rate.

    Parameters
    ----------
    step
        Called as ``step(parameters, batch, rng)`` with copies of the parameters, numpy arrays by
        name. It changes them in place, or returns the new ones.
    rate
        Its learning rate.

    Returns
    -------
    function
        ``update(parameters, batch, rng)``, an estimate of the gradient, for ``measure_function``.

    Raises
    ------
    InputError
        If the rate is not positive. The update raises it where new parameters do not fit.
    """
    if not callable(step):
        raise refusal("step", step, "a function of parameters, batch and rng")
    rate = positive("rate", rate)

    def update(parameters: Arrays, batch: Any, rng: np.random.Generator) -> dict[str, Array]:
        before = named_arrays("parameters", parameters)
        after = {name: array.copy() for name, array in before.items()}
        returned = step(after, batch, rng)
        moved = after if returned is None else returned
        shapes = {name: array.shape for name, array in before.items()}
        new = checked("step", moved, shapes)
        return {name: (before[name] - array) / rate for name, array in new.items()}

    return update


def factor_of(sign: str, scale: float) -> float:
    """What a function's answers are multiplied by.

    Raises
    ------
    InputError
        If the sign is no word for one, or the scale is not a positive number.
    """
    return SIGNS[choose("sign", sign, tuple(SIGNS))] * positive("scale", number("scale", scale))


def checked(
    field: str,
    given: Any,
    shapes: Shapes,
    dtype: np.dtype | type | None = np.float64,
    finite: bool = True,
) -> dict[str, Array]:
    """Arrays of the expected names and shapes, of a floating-point type.

    Where that is None, it is float32 for what comes so, and float64 for all else. ``finite`` says
    whether to refuse numbers that are not.

    Raises
    ------
    InputError
        If a name is missing or too many, a shape is another, or a number is not finite.
    """
    named = named_arrays(field, given) if isinstance(given, Mapping) else {}
    if set(named) != set(shapes):
        had = ", ".join(sorted(named)) if isinstance(given, Mapping) else show(given, LONGEST)
        allowed = ", ".join(sorted(shapes))
        raise InputError(
            f"{field}: {had or 'an empty dict'} in place of a dict with one array for each of "
            f"{allowed}"
        )
    arrays = {}
    for name, shape in shapes.items():
        array = named[name]
        kind = dtype or (np.float32 if array.dtype == np.float32 else np.float64)
        with np.errstate(over="ignore"):  # refused below
            array = array.astype(kind, copy=False)
        if array.shape != shape:
            raise InputError(f"{field}: {name} has shape {array.shape}; allowed is {shape}")
        if finite and not _finite(array):
            raise InputError(f"{field}: {name} has numbers that are not finite")
        arrays[name] = array
    return arrays


def _finite(array: Array) -> bool:
    # A sum of numbers that are not finite is none; one that is may be too large.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def named_arrays(field: str, given: Arrays) -> dict[str, Array]:
    """Arrays of a dict by name; in dicts within it the name is the path.

    Raises
    ------
    InputError
        If one is None or no array of numbers, or two have one name.
    """
    arrays: dict[str, Array] = {}
    for key, value in given.items():
        within = named_arrays(f"{field}: {key}", value) if isinstance(value, Mapping) else None
        if within is None:
            if value is None:
                raise InputError(
                    f"{field}: {key} is None; allowed is an array (in PyTorch the gradient of what "
                    "backward() did not reach is None)"
                )
            within = {"": numbers(f"{field}: {key}", value)}
        for path, array in within.items():
            name = f"{key}/{path}" if path else str(key)
            if name in arrays:
                raise InputError(f"{field}: two arrays have the name {name!r}; rename one")
            arrays[name] = array
    return arrays


def refuse_changed(by: str, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """Refuse changed parameters: every sample would be of another gradient.

    Raises
    ------
    InputError
        If one differs.
    """
    for name, array in after.items():
        same = np.array_equal(before[name], array)  # which is quicker where nothing is NaN
        if not same and not np.array_equal(before[name], array, equal_nan=True):
            raise InputError(f"{by}: it changes the parameter {name}; work on a copy")


def refuse_drawn(by: str, rng: np.random.Generator, fresh: np.random.Generator) -> None:
    """Refuse a function that drew from its generator although its card says that nothing is drawn.

    Raises
    ------
    InputError
        If it did.
    """
    if drew(rng, fresh):
        raise InputError(
            f"{by}: it drew from rng, and its card says that it draws nothing; name 'rule' in "
            "randomness"
        )


def drew(rng: np.random.Generator, fresh: np.random.Generator) -> bool:
    """Whether a generator was drawn from, compared with a fresh one like it; draws from both."""
    return bool(rng.bit_generator.random_raw() != fresh.bit_generator.random_raw())


def global_states() -> dict[str, Any]:
    """State of each generator that belongs to the whole process, by whose it is."""
    states: dict[str, Any] = {
        "numpy's np.random": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "Python's random": random.getstate(),
    }
    if "torch" in sys.modules:
        states["torch's"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


@contextmanager
def seeded(rng: np.random.Generator, wanted: bool = True) -> Iterator[None]:
    """Seed the global generators from one number of ``rng``, and leave them as they were after."""
    if not wanted:
        yield
        return
    torch = sys.modules.get("torch")
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    tensor = None if torch is None else torch.get_rng_state()
    seed = int(rng.integers(2**32))
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
        if torch is not None:
            torch.set_rng_state(tensor)

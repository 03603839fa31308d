"""Optimisers: how a gradient estimate changes the parameters. They are no part of a rule."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.kernels import descent
from plausibench.kernels.errors import InputError, choose, number, positive, refusal
from plausibench.kernels.plain import PlainOptions, plain

Array = np.ndarray
Arrays = dict[str, Array]
Memory = dict[str, Arrays]

LayerRates = tuple[float, ...] | float

OPTIMISERS = ("sgd", "adam")


class Optimiser(metaclass=PlainOptions):
    """Turns estimates into changes; what it remembers is kept by the caller.

    Attributes
    ----------
    learning_rate
        Step size.
    weight_decay
        Every parameter loses this share times ``learning_rate`` in a step, apart from its change
        (Loshchilov & Hutter 2019).
    layer_rates
        Factors of the changes of the layers, from the first on; or one number, the factor of each
        layer over that before it. Empty for 1 everywhere. Decay has the same share everywhere.
    """

    learning_rate: float
    weight_decay: float
    layer_rates: LayerRates

    @property
    @abstractmethod
    def moments(self) -> tuple[str, ...]:
        """Parts of the memory that have an array of the parameter's shape for each parameter."""

    @property
    def decay(self) -> float:
        """Share that every parameter loses in a step."""
        return self.learning_rate * self.weight_decay

    def begin(self, memory: Memory, parameters: Mapping[str, Array]) -> None:
        """Begin a step: count it in the memory, which is filled with zeros before the first."""
        if not memory:
            memory["step"] = {"count": np.zeros(1)}
            for moment in self.moments:
                memory[moment] = {name: np.zeros_like(w) for name, w in parameters.items()}
        memory["step"]["count"] += 1

    @abstractmethod
    def update(
        self,
        name: str,
        weights: Array,
        change: Array,
        moments: Sequence[Array],
        memory: Memory,
        factor: float = 1.0,
    ) -> bool:
        """Move part of a parameter, in place.

        Parameters
        ----------
        name
            Of the parameter.
        weights
            The part, in one dimension.
        change
            Of its shape, with the estimate, which the change replaces; decay is left out of it.
        moments
            The same part of each of the ``moments`` in the memory, changed in place.
        memory
            Of a step that has begun.
        factor
            Of the change.

        Returns
        -------
        bool
            Whether the part is finite.
        """

    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        """Change to add to each parameter, and the memory for the next step, in new arrays."""
        memory = {part: {n: a.copy() for n, a in of.items()} for part, of in memory.items()}
        changes = {name: np.array(g, order="C") for name, g in estimate.items()}
        self.begin(memory, changes)
        for name, change in changes.items():
            flat, moments = change.reshape(-1), [memory[m][name].reshape(-1) for m in self.moments]
            self.update(name, np.zeros_like(flat), flat, moments, memory)
        return changes, memory


@dataclass(frozen=True)
class Sgd(Optimiser):
    """Stochastic gradient descent, with momentum on request (heavy ball, Polyak 1964).

    With momentum ``m`` a change is ``-learning_rate v``, where ``v <- m v + estimate``.
    """

    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    layer_rates: LayerRates = ()

    def __post_init__(self) -> None:
        _check(self)
        number("momentum", self.momentum, least=0, below=1)

    @property
    def moments(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def update(
        self,
        name: str,
        weights: Array,
        change: Array,
        moments: Sequence[Array],
        memory: Memory,
        factor: float = 1.0,
    ) -> bool:
        how = (1 - self.decay, self.learning_rate, factor)
        if self.momentum:
            (velocity,) = moments
            return descent.heavy_ball(weights, change, velocity, *how, self.momentum)
        return descent.plain(weights, change, *how)


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float
    weight_decay: float = 0.0
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8
    layer_rates: LayerRates = ()

    def __post_init__(self) -> None:
        _check(self)
        number("first", self.first, least=0, below=1)
        number("second", self.second, least=0, below=1)
        positive("epsilon", self.epsilon)

    @property
    def moments(self) -> tuple[str, ...]:
        return ("mean", "square")

    def update(
        self,
        name: str,
        weights: Array,
        change: Array,
        moments: Sequence[Array],
        memory: Memory,
        factor: float = 1.0,
    ) -> bool:
        steps, shares = float(memory["step"]["count"][0]), (self.first, self.second)
        left = _left(self.first, steps), _left(self.second, steps)
        how = (1 - self.decay, self.learning_rate, factor)
        mean, square = moments
        return descent.adam(weights, change, mean, square, *how, *shares, *left, self.epsilon)


@lru_cache(maxsize=16)  # asked for again by every part of the parameters
def _left(share: float, steps: float) -> float:
    """Weight that a running mean from zero has given to what came, after so many steps."""
    return float((1 - share ** np.array([steps]))[0])


def make_optimiser(
    name: str,
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    layer_rates: LayerRates = (),
) -> Optimiser:
    """Return the optimiser of a name.

    Raises
    ------
    InputError
        If the name is unknown, the rate is not positive, a step would lose a whole weight, the
        optimiser has no momentum, or a factor of a layer is not positive.
    """
    if choose("optimiser", name, OPTIMISERS) == "sgd":
        return Sgd(learning_rate, weight_decay, momentum, layer_rates)
    check_momentum(name, momentum)
    return Adam(learning_rate, weight_decay, layer_rates=layer_rates)


def check_momentum(optimiser: str, momentum: object) -> float:
    """The momentum as a float, if the optimiser of this name has one.

    Raises
    ------
    InputError
        If it is not from 0 to below 1, or not 0 with adam.
    """
    share = number("momentum", momentum, least=0, below=1)
    if share and optimiser == "adam":
        raise InputError(
            f"momentum: {share:g} is not allowed with adam, which has means of its own; "
            "take the optimiser sgd, or leave momentum out"
        )
    return share


def check_layer_rates(value: object) -> LayerRates:
    """Factors of layers as floats.

    Raises
    ------
    InputError
        If it is neither a positive number nor a list of positive numbers.
    """
    given: Any = plain(value)
    if isinstance(given, tuple):
        return tuple(positive("layer_rates", factor) for factor in given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise refusal("layer_rates", value, "a positive number or a list with one for each layer")
    return positive("layer_rates", given)


def layer_factors(network: Network, layer_rates: LayerRates) -> dict[str, float]:
    """Factor of the changes of every parameter of a network; empty where all are 1.

    A layer are the parameters of all projections onto a population.

    Raises
    ------
    InputError
        If the network has another number of layers.
    """
    if layer_rates == ():
        return {}
    onto = {p.target for p in network.projections}
    layers = [population.name for population in network.populations if population.name in onto]
    if isinstance(layer_rates, float):
        layer_rates = tuple(layer_rates**depth for depth in range(len(layers)))
    if len(layer_rates) != len(layers):
        raise InputError(
            f"layer_rates: {len(layer_rates)} factors do not fit a network of {len(layers)} "
            f"layers ({', '.join(layers)}); give one for each, or one number, the factor of each "
            "layer over that before it"
        )
    factors = dict(zip(layers, layer_rates, strict=True))
    return {p.name: factors[p.target] for p in network.projections}


def _check(optimiser: Optimiser) -> None:
    rate = positive("learning_rate", optimiser.learning_rate)
    number("weight_decay", optimiser.weight_decay, least=0, below=1 / rate)
    check_layer_rates(optimiser.layer_rates)

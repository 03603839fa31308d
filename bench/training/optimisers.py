"""Optimisers: how a gradient estimate changes the parameters. They are no part of a rule."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Network
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

    moments: ClassVar[tuple[str, ...]] = ()
    """Parts of the memory that have an array of the parameter's shape for each parameter."""

    @property
    def decay(self) -> float:
        """Share that every parameter loses in a step."""
        return self.learning_rate * self.weight_decay

    @abstractmethod
    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        """Change of each parameter before the factor of its layer, and the memory for the next."""


@dataclass(frozen=True)
class Sgd(Optimiser):
    """Stochastic gradient descent, with momentum on request (heavy ball, Polyak 1964).

    With momentum ``m`` a change is ``-learning_rate v``, where ``v <- m v + estimate``.
    """

    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    layer_rates: LayerRates = ()

    moments: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        _check(self)
        number("momentum", self.momentum, least=0, below=1)

    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        if self.momentum:
            before = memory.get("velocity")
            estimate = {
                name: self.momentum * before[name] + g if before else g.copy()
                for name, g in estimate.items()
            }
            memory = {"velocity": estimate}
        return {name: -self.learning_rate * g for name, g in estimate.items()}, memory


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float
    weight_decay: float = 0.0
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8
    layer_rates: LayerRates = ()

    moments: ClassVar[tuple[str, ...]] = ("mean", "square")

    def __post_init__(self) -> None:
        _check(self)
        number("first", self.first, least=0, below=1)
        number("second", self.second, least=0, below=1)
        positive("epsilon", self.epsilon)

    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        zero = {name: np.zeros_like(g) for name, g in estimate.items()}
        mean_before, square_before = memory.get("mean", zero), memory.get("square", zero)
        step = memory.get("step", {"count": np.zeros(1)})["count"] + 1
        mean, square, change = {}, {}, {}
        for name, g in estimate.items():
            mean[name] = self.first * mean_before[name] + (1 - self.first) * g
            square[name] = self.second * square_before[name] + (1 - self.second) * g * g
            unbiased = mean[name] / (1 - self.first**step)
            scale = np.sqrt(square[name] / (1 - self.second**step)) + self.epsilon
            change[name] = -self.learning_rate * unbiased / scale
        return change, {"mean": mean, "square": square, "step": {"count": step}}


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

"""Optimisers: how a gradient estimate changes the parameters. They are no part of a rule."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import choose, number, positive
from plausibench.kernels.plain import PlainOptions

Array = np.ndarray
Arrays = dict[str, Array]
Memory = dict[str, Arrays]

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
    """

    learning_rate: float
    weight_decay: float

    moments: ClassVar[tuple[str, ...]] = ()
    """Parts of the memory that have an array of the parameter's shape for each parameter."""

    @property
    def decay(self) -> float:
        """Share that every parameter loses in a step."""
        return self.learning_rate * self.weight_decay

    @abstractmethod
    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        """Change to add to each parameter, and the memory for the next step."""


@dataclass(frozen=True)
class Sgd(Optimiser):
    """Stochastic gradient descent."""

    learning_rate: float
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def change(self, estimate: Mapping[str, Array], memory: Memory) -> tuple[Arrays, Memory]:
        return {name: -self.learning_rate * g for name, g in estimate.items()}, memory


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float
    weight_decay: float = 0.0
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8

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


def make_optimiser(name: str, learning_rate: float, weight_decay: float = 0.0) -> Optimiser:
    """Return the optimiser of a name.

    Raises
    ------
    InputError
        If the name is unknown, the rate is not positive, or a step would lose a whole weight.
    """
    kind = Sgd if choose("optimiser", name, OPTIMISERS) == "sgd" else Adam
    return kind(learning_rate, weight_decay)


def _check(optimiser: Optimiser) -> None:
    rate = positive("learning_rate", optimiser.learning_rate)
    number("weight_decay", optimiser.weight_decay, least=0, below=1 / rate)

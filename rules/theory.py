"""Theory that a rule declares about itself, in a form that a certificate can measure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.network import Network
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State

Array = np.ndarray


@dataclass(frozen=True)
class Situation:
    """Where a claim is tested: a rule with its state, on a small network and batch."""

    rule: Rule
    network: Network
    objective: Objective
    batch: Batch
    state: State
    seed: int = 0

    def noise(self, first: int = 0, samples: int = 1) -> Noise:
        """Draws of so many samples, from the first one on."""
        numbers = np.arange(first, first + samples, dtype=np.int64)
        return Noise(self.seed, numbers, self.batch.keys, self.network.dtype)

    def draws(self, samples: int = 1) -> dict[str, Array]:
        """Samples of the estimate, ``(S, *shape)`` per parameter."""
        clean, noise = self.network.forward(self.batch.inputs), self.noise(samples=samples)
        formed = form(
            self.network,
            self.rule.estimate(self.network, self.objective, self.batch, clean, self.state, noise),
        )
        return {
            p.name: np.broadcast_to(formed[p.name], (samples, *p.synapse.shape))
            for p in self.network.projections
        }

    def reference(self) -> dict[str, Array]:
        """Gradient the rule is judged against."""
        clean = self.network.forward(self.batch.inputs)
        own = self.rule.reference(self.network, self.objective, self.batch, clean)
        return self.network.gradient(self.objective, self.batch, clean) if own is None else own


Expected = Callable[[Situation], dict[str, Array]]


@dataclass(frozen=True)
class Limit:
    """A condition under which one draw equals what is expected, in every parameter.

    Attributes
    ----------
    condition
        In plain text, such as ``B = W^T``.
    reach
        The situation changed so that the condition holds.
    tolerance
        Largest relative error of a parameter's array.
    expected
        What the draw equals, ``(*shape)`` per parameter; by default the rule's reference.
        Parameters left out are not compared.
    holds
        False for a negative control: the error must exceed the tolerance.
    """

    condition: str
    reach: Callable[[Situation], Situation]
    tolerance: float
    expected: Expected = Situation.reference
    holds: bool = True


@dataclass(frozen=True)
class Slope:
    """The error vanishes as a power of a small number, over its last decade.

    Attributes
    ----------
    condition
        In plain text, such as ``nudging -> 0``.
    reach
        The situation at a value of the small number.
    power
        Log-log slope of the relative error of the whole net, within 0.05.
    smallest
        The small number runs over a decade down to this.
    tolerance
        Largest relative error at the smallest value.
    expected
        What the draw tends to; by default the rule's reference.
    """

    condition: str
    reach: Callable[[Situation, float], Situation]
    power: float
    smallest: float
    tolerance: float
    expected: Expected = Situation.reference


@dataclass(frozen=True)
class Law:
    """Any other number that theory gives.

    Attributes
    ----------
    condition
        In plain text: what is measured, and where.
    measure
        Measured value, theoretical value, and how far apart they may be.
    """

    condition: str
    measure: Callable[[Situation], tuple[float, float, float]]


Claim = Limit | Slope | Law


def differences(at: Situation, step: float = 1e-5) -> dict[str, Array]:
    """Gradient of the batch's mean loss by central differences, one weight at a time.

    Raises
    ------
    InputError
        Where spikes, which have no derivative, stand between weights and loss.
    """
    if at.network.dynamics == "recurrent spiking":
        raise InputError("spikes have no derivative to take differences of")
    return differences_of(at.network, lambda network: network.loss(at.objective, at.batch), step)


def extrapolated(at: Situation, step: float = 5e-4) -> dict[str, Array]:
    """The same from differences at one step and at two: their error is of the fourth order.

    For rules whose own error is less than that of :func:`differences`.
    """
    near, far = differences(at, step), differences(at, 2 * step)
    return {name: (4 * array - far[name]) / 3 for name, array in near.items()}


def differences_of(
    network: Network, value: Callable[[Network], float], step: float = 1e-5
) -> dict[str, Array]:
    """Gradient of a function of the network by central differences, one weight at a time."""

    def moved(name: str, index: int, change: float) -> float:
        array = network.parameters[name].copy()
        array.reshape(-1)[index] += change
        return value(network.with_parameters({**network.parameters, name: array}))

    return {
        name: np.array(
            [(moved(name, i, step) - moved(name, i, -step)) / (2 * step) for i in range(w.size)]
        ).reshape(w.shape)
        for name, w in network.parameters.items()
    }


def squared_bias(at: Situation, count: int, groups: int = 20) -> tuple[float, float, float]:
    """Squared bias of so many draws, relative to |g|^2: for a :class:`Law` of an unbiased rule.

    Inner products between mean deviations of groups: their mean, 0, and 4 standard errors.
    """
    draws, exact = at.draws(count), at.reference()
    deviations = np.concatenate(
        [(draws[name] - g).reshape(count, -1) for name, g in exact.items()], axis=1
    )
    means = deviations.reshape(groups, count // groups, -1).mean(axis=1)
    pairs = (means @ means.T)[np.triu_indices(groups, 1)]
    length = sum(float((g * g).sum()) for g in exact.values())
    allowed = 4 * float(pairs.std(ddof=1)) / np.sqrt(pairs.size)
    return float(pairs.mean()) / length, 0.0, allowed / length

"""A network with neurons that draw their activity, and the gradient of its expected loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np

from plausibench.architectures.network import (
    CONSTANT,
    INPUT,
    Activity,
    Network,
    Population,
    Projection,
)
from plausibench.architectures.neurons import Bernoulli, Stochastic
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Sample(Activity):
    """A pass with drawn activity.

    Attributes
    ----------
    score
        Derivative of the log-probability of what was drawn with respect to the drive, per
        stochastic population.
    """

    score: dict[str, Array]


@dataclass(frozen=True, eq=False, repr=False)
class StochasticNetwork(Network):
    """A network in which some populations draw their activity, all by the same law.

    ``forward`` is the pass without noise, in which units do what they do on average (Bernoulli)
    or at the mean of their drive (gaussian); ``loss`` and ``gradient`` are those of the loss
    expected over draws.
    """

    @property
    def dynamics(self) -> str:
        return "stochastic"

    @cached_property
    def stochastic(self) -> tuple[Population, ...]:
        return tuple(each for each in self.populations if isinstance(each.neurons, Stochastic))

    @cached_property
    def spikes(self) -> bool:
        """Whether the stochastic units are Bernoulli units, with countable outcomes."""
        return all(isinstance(each.neurons, Bernoulli) for each in self.stochastic)

    @property
    def law(self) -> str:
        """Law of the numbers that a draw takes."""
        return "uniform" if self.spikes else "gaussian"

    def sample(self, inputs: Array, draws: Mapping[str, Array]) -> Sample:
        """Pass with drawn activity.

        Parameters
        ----------
        inputs
            ``(B, N_in)``.
        draws
            Numbers of the law, per stochastic population, ``(S, B, N)``.
        """
        ones = np.ones((inputs.shape[0], 1), dtype=inputs.dtype)
        activity, drive, score = {INPUT: inputs, CONSTANT: ones}, {}, {}
        for population in self.populations:
            name, neurons = population.name, population.neurons
            drive[name] = self._drive(name, activity, {})
            if isinstance(neurons, Stochastic):
                drive[name], activity[name], score[name] = neurons.sample(drive[name], draws[name])
            else:
                activity[name] = neurons.activate(drive[name])
        return Sample(drive, activity, activity[self.output.name], score)

    def outcomes(self, inputs: Array) -> tuple[Sample, Array]:
        """All outcomes of the draws, ``(K, B, N)``, and their weights ``(K, B)``.

        For K = 2^H states of Bernoulli units these are the probabilities. For gaussian units
        they are those of a cubature of degree 5, so that expectations err by order sigma^6.

        Raises
        ------
        InputError
            If there are too many units to enumerate.
        """
        sizes = [population.size for population in self.stochastic]
        reason = self.intractable()
        if reason is not None:
            raise InputError(reason)
        if self.spikes:
            points = np.array(list(product((0.0, 1.0), repeat=sum(sizes))))
            weights = np.ones(len(points))
        else:
            points, weights = cubature(sum(sizes))
        parts = np.split(points.astype(self.dtype)[:, None, :], np.cumsum(sizes)[:-1], axis=-1)
        draws = {each.name: part for each, part in zip(self.stochastic, parts, strict=True)}
        sample = self.sample(inputs, draws)
        chance = np.broadcast_to(weights[:, None], (len(points), len(inputs)))
        if self.spikes:
            for name, draw in draws.items():
                # A draw of 0 makes a unit spike, one of 1 keeps it silent.
                rate = sample.activity[name] - sample.score[name]
                chance = chance * np.where(draw < 0.5, rate, 1 - rate).prod(axis=-1)
        return sample, chance

    def loss(self, objective: Objective, batch: Batch) -> float:
        """Mean over the batch of the loss expected over draws."""
        sample, chance = self.outcomes(batch.inputs)
        return float((chance * objective.losses(sample.output, batch.targets)).sum() / batch.size)

    def gradient(
        self, objective: Objective, batch: Batch, clean: Activity | None = None
    ) -> dict[str, Array]:
        """Gradient of the expected loss: by scores for spikes, along the path for gaussians."""
        sample, chance = self.outcomes(batch.inputs)
        weight = (chance / batch.size)[..., None]
        error = {self.output.name: weight * objective.error(sample.output, batch.targets)}
        if self.spikes:
            posts = self.credit(sample, error, feedback={})
            losses = objective.losses(sample.output, batch.targets)[..., None]
            posts |= {name: weight * losses * score for name, score in sample.score.items()}
        else:
            posts = self.credit(sample, error)
        return {p.name: total(p, posts[p.target], sample.presynaptic(p)) for p in self.projections}


def total(projection: Projection, post: Array, pre: Array) -> Array:
    """Outer products summed over outcomes and examples, ``(*shape)``."""
    if pre.ndim == 2:
        return projection.synapse.outer(post.sum(axis=0), pre)
    rows = np.broadcast_to(post, (*pre.shape[:-1], post.shape[-1]))
    return projection.synapse.outer(
        rows.reshape(-1, post.shape[-1]), pre.reshape(-1, pre.shape[-1])
    )


def cubature(dimension: int) -> tuple[Array, Array]:
    """Points ``(K, dimension)`` and weights of degree 5 for a standard normal vector.

    The centre, two points on every axis and four in the plane of every pair (Stroud 1971);
    on one axis it is the Gauss-Hermite rule with three points.
    """
    n, one = dimension, np.eye(dimension)
    points, weights = [np.zeros(n)], [2 / (n + 2)]
    for row in one:
        for sign in (1, -1):
            points.append(sign * (n + 2) ** 0.5 * row)
            weights.append((4 - n) / (2 * (n + 2) ** 2))
    for first, second in combinations(one, 2):
        for sign, other in product((1, -1), repeat=2):
            points.append(((n + 2) / 2) ** 0.5 * (sign * first + other * second))
            weights.append(1 / (n + 2) ** 2)
    return np.array(points), np.array(weights)

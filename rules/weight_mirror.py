"""Weight mirror: feedback weights learn the forward weights from noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.kernels.errors import choose, flag, integer, number, positive
from plausibench.rules.noise import FOURTH_MOMENT, Noise
from plausibench.rules.random_feedback import (
    LayerwiseFeedback,
    learned,
    least_cosine,
    resting,
    symmetric,
)
from plausibench.rules.rule import Choices, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

MOMENTS = {"uniform": 1.8, **FOURTH_MOMENT}
"""Laws of the noise, with E x^4 at variance 1."""


@dataclass(frozen=True)
class WeightMirror(LayerwiseFeedback):
    """Weight mirror (Akrout, Wilson, Humphreys, Lillicrap & Tweed 2019).

    The weights learn by feedback alignment through B. After each step comes a mirror phase:
    the sources of every projection fire with noise x of their own, and B learns from the
    responses y of the targets, mean subtracted,

    ``B <- (1 - rate) B + rate / s^2 <x (y - <y>)^T>``,

    the rule of the paper with the learning rate and the decay tied, so that B tends to W^T
    where the response is linear with slope 1. The mean divides by the samples less one.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    samples
        Mirror samples in a step (128 in the code of the paper).
    rate
        Share of B that is replaced in a step.
    amplitude
        Standard deviation s of the noise (that of 0.1 (U(0, 1) - 1/2) in the code of the paper).
    noise
        Law of the noise: uniform, gaussian or rademacher.
    bias
        Whether the biases stay on in the mirror phase. Slopes then differ between neurons, and
        B tends to W^T times the slopes of the targets at their biases.
    """

    samples: int = 128
    rate: float = 0.1
    amplitude: float = 0.1 / 12**0.5
    noise: str = "uniform"
    bias: bool = True

    choices: ClassVar[Choices] = {"noise": tuple(MOMENTS)}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights learn by correlating noise with the response to it",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B <- (1 - rate) B + rate / s^2 <x (y - <y>)^T>,  y = f(W x + b)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="after many mirror samples, where the slopes of a layer at its biases are 1",
        variance_law=(
            "0 for given B; after n samples |B - W^T|^2 = (N_in - 2 + k4) / n |W|^2; over the "
            "first B that of a product of random matrices"
        ),
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; in the mirror phase the "
            "noise of its source and the mean-subtracted response of its target"
        ),
        forward_passes=3.0,
        cites="Akrout, Wilson, Humphreys, Lillicrap & Tweed 2019",
        notes=(
            "B is random after a mirror phase, but measuring holds it; the code of the paper "
            "leaves the mean of y in and lets B grow, its learning rate and decay being free; "
            "the default of rate is ours"
        ),
        unverified="mirroring with drifting biases as in the published code",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("samples", self.samples, least=2)
        number("rate", self.rate, above=0, most=1)
        positive("amplitude", self.amplitude)
        choose("noise", self.noise, tuple(MOMENTS))
        flag("bias", self.bias)

    def advance(self, state: State, step: Step) -> State:
        network = step.network
        mirrored = {}
        for p in network.returning:
            x = self.amplitude * self._drawn(step.noise, p, network.population(p.source).size)
            drive = p.synapse.drive(network.parameters[p.name], x) + self._resting(network, p)
            response = network.population(p.target).neurons.activate(drive)
            response -= response.mean(axis=0)
            seen = p.synapse.outer(response / ((self.samples - 1) * self.amplitude**2), x)
            mirrored[p.name] = (1 - self.rate) * state[p.name] + self.rate * p.synapse.transpose(
                seen
            )
        return mirrored

    def _drawn(self, noise: Noise, p: Projection, size: int) -> Array:
        """Mirror noise of unit variance ``(samples, N_in)``; every projection has its own."""
        name = f"mirror.{p.name}"
        shape = {name: np.empty((self.samples, size))}
        if self.noise == "uniform":
            return (noise.fractions(shape, shared=True)[name][0] - 0.5) * 12**0.5
        return noise.parameters(shape, self.noise)[name][0]

    def _resting(self, network: Network, p: Projection) -> Array | float:
        """Drive of the targets by the biases that are on."""
        return resting(network, p.target) if self.bias else 0.0

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "|B - W^T D|^2 / |W^T D|^2 over (N_in - 2 + k4) / n, n = 10^4, D the slopes",
                self._error,
            ),
            Law("cosine of B with W^T D after 10^4 mirror samples", self._direction),
        )

    def _error(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, samples=10_000, rate=1.0, amplitude=1e-4)
        found = expected = 0.0
        for seed in range(100):
            state = learned(replace(at, rule=rule, seed=seed), 1)
            goals = rule.goals(at.network)
            for p in at.network.returning:
                law = (p.synapse.factors[1] - 2 + MOMENTS[self.noise]) / rule.samples
                found += float(np.sum((state[p.name] - goals[p.name]) ** 2))
                expected += law * float(np.sum(goals[p.name] ** 2))
        return found / expected, 1.0, 0.2

    def _direction(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, samples=10_000, rate=1.0)
        state = learned(replace(at, rule=rule), 1)
        return least_cosine(state, rule.goals(at.network)), 1.0, 1e-3

    def goals(self, network: Network) -> State:
        """What B tends to as the noise gets small: W^T times the slopes of the targets."""
        goals = {}
        for p in network.returning:
            target = network.population(p.target)
            at_rest = np.zeros((1, target.size)) + self._resting(network, p)
            slope = target.neurons.slope(at_rest, target.neurons.activate(at_rest))
            weights = p.synapse.transpose(network.parameters[p.name])
            goals[p.name] = weights * slope
        return goals

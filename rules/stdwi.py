"""Spike-timing-dependent weight inference: feedback weights learn what came before a spike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import erfc, exp, pi
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.kernels.errors import InputError, flag, integer, number, positive
from plausibench.objectives.objective import Objective
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import (
    LayerwiseFeedback,
    learned,
    least_cosine,
    single,
    symmetric,
    transposed,
)
from plausibench.rules.rule import RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

THRESHOLD, RESET = 1.0, -1.0
"""Potential at which a neuron spikes, and after it has (those of the paper); rest is 0."""


@dataclass(frozen=True)
class Stdwi(LayerwiseFeedback):
    r"""Spike-timing-dependent weight inference (Ahmad, Ambrogioni & van Gerven 2020).

    The weights learn by feedback alignment through B. After each step comes a spiking phase for
    every projection between layers. Its sources spike at random; its targets are leaky
    integrate-and-fire neurons that sum these spikes through the weights. Each synapse keeps a
    trace of the spikes of its source, a fast average of them less a slow one. When the target k
    spikes the trace x_i says whether source i spiked more than usual just before, and

    .. math:: B_{ik} \leftarrow B_{ik} + \eta (x_i - \lambda B_{ik}),

    taken here for all spikes of a phase at once: B moves by ``rate`` towards the mean of the
    traces at the spikes of k, over :math:`\lambda`. Here :math:`\lambda` is chosen so that B tends
    to W^T for weak synapses and neurons without reset. A target without spikes keeps its B.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    rate
        Share of B that is replaced in a step.
    steps, windows
        Steps of time of a phase, and windows of this length that run side by side.
    activity
        Probability that a source spikes in a step.
    amplitude
        Potential that a spike causes through a weight of 1, in units of the threshold.
    noise
        Standard deviation of the noise by which the potential of a target reaches threshold.
    fast, slow, membrane
        Time constants of the averages and of the potential, in steps.
    reset
        Whether a spike resets the potential, as in the paper. Then B tends to a multiple of W^T.
    """

    rate: float = 0.1
    steps: int = 100
    windows: int = 32
    activity: float = 0.1
    amplitude: float = 0.5
    noise: float = 0.5
    fast: float = 8.0
    slow: float = 40.0
    membrane: float = 4.0
    reset: bool = True

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights learn which spikes below came just before a spike above",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B_ik <- (1 - rate) B_ik + rate / lambda <x_i at spikes of k>,  x = fast - slow trace"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "after many spikes, as amplitude -> 0, without reset; with reset B tends to a multiple "
            "of W^T"
        ),
        variance_law=(
            "0 for given B; after n spikes of a target |B - W^T|^2 = N_in var(x) / (n lambda^2); "
            "over the first B that of a product of random matrices"
        ),
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; in the spiking phase the spikes "
            "of its source, in two traces, and when its target spikes"
        ),
        forward_passes=3.0,
        cites="Ahmad, Ambrogioni & van Gerven 2020",
        phases="forward, then backward, then a spiking phase for each projection",
        notes=(
            "the paper infers weights of a network that does not learn: training by what is "
            "inferred is ours; neurons spike in a phase of its own only, without biases, and the "
            "slopes of the trained neurons play no part in it; sources are Poisson neurons, where "
            "the paper drives them by others, and part of the noise is the target's own; time "
            "constants are those of the code at steps of 5 ms; B is random after a phase, but "
            "measuring holds it; lambda, rate and lengths are ours"
        ),
        unverified=(
            "the paper's own figures, whose neurons are stimulated in groups; the equation is that "
            "of the authors' code, the derivation is from memory"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        number("rate", self.rate, above=0, most=1)
        integer("steps", self.steps, least=1)
        integer("windows", self.windows, least=1)
        number("activity", self.activity, above=0, below=1)
        number("noise", self.noise, least=0.05)  # below it no spike is likely
        for field in ("amplitude", "fast", "slow", "membrane"):
            positive(field, getattr(self, field))
        flag("reset", self.reset)
        if self.fast >= self.slow:
            raise InputError(
                f"fast: {self.fast:g} is not below slow ({self.slow:g}), of which it tells a "
                "recent change"
            )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.returning:
            if not p.synapse.separable:
                return f"stdwi learns whole matrices, which {p.name} has not"
        return super().unsupported(network, objective)

    def advance(self, state: State, step: Step) -> State:
        network, new = step.network, {}
        for p in network.returning:
            sent, unrest = self._drawn(step.noise, p, network)
            received = p.synapse.drive(network.parameters[p.name], sent)
            fired, trace = self._fired(received, unrest), self._trace(sent)
            total = p.synapse.transpose(
                p.synapse.outer(
                    fired.reshape(-1, fired.shape[-1]), trace.reshape(-1, trace.shape[-1])
                )
            )
            spikes = fired.sum(axis=(0, 1))
            share = self.rate * (spikes > 0)
            inferred = total / (np.maximum(spikes, 1) * self.decay())
            mixed = (1 - share) * state[p.name] + share * inferred
            new[p.name] = mixed.astype(network.dtype, copy=False)
        return new

    def _drawn(self, noise: Noise, p: Projection, network: Network) -> tuple[Array, Array]:
        """Spikes of the sources and noise of the targets, ``(steps, windows, N)``."""
        spikes, unrest = f"stdwi.{p.name}.spikes", f"stdwi.{p.name}.noise"
        shape = (self.steps, self.windows)
        below = np.empty((*shape, network.population(p.source).size))
        above = np.empty((*shape, network.population(p.target).size))
        sent = noise.fractions({spikes: below}, shared=True)[spikes][0] < self.activity
        drawn = noise.parameters({unrest: above})[unrest][0]
        return sent.astype(network.dtype), self.noise * drawn

    def _fired(self, received: Array, unrest: Array) -> Array:
        """Spikes of the targets, from what they receive and their noise, all of one shape."""
        kept, fired = exp(-1 / self.membrane), np.empty_like(received)
        potential = np.zeros_like(received[0])
        for time, arriving in enumerate(received):
            potential = kept * potential + self.amplitude * arriving
            fired[time] = potential + unrest[time] >= THRESHOLD
            if self.reset:
                potential[fired[time] > 0] = RESET
        return fired

    def _trace(self, sent: Array) -> Array:
        """Fast less slow average of spikes; it begins at its mean, which is 0."""
        quick, slow, level = self._averages()
        mean = self.activity / (1 - quick)
        fast_trace = slow_trace = np.full_like(sent[0], mean)
        trace = np.empty_like(sent)
        for time, spikes in enumerate(sent):
            fast_trace = quick * fast_trace + spikes
            slow_trace = slow * slow_trace + level * spikes
            trace[time] = fast_trace - slow_trace
        return trace

    def _averages(self) -> tuple[float, float, float]:
        """What a step leaves of either average, and the level at which they have one mean."""
        quick, slow = exp(-1 / self.fast), exp(-1 / self.slow)
        return quick, slow, (1 - slow) / (1 - quick)

    def decay(self) -> float:
        """lambda: mean trace at a spike for a weight of 1, to first order and without reset."""
        z = THRESHOLD / self.noise
        density = exp(-(z**2) / 2) / (2 * pi) ** 0.5
        return self._covariance() * density / self.noise / self.chance()

    def chance(self) -> float:
        """Of a target to spike in a step, by its noise alone."""
        return erfc(THRESHOLD / self.noise / 2**0.5) / 2

    def _covariance(self) -> float:
        """Between the trace of a source and what it adds to a potential, mean over a window."""
        lags = np.arange(self.steps)
        by_lag = exp(-1 / self.membrane) ** lags * self._filter()
        return (
            self.amplitude * self.activity * (1 - self.activity) * float(np.cumsum(by_lag).mean())
        )

    def variance(self) -> float:
        """Of a trace, mean over a window."""
        return self.activity * (1 - self.activity) * float(np.cumsum(self._filter() ** 2).mean())

    def _filter(self) -> Array:
        """Trace of a spike so many steps later, ``(steps,)``."""
        quick, slow, level = self._averages()
        lags = np.arange(self.steps)
        return quick**lags - level * slow**lags

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "amplitude 0.05, without reset: B regressed on W^T, 2 x 10^5 steps", self._regressed
            ),
            Law(
                "amplitude 0.01, without reset: |B - W^T|^2 over N_in var(x) / (n lambda^2)",
                self._error,
            ),
            Law("amplitude 0.1, with reset: cosine of B with W^T, 2 x 10^5 steps", self._turn),
        )

    def _regressed(self, at: Situation) -> tuple[float, float, float]:
        found = _odd(replace(self, amplitude=0.05, reset=False), at)
        goals = transposed(at.network)
        product = sum(float(np.sum(found[name] * goal)) for name, goal in goals.items())
        return product / sum(float(np.sum(goal**2)) for goal in goals.values()), 1.0, 0.05

    def _turn(self, at: Situation) -> tuple[float, float, float]:
        found = _odd(replace(self, amplitude=0.1, reset=True), at)
        return least_cosine(found, transposed(at.network)), 1.0, 0.02

    def _error(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, rate=1.0, amplitude=0.01, reset=False, steps=200, windows=10)
        spikes = rule.steps * rule.windows * rule.chance()
        apart, law, at = 0.0, 0.0, single(at)
        for seed in range(100):
            state = learned(replace(at, rule=rule, seed=seed), 1)
            for name, goal in transposed(at.network).items():
                apart += float(np.sum((state[name] - goal) ** 2))
                law += goal.size * rule.variance() / rule.decay() ** 2 / spikes
        return apart / law, 1.0, 0.1


def _odd(rule: Stdwi, at: Situation) -> State:
    """Half of what B becomes through W less what it becomes through -W, with the same draws.

    Most spikes are the same in both, so that most of the noise goes, and terms of even order too.
    """
    single(at)  # every projection has a phase of its own: more of them say no more
    rule = replace(rule, rate=1.0, steps=500, windows=400)
    opposite = {name: -array for name, array in at.network.parameters.items()}
    one, other = (
        learned(replace(at, rule=rule, network=network), 1)
        for network in (at.network, at.network.with_parameters(opposite))
    )
    return {name: (one[name] - other[name]) / 2 for name in one}

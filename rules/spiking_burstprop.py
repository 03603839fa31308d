"""Burstprop with spikes: ensembles of neurons whose events and bursts are drawn."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
from scipy.special import ndtri, pdtr

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.bursting import Bursting, events_of, lowest
from plausibench.rules.estimate import Estimates, Outer, form
from plausibench.rules.layers import in_double
from plausibench.rules.noise import Noise
from plausibench.rules.rule import RuleCard, State
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray

LARGEST = 2**21
"""Numbers in an array over neurons, beyond which samples are drawn apart."""

HUGE = 2.0**30
"""Means beyond which rounding of the distribution function is no better than an expansion."""


@dataclass(frozen=True)
class SpikingBurstprop(Bursting):
    r"""Burst-dependent plasticity with spikes (Payeur, Guerguiev, Zenke et al. 2021).

    As ``burstprop``, but every unit is an ensemble of M neurons. In a window of time each has a
    Poisson number E of events, with the rate e of the unit, and each event is a burst with
    probability :math:`p^t` under teaching. What moves synapses, and what the layer below
    receives, is the mean over the ensemble of

    .. math:: B - p E,

    bursts B less those expected of the events without teaching.

    Parameters
    ----------
    burst_probability, nudging, feedback, inhibition, scale
        As for ``burstprop``; feedback is random by default, as in the paper.
    units
        Neurons M in the ensemble of a unit. Drawn events are M times the rate of the unit, about 1
        in the middle of its range: as many as in the published simulations, 8 000 to 40 000, by
        default. With 100 the noise keeps hidden layers from learning.
    """

    feedback: str = "random"
    units: int = 20_000

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return as bursts, drawn event by event in ensembles of neurons",
        family="dendrites",
        equation=(
            "post_l = -<B - p E> 4^(L-l) / (nu p_0),  B ~ Poisson(p^t e),  "
            "E - B ~ Poisson((1 - p^t) e),  pre_l = a_(l-1)"
        ),
        randomness=frozenset({"feedback", "spike"}),
        unbiased=False,
        exact_when="Y = W^T and ideal inhibition, many neurons, then nudging -> 0",
        variance_law=(
            "over units^(-1); of one factor <B - p E>, given what comes from above: "
            "((1 - p)^2 p^t + p^2 (1 - p^t)) e / units"
        ),
        synapse_knows=(
            "pre, events and bursts of its neuron, and its probability of a burst without "
            "teaching; symmetric feedback also needs the transposed weights above"
        ),
        forward_passes=4.0,
        no_more_than_readout=(
            "on digits after 500 steps with random feedback: a little above the null on "
            "average, not told apart from it by five seeds. With symmetric feedback it is "
            "above the null, so that what holds it back is the feedback"
        ),
        cites="Payeur, Guerguiev, Zenke, Richards & Naud 2021",
        notes=(
            "Noise from above passes through the logistic function, so that two layers or more "
            "below what is drawn the mean differs from that of burstprop by a share of order 1 / "
            "units. A small nudging leaves the noise as it is and the signal small: the relative "
            "variance grows as nudging^(-2). An output without a lowest activity has no events, "
            "and its burst rate is not drawn. The layer below receives B - p E, where in the paper "
            "it receives the bursts themselves, and the events that go up have no noise: the "
            "forward pass is that of the net. Rates of bursts are kept between 0 and that of the "
            "events. In the paper neurons fire in time and estimate p by a running mean; here "
            "each window is drawn on its own, and p is known. In trials of 500 steps on digits "
            "hidden layers learned with symmetric feedback; with random feedback, to which the "
            "weights of two layers do not align in so few steps, they did not help"
        ),
        unverified=(
            "dynamics in time, with bursts told from events by their intervals and a running mean"
            " of p; the learning of Y"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("units", self.units, least=1)

    def randomness(self) -> frozenset[str]:
        feedback = self.feedback == "random"
        return self.card.randomness if feedback else frozenset({"spike"})

    def respond(self, noise: Noise, name: str, base: Array, change: Array, events: Array) -> Array:
        taught = np.clip(base * events + change, 0, events)
        examples, size = events.shape
        arrays = {f"{kind}.{name}": np.empty((examples, size)) for kind in ("burst", "event")}
        # The spikes of all neurons of an ensemble together are Poisson again.
        bursts, singles = (
            poisson(drawn, self.units * rate) / self.units
            for drawn, rate in zip(
                noise.spikes(arrays).values(), (taught, events - taught), strict=True
            )
        )
        return (1 - base) * bursts - base * singles

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        # Double precision: where a number of spikes turns over does not depend on the type.
        double, exact, passed = in_double(network, batch, clean)
        widest = max(population.size for population in network.populations)
        together = max(1, LARGEST // (batch.size * widest))
        parts = []
        for some in np.split(noise.samples, range(together, noise.samples.size, together)):
            drawn = replace(noise, samples=some, dtype=np.dtype(float))
            found = super().estimate(double, objective, exact, passed, state, drawn)
            parts.append({name: one.post for name, one in found.items() if isinstance(one, Outer)})
        estimates: Estimates = {}
        for p in network.projections:
            posts = [part[p.name] for part in parts]
            # An output that is not drawn has no sample axis.
            post = np.concatenate(posts) if posts[0].ndim == 3 else posts[0]
            estimates[p.name] = Outer(post.astype(network.dtype), clean.presynaptic(p))
        return estimates

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("variance with 50 neurons in an ensemble over that with 200", self._ratio),
            Law("highest layer that is drawn: variance over its law", self._variance),
            Law("highest layer that is drawn: mean along that of burstprop", self._mean),
        )

    def _ratio(self, at: Situation) -> tuple[float, float, float]:
        few, many = (
            sum(float(array.var(axis=0).sum()) for array in draws.values())
            for draws in (
                replace(at, rule=replace(self, units=units)).draws(1000) for units in (50, 200)
            )
        )
        return few / many, 4.0, 0.3

    def _variance(self, at: Situation) -> tuple[float, float, float]:
        found = expected = 0.0
        for array, _, variance in self._highest(at, 4000):
            found, expected = found + float(array.var(axis=0).sum()), expected + variance
        return found / expected, 1.0, 0.05

    def _mean(self, at: Situation) -> tuple[float, float, float]:
        """Within 4 standard errors, from 4000 draws."""
        along, square = np.zeros(4000), 0.0
        for array, rates, _ in self._highest(at, 4000):
            along += (array * rates).reshape(4000, -1).sum(axis=1)
            square += float(np.sum(rates**2))
        error = float(along.std(ddof=1)) / along.size**0.5
        return float(along.mean()) / square, 1.0, 4 * error / square

    def _highest(self, at: Situation, samples: int) -> list[tuple[Array, Array, float]]:
        """Draws, array without draws, and variance by its law, of projections to this layer."""
        rule = replace(self, burst_probability=0.2, nudging=1.0, units=20, inhibition="ideal")
        rule = replace(rule, scale="none")
        network, batch = at.network, at.batch
        clean = network.forward(batch.inputs)
        options = {field.name: getattr(rule, field.name) for field in fields(Bursting)}
        plain = Bursting(**options)
        given = plain.estimate(network, at.objective, batch, clean, at.state, at.noise())
        rates = form(network, given)
        drawn = replace(at, rule=rule).draws(samples)
        top = network.output
        if lowest(top) is not None:
            layers, base = [top], rule.burst_probability
        else:
            above = {each.name: network.outgoing[each.name] for each in network.hidden}
            layers = [
                each
                for each in network.hidden
                if {p.target for p in above[each.name]} == {top.name}
            ]
            base = 0.5
        found = []
        for population in layers:
            events = events_of(population, clean)
            for p in network.incoming[population.name]:
                one = given[p.name]
                assert isinstance(one, Outer)
                taught = base * events - batch.size * one.post
                each = (1 - base) ** 2 * taught + base**2 * (events - taught)
                lengths = np.diagonal(p.synapse.pre_gram(clean.presynaptic(p)))
                variance = float(each.sum(axis=1) @ lengths) / (rule.units * batch.size**2)
                found.append((drawn[p.name], rates[p.name], variance))
        return found


def poisson(uniform: Array, rate: Array) -> Array:
    """Poisson numbers by inversion: the smallest whose distribution function exceeds ``uniform``.

    The expansion of the quantile about the normal distribution (Cornish & Fisher 1938) is off by
    one at most but for the smallest means, and the distribution function itself corrects it: a
    number costs the same whatever its mean. Means above ``HUGE`` are left to the expansion, which
    errs for fewer than one number in 10^6.

    Parameters
    ----------
    uniform
        In [0, 1), multiples of 2^-53; 0 stands for all that is below the next of them.
    rate
        Means, of a shape that broadcasts with it.
    """
    rate = np.broadcast_to(rate, uniform.shape)
    chance = np.maximum(uniform, 2.0**-54)
    z, spread = ndtri(chance), np.sqrt(rate)
    skewed = (z**2 - 1) / 6 + (z - z**3) / (72 * np.maximum(spread, 1))
    count = np.maximum(np.ceil(rate + spread * z + skewed - 0.5), 0)
    corrected = rate <= HUGE
    while (few := corrected & (pdtr(count, rate) <= chance)).any():
        count += few
    while (many := corrected & (count > 0) & (pdtr(count - 1, rate) > chance)).any():
        count -= many
    return count

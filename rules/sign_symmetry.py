"""Sign symmetry: feedback weights share the signs of the forward weights, not their sizes."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.kernels.errors import choose, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import fans
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

VARIANTS = ("uniform", "fixed", "batchwise")
MAGNITUDES = ("inflow", "initial")


@dataclass(frozen=True)
class SignSymmetry(Rule):
    """Sign-symmetric feedback (Liao, Leibo & Poggio 2016; Moskovitz et al. 2018).

    The error returns through ``V = M o sign(W^T)``, with the signs of the weights of now.

    Parameters
    ----------
    variant
        The magnitudes M: all alike (``uniform``), drawn once (``fixed``; the state holds them
        ``(N_in, N_out)`` under the projection's name), or drawn for every batch
        (``batchwise``).
    scale
        Factor of all magnitudes.
    magnitudes
        ``inflow``: M is ``scale / N_in^(1/2)``, or uniform from 0 to that, for neurons with N_in
        synapses from the layer below (Xiao et al. 2018): those of its receptive field, where it has
        one. ``initial``: M is ``scale`` times the root of the mean square of the layer's first
        weights, or uniform from 0 to ``3^(1/2)`` times that, which has the same mean square
        (Sanfiz & Akrout 2021). The state holds that root ``(1,)``, under the projection's name
        with ``.magnitude``.
    """

    variant: str = "uniform"
    scale: float = 1.0
    magnitudes: str = "inflow"

    choices: ClassVar[Choices] = {"variant": VARIANTS, "magnitudes": MAGNITUDES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through weights with the right signs and other magnitudes",
        family="fixed feedback",
        equation=(
            "post_L = delta_L,  post_l = (M_(l+1) o sign(W_(l+1)^T) post_(l+1)) f_l'(z_l),  "
            "pre_l = a_(l-1)"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="M = |W^T|, as where all weights of a layer have one magnitude",
        variance_law=(
            "0, but batchwise M^2 / 12 f_l'^2 ||delta||^2 for a neuron below the output, M the "
            "largest magnitude"
        ),
        synapse_knows="pre, slope of its neuron, the errors above through weights of equal sign",
        forward_passes=3.0,
        cites=(
            "Liao, Leibo & Poggio 2016; Moskovitz, Litwin-Kumar & Abbott 2018; Xiao, Chen, Liao "
            "& Poggio 2018; Sanfiz & Akrout 2021"
        ),
        notes=(
            "first weights are those on which the state is made, trained ones where a measurement "
            "begins there; "
            "the sign of 0 is 0: weights that start at zero return nothing; the batch "
            "normalisation and the update by signs of Liao et al. are not part of it"
        ),
        unverified=(
            "the norms of V set to those of W (Moskovitz et al. 2018); batch normalisation and "
            "updates by signs (Liao et al. 2016)"
        ),
    )

    def __post_init__(self) -> None:
        choose("variant", self.variant, VARIANTS)
        positive("scale", self.scale)
        choose("magnitudes", self.magnitudes, MAGNITUDES)

    def randomness(self) -> frozenset[str]:
        source = {"uniform": (), "fixed": ("feedback",), "batchwise": ("rule",)}[self.variant]
        return frozenset(source)

    def initial_state(self, network: Network, seed: int) -> State:
        state = {}
        for p in network.returning:
            if self.magnitudes == "initial":
                root = np.mean(np.square(network.parameters[p.name])) ** 0.5
                state[f"{p.name}.magnitude"] = np.array([root], network.dtype)
            if self.variant == "fixed":
                shape = p.synapse.transpose(network.parameters[p.name]).shape
                draw = generator(seed, "feedback", p.name).uniform(0, 1, shape)
                state[p.name] = (self.largest(network, p, state) * draw).astype(network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        return {
            **feedback_axes(network),
            **{f"{p.name}.magnitude": (None,) for p in network.returning},
        }

    def largest(self, network: Network, p: Projection, state: State) -> float:
        """Magnitude for a projection, or the largest one."""
        if self.magnitudes == "initial":
            spread = 1.0 if self.variant == "uniform" else 3**0.5
            return float(self.scale * spread * state[f"{p.name}.magnitude"][0])
        matrix = p.synapse.transpose(network.parameters[p.name])
        return float(self.scale / fans(matrix)[0] ** 0.5)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        weights = {p.name: network.parameters[p.name] for p in network.returning}
        drawn: dict[str, Array] = {}
        if self.variant == "batchwise":
            drawn = noise.fractions(weights, shared=True)
        feedback = {}
        for p in network.returning:
            if self.variant == "fixed":
                magnitude: Array | float = p.synapse.untranspose(state[p.name])
            else:
                magnitude = self.largest(network, p, state)
                if p.name in drawn:
                    magnitude = magnitude * drawn[p.name]
            feedback[p.name] = magnitude * np.sign(weights[p.name])
        error = objective.batch_error(clean.output, batch)
        signals = network.credit(clean, {network.output.name: error}, feedback)
        return outers(network, clean, signals)

    def theory(self) -> tuple[Claim, ...]:
        biased = Limit("other magnitudes: biased", lambda at: at, tolerance=0.1, holds=False)
        if self.variant == "uniform":
            return Limit("equal |W| in a layer: backpropagation", self._equal, 1e-14), biased
        if self.variant == "fixed":
            return Limit("M = |W^T|: backpropagation", _matched, 1e-14), biased
        return (
            Law("variance onto the top hidden layer, over its closed form", self._spread),
            Law(
                "mean onto the top hidden layer: distance to half the largest magnitude", self._mean
            ),
        )

    def _equal(self, at: Situation) -> Situation:
        weights = dict(at.network.parameters)
        for p in at.network.returning:
            weights[p.name] = self.largest(at.network, p, at.state) * np.sign(weights[p.name])
        return replace(at, network=at.network.with_parameters(weights))

    def _spread(self, at: Situation) -> tuple[float, float, float]:
        draws, expected = self._top(at)
        return float(draws.var(axis=0, ddof=1).sum() / expected), 1.0, 0.04

    def _mean(self, at: Situation) -> tuple[float, float, float]:
        draws, variance = self._top(at)
        # The largest magnitude of numbers that vary is not the one of those that do not.
        above = at.network.outgoing[at.network.hidden[-1].name][0]
        uniform = replace(self, variant="uniform")
        ratio = self.largest(at.network, above, at.state) / uniform.largest(
            at.network, above, at.state
        )
        half = replace(at, rule=replace(uniform, scale=self.scale * ratio / 2))
        expected = self._top(half, samples=1)[0][0]
        noise = (variance / len(draws)) ** 0.5
        # In units of the noise that its mean keeps: above 3 with a chance below 1e-4.
        return float(np.linalg.norm(draws.mean(axis=0) - expected) / noise), 0.0, 3.0

    def _top(self, at: Situation, samples: int = 5000) -> tuple[Array, float]:
        """Draws onto the top hidden population for one example, and the variance of theory."""
        one = replace(at, batch=at.batch.take([0]))
        network, batch = one.network, one.batch
        clean = network.forward(batch.inputs)
        population = network.hidden[-1]
        into = network.incoming[population.name][0]
        above = network.outgoing[population.name][0]
        error = at.objective.error(clean.output, batch.targets)
        delta = network.credit(clean, {network.output.name: error}, feedback={})[above.target]
        slope = population.neurons.slope(
            clean.drive[population.name], clean.activity[population.name]
        )
        pre = into.synapse.pre_gram(clean.presynaptic(into))
        largest = self.largest(network, above, at.state)
        variance = largest**2 / 12 * np.sum(slope**2) * np.sum(delta**2) * pre[0, 0]
        return one.draws(samples)[into.name], float(variance)


def _matched(at: Situation) -> Situation:
    weights = at.network.parameters
    state = {p.name: np.abs(p.synapse.transpose(weights[p.name])) for p in at.network.returning}
    return replace(at, state={**at.state, **state})

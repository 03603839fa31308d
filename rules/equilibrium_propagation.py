"""Equilibrium propagation: a settled network compares itself with itself, nudged."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.hopfield import HopfieldNetwork
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.settling import settle
from plausibench.kernels.errors import choose, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.layers import contrast, in_double
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation, Slope

Array = np.ndarray
Arrays = dict[str, Array]

ONE_SIDED = RuleCard(
    summary="each synapse compares coincident activity at rest and under a nudge",
    family="energies",
    equation="g_l = -(a_l^nudged (a_(l-1)^nudged)^T - a_l (a_(l-1))^T) / nudging",
    randomness=frozenset(),
    unbiased=True,
    exact_when="in the limit nudging -> 0, at the fixed points",
    bias_order=1,
    variance_law="0 for a given batch",
    synapse_knows="pre and post activity of its neurons, in two phases",
    reference="gradient of the objective at the free fixed point",
    forward_passes=60.0,
    cites="Scellier & Bengio 2017; Laborieux et al. 2021",
    notes=(
        "the energy is that of Hopfield (1984), with the integral of f^-1 where the paper has half "
        "the square of a state; the squared error has a factor 1/2, which the cost in the authors' "
        "code has not: a nudging there is twice that here. Phases end at rest, not after a number "
        "of steps. Every sweep through the layers counts as two passes"
    ),
    unverified="persistent states, hard sigmoid, phases that end before rest",
)
RESOLVED = 1e-10
"""Share of the nudge to which fixed points are found, for their difference is the signal."""
CARDS = {
    "one_sided": ONE_SIDED,
    "random_sign": replace(
        ONE_SIDED,
        equation="g_l = -(a_l^nudged (a_(l-1)^nudged)^T - a_l (a_(l-1))^T) / (+-nudging)",
        randomness=frozenset({"rule"}),
        exact_when="in expectation over signs, in the limit nudging -> 0",
        bias_order=2,
        variance_law="|(g(nudging) - g(-nudging)) / 2|^2: two values, equally likely",
    ),
    "symmetric": replace(
        ONE_SIDED,
        summary="each synapse compares coincident activity under two opposite nudges",
        equation="g_l = -(a_l^+ (a_(l-1)^+)^T - a_l^- (a_(l-1)^-)^T) / (2 nudging)",
        bias_order=2,
        forward_passes=90.0,
    ),
}


@dataclass(frozen=True)
class EquilibriumPropagation(Rule):
    r"""Equilibrium propagation (Scellier & Bengio 2017).

    In a network that settles, adding :math:`\beta F` to the energy moves the fixed point from
    :math:`a^0` to :math:`a^\beta`, by a current :math:`-\beta \partial F / \partial a_L` into
    the output, and

    .. math:: \frac{1}{\beta} \left( \partial_W E(a^\beta) - \partial_W E(a^0) \right),
       \quad \partial_{W_l} E = -a_l a_{l-1}^T

    tends to the gradient of F at the free fixed point as :math:`\beta` goes to 0.

    Parameters
    ----------
    variant
        one_sided; random_sign: the sign of the nudge is drawn anew for each batch;
        symmetric: the difference between two opposite nudges (Laborieux et al. 2021).
    nudging
        Strength beta; below 1 where its sign can be negative, for the output to stay put.
    """

    variant: str = "symmetric"
    nudging: float = 0.1

    double: ClassVar[bool] = True
    choices: ClassVar[Choices] = {"variant": tuple(CARDS)}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nudging": (0.1, 0.5)}

    card: ClassVar[RuleCard] = CARDS["symmetric"]
    dynamics: ClassVar[frozenset[str]] = frozenset({"settling"})

    def __post_init__(self) -> None:
        choose("variant", self.variant, CARDS)
        below = None if self.variant == "one_sided" else 1.0
        number("nudging", self.nudging, above=0, below=below)
        # The variants are as unlike in what they claim as rules are.
        object.__setattr__(self, "card", CARDS[self.variant])

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(network, HopfieldNetwork):
            return None
        return "equilibrium_propagation needs a network that settles: use the hopfield architecture"

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from two fixed points.

        Raises
        ------
        Divergence
            If the nudged network does not settle.
        """
        if self.variant == "one_sided":
            found = self.nudged(network, objective, batch, clean, 1)
            return {name: Dense(array) for name, array in found.items()}
        both = [self.nudged(network, objective, batch, clean, sign) for sign in (1, -1)]
        if self.variant == "symmetric":
            return {name: Dense((both[0][name] + both[1][name]) / 2) for name in both[0]}
        drawn = noise.parameters({"nudging": np.zeros(1)}, "rademacher")["nudging"][:, 0]
        return {
            p.name: Dense(
                np.where(
                    drawn.reshape(-1, *(1,) * len(p.synapse.shape)) > 0,
                    both[0][p.name],
                    both[1][p.name],
                )
            )
            for p in network.projections
        }

    def signal_share(self, network: Network) -> float:
        """The nudge; phases end where a sweep changes activity by 4 units of rounding."""
        return self.nudging / 4

    def nudged(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity, sign: int
    ) -> Arrays:
        """One-sided estimate with a nudge of the given sign."""
        dtype, nudging = network.dtype, sign * self.nudging
        network, batch, clean = in_double(network, batch, clean)
        assert isinstance(network, HopfieldNetwork)
        error = np.abs(objective.error(clean.output, batch.targets)).max(axis=-1)
        tolerance = np.minimum(network.tolerance, RESOLVED * self.nudging * error)
        if (tolerance < network.tolerance).any():
            # What the free phase still moves would count as an effect of the nudge.
            clean = settle(network, clean, tolerance=tolerance, steps=network.steps)
        rest = settle(
            network,
            clean,
            nudge=objective,
            targets=batch.targets,
            nudging=nudging,
            tolerance=tolerance,
            steps=network.steps,
        )
        found = {}
        for p in network.projections:
            moved = -contrast(p, rest, clean) / (nudging * batch.size)
            found[p.name] = moved.astype(dtype, copy=False)
        return found

    def theory(self) -> tuple[Claim, ...]:
        def nudge(at: Situation, nudging: float) -> Situation:
            variant = "one_sided" if self.variant == "one_sided" else "symmetric"
            return replace(at, rule=replace(self, variant=variant, nudging=nudging))

        def feedforward(at: Situation) -> Arrays:
            """Gradient of the same weights without feedback."""
            own = at.network
            chain = Network("mlp", own.inputs, own.populations, own.projections, own.parameters)
            return chain.gradient(at.objective, at.batch)

        def weakly(at: Situation) -> Situation:
            return nudge(at, 1e-3)

        def signs(at: Situation) -> tuple[float, float, float]:
            """Draws take two values, whose mean is the symmetric estimate."""
            drawn = at.draws(64)
            symmetric = replace(at, rule=replace(self, variant="symmetric")).draws()
            apart = 0.0
            for name, array in drawn.items():
                values = np.unique(array.reshape(64, -1), axis=0)
                if len(values) != 2:
                    return float(len(values)), 2.0, 0.0
                mean = values.mean(axis=0).reshape(array.shape[1:])
                distance = float(np.linalg.norm(mean - symmetric[name][0]))
                apart = max(apart, distance / float(np.linalg.norm(mean)))
            return apart, 0.0, 1e-14

        power, tolerance = (1, 1e-2) if self.variant == "one_sided" else (2, 1e-4)
        claims: tuple[Claim, ...] = (
            Slope("nudging -> 0: gradient at the fixed point", nudge, power, 1e-3, tolerance),
            Limit(
                "not the gradient of the feed-forward network with the same weights",
                weakly,
                tolerance=0.1,
                expected=feedforward,
                holds=False,
            ),
        )
        if self.variant == "random_sign":
            claims += (Law("two values, whose mean is the symmetric estimate", signs),)
        return claims

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over the sign of the nudge, at its strength: two values, equally likely."""
        if self.variant != "random_sign":
            return None
        plus, minus = (self.nudged(network, objective, batch, clean, sign) for sign in (1, -1))
        mean = {name: (plus[name] + minus[name]) / 2 for name in plus}
        variance = {name: float(((plus[name] - minus[name]) ** 2).sum() / 4) for name in plus}
        return ClosedForm(mean, variance)

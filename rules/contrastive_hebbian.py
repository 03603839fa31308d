"""Contrastive Hebbian learning: activity with the output clamped, minus activity without."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.settling import settle
from plausibench.kernels.errors import InputError, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.layers import contrast, in_double, no_chain
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Expected, Limit, Situation, Slope

Array = np.ndarray

TOLERANCE = 0.0
"""Both phases settle as far as rounding allows: the signal below is their difference, as small as
powers of the feedback times the error."""
STEPS = 10_000


@dataclass(frozen=True)
class ContrastiveHebbian(Rule):
    r"""Contrastive Hebbian learning with weak feedback (Movellan 1991; Xie & Seung 2003).

    Activity settles twice, :math:`a_l = f_l(W_l a_{l-1} + \gamma W_{l+1}^T a_{l+1} + b_l)`, with
    the output free (check) and clamped to its target (hat), and

    .. math:: \Delta W_l = \gamma^{l-L} (\hat a_l \hat a_{l-1}^T - \check a_l \check a_{l-1}^T)

    tends to the descent step of backpropagation in the feed-forward network as
    :math:`\gamma` goes to 0.

    Parameters
    ----------
    feedback
        The factor gamma between weights upwards and downwards. Its powers divide rounding
        errors: below 1e-3, deep networks lose digits.
    """

    feedback: float = 0.1

    double: ClassVar[bool] = True
    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"feedback": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="each synapse compares coincident activity with the output free and clamped",
        family="energies",
        equation="g_l = -feedback^(l-L) (a_l^c (a_(l-1)^c)^T - a_l^f (a_(l-1)^f)^T)",
        randomness=frozenset(),
        unbiased=True,
        exact_when="in the limit feedback -> 0",
        bias_order=1,
        variance_law="0 for a given batch",
        synapse_knows="pre and post activity of its neurons, in two phases",
        expected=("low", "low"),
        questioned=True,
        forward_passes=40.0,
        cites="Movellan 1991; Xie & Seung 2003",
        notes=(
            "the reference is the feed-forward gradient. The output is clamped to a_L - dF/dz_L of "
            "the free phase: the target itself for the squared error of a linear output, for "
            "which the theorem is stated, and one gradient step otherwise. The error is "
            "that of the free phase, whose output differs from the forward pass by a share of "
            "order feedback: where a network has nearly learned, the reference is of another one"
        ),
        unverified="feedback weights that differ from the forward ones",
    )

    def __post_init__(self) -> None:
        number("feedback", self.feedback, above=0, most=1)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return no_chain(network, "contrastive_hebbian")

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from two settled phases.

        Raises
        ------
        Divergence
            If one does not settle.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        free = self.free(network, clean)
        top = network.output
        error = objective.error(free.output, batch.targets)
        target = free.output - top.neurons.adjoint(free.drive[top.name], free.output, error)
        clamped = settle(
            network,
            free,
            feedback=self.feedback,
            clamp=target,
            tolerance=TOLERANCE,
            steps=STEPS,
        )
        factor, factors = -1 / batch.size, {}
        for population in reversed(network.populations):
            factors[population.name] = factor
            factor /= self.feedback
        found: Estimates = {}
        for p in network.projections:
            moved = factors[p.target] * contrast(p, clamped, free)
            found[p.name] = Dense(moved.astype(dtype, copy=False))
        return found

    def free(self, network: Network, clean: Activity) -> Activity:
        """Activity at rest with the output free, from a forward pass; both in float64."""
        return settle(network, clean, feedback=self.feedback, tolerance=TOLERANCE, steps=STEPS)

    def rounding(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> float:
        """Of the error of the free phase, whose output is not that of the forward pass."""
        network, batch, clean = in_double(network, batch, clean)
        return super().rounding(network, objective, batch, self.free(network, clean))

    def signal_share(self, network: Network) -> float:
        """The error reaches the lowest layer through every feedback.

        Phases end where a sweep changes activity by 4 units of rounding.
        """
        return float(self.feedback ** len(network.hidden)) / 4

    def theory(self) -> tuple[Claim, ...]:
        def weak(at: Situation, feedback: float) -> Situation:
            return replace(at, rule=replace(self, feedback=feedback))

        def shallow(at: Situation, feedback: float) -> Situation:
            if len(at.network.hidden) > 1:
                raise InputError("network: the size of the error is claimed for one hidden layer")
            return normed(weak(at, feedback))

        def normed(at: Situation) -> Situation:
            scaled = {
                name: array / np.linalg.norm(array, 2) if array.ndim == 2 else array
                for name, array in at.network.parameters.items()
            }
            return replace(at, network=at.network.with_parameters(scaled))

        def only(layer: int) -> Expected:
            def reference(at: Situation) -> dict[str, Array]:
                name, whole = at.network.populations[layer].name, at.reference()
                return {p.name: whole[p.name] for p in at.network.incoming[name]}

            return reference

        # The error is feedback times a number that grows with depth and with the squared weights.
        return (
            Slope(
                "feedback -> 0, one hidden layer, weights of norm 1: backpropagation",
                shallow,
                1,
                1e-3,
                1e-3,
            ),
            Slope("feedback -> 0: backpropagation", weak, 1, 1e-3, 1e-2),
            Slope("feedback -> 0, layer 1", weak, 1, 1e-3, 1e-2, only(0)),
            Slope("feedback -> 0, output layer", weak, 1, 1e-3, 1e-2, only(-1)),
            Limit(
                "feedback 0.3, weights of norm 1: biased",
                lambda at: normed(weak(at, 0.3)),
                0.01,
                holds=False,
            ),
        )

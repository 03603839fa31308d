"""Activity-based node perturbation: the loss change along the measured change of activity."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.companions import along_moved
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.perturbation import Perturbation, along_changes, first_draw, normalised
from plausibench.rules.rule import ClosedForm, Companion, RuleCard, State
from plausibench.rules.theory import Claim, Situation, Slope

Array = np.ndarray


@dataclass(frozen=True)
class ActivityNodePerturbation(Perturbation):
    """Activity-based node perturbation, ANP (Dalm, van Gerven & Ahmad 2023).

    The synapse correlates the loss with the change of its neuron's drive between two passes,
    normalised by the change of the whole network. The change holds the noise and what the
    noise below it causes, so the noise need not be known; but it is no longer white, and with
    more than one layer the estimate is biased at any size of the noise.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="the change of a global loss, along the measured change of every neuron's drive",
        family="perturbation",
        equation="post_l = N (F(+sigma xi) - F(-sigma xi)) dz_l / |dz|^2,  pre_l = a_(l-1)",
        randomness=frozenset({"rule"}),
        unbiased=False,
        exact_when="in expectation as sigma -> 0, with a single layer of neurons",
        variance_law="one layer of N neurons, sigma -> 0: (N - 1) sum_b |a_b|^2 |delta_b|^2 / B^2",
        synapse_knows="pre, change of its neuron's drive, global: loss change over |dz|^2",
        forward_passes=2.0,
        no_more_than_readout=(
            "on digits after 500 steps: one outcome for all neurons in a step is mostly "
            "noise, which so few steps do not average out, and its output layer learns from "
            "it too, where that of the null has the exact gradient"
        ),
        cites="Dalm, van Gerven & Ahmad 2023",
        notes="the paper compares a noisy with a clean pass: antithetic=false",
        unverified="the paper's learning curves",
    )

    needs_losses: ClassVar[bool] = True

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        posts = along_changes(self, network, objective, batch, clean, noise)
        return outers(network, clean, posts)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Limit sigma -> 0 with a single layer: ``E|g|^2 = N |a|^2 |delta|^2`` per example.

        For gaussian noise xi / |xi| is uniform on the sphere; for rademacher |xi|^2 = N.
        """
        if network.hidden:
            return None
        error = objective.batch_error(clean.output, batch)
        signal = network.credit(clean, {network.output.name: error})[network.output.name]
        lengths = (signal**2).sum(axis=-1)
        variance = {
            p.name: float(
                np.einsum("bb->b", p.synapse.pre_gram(clean.presynaptic(p)))
                @ ((network.output.size - 1) * lengths)
            )
            for p in network.projections
        }
        return ClosedForm(network.pull(clean, error), variance)

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """The derivative along the same noise, times the change of drives that it makes."""
        known = self.closed_form(network, objective, batch, clean, self.card.randomness)
        return along_moved(
            network,
            objective,
            batch,
            clean,
            self.noise,
            self.sigma,
            lambda posts: outers(network, clean, posts),
            None if known is None else known.variance,
        )

    def theory(self) -> tuple[Claim, ...]:
        def at_sigma(at: Situation, sigma: float) -> Situation:
            return replace(at, rule=replace(self, sigma=sigma))

        def noise(one: Noise, network: Network, clean: Activity) -> dict[str, Array]:
            return one.examples(clean.drive, self.noise)

        power, smallest = (2.0, 1e-3) if self.antithetic else (1.0, 1e-7)
        return (
            Slope(
                "sigma -> 0: the normalised derivative along the tangent of the noise",
                at_sigma,
                power,
                smallest=smallest,
                tolerance=1e-5,
                expected=first_draw(along_tangent, noise),
            ),
        )


def along_tangent(
    network: Network, objective: Objective, batch: Batch, clean: Activity, xi: Mapping[str, Array]
) -> Estimates:
    """Estimate for vanishing noise, from the tangent of the forward pass."""
    tangent = network.tangent(clean, drive=xi)
    error = objective.batch_error(clean.output, batch)
    change = (error * tangent.output).sum(axis=-1)
    return outers(network, clean, normalised(change, tangent.drive))

"""Node perturbation: noise on the drive of every neuron, correlated with the loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.companions import along_signals
from plausibench.rules.estimate import Estimates, outers, per_row
from plausibench.rules.noise import Noise
from plausibench.rules.perturbation import Perturbation, along_drives, drive_law, first_draw
from plausibench.rules.rule import ClosedForm, Companion, RuleCard, State
from plausibench.rules.theory import Claim

Array = np.ndarray


@dataclass(frozen=True)
class NodePerturbation(Perturbation):
    """Node perturbation (Williams 1992; Fiete & Seung 2006; Werfel, Xie & Seung 2005).

    Every neuron of every example has its own noise, and every example its own loss: one loss
    for the whole batch would multiply the variance by about its size.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="each neuron correlates its own noise with the change of a global loss",
        family="perturbation",
        equation="post_l = (F(+sigma xi) - F(-sigma xi)) / (2 sigma) xi_l,  pre_l = a_(l-1)",
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation as sigma -> 0",
        bias_order=2,
        variance_law=(
            "sum_b |a_b|^2 (N_l |delta_b|^2 + (k4 - 2) |delta_lb|^2) / B^2, per layer l; in time "
            "|delta_b|^2 sums all steps, and sum_b (sum_t |a_tb|^2 (N_l |delta_b|^2 + (k4 - 3) "
            "|delta_ltb|^2) + |g_lb|^2) / B^2, with g_lb the gradient of trial b"
        ),
        synapse_knows="pre, the noise of its neuron, one global scalar for each example",
        expected=("low", "high"),
        forward_passes=2.0,
        no_more_than_readout=(
            "on digits after 500 steps and on MNIST-1D after 1000: one outcome for all "
            "neurons in a step is mostly noise, which so few steps do not average out, and "
            "its output layer learns from it too, where that of the null has the exact "
            "gradient. After 20 000 steps on digits it is above the null"
        ),
        cites="Williams 1992; Werfel, Xie & Seung 2005; Fiete & Seung 2006",
        phases="two noisy passes (one-sided: a noisy one and one without), then the outcome",
        notes=(
            "one-sided (antithetic=false): the same mean, since the noise is symmetric, but single "
            "draws err by order sigma and vary more; |delta|^2 sums all layers"
        ),
    )

    needs_losses: ClassVar[bool] = True
    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward", "recurrent"})

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        xi = noise.examples(clean.drive, self.noise)
        change = self.slope(*_losses(network, objective, batch, clean, xi))
        change /= batch.size
        for drawn in xi.values():
            # In place: the noise has done its work.
            drawn *= per_row(change, drawn)
        return outers(network, clean, xi)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Limit sigma -> 0."""
        return drive_law(network, objective, batch, clean, self.excess)

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """The forward gradient along the same noise; one-sided, the even part of the change too."""

        def even(xi: Mapping[str, Array]) -> Array:
            return self.evenly(*_losses(network, objective, batch, clean, xi)) / batch.size

        known = self.closed_form(network, objective, batch, clean, self.randomness())
        return along_signals(
            *(network, objective, batch, clean, self.noise),
            None if known is None else known.variance,
            self.sigma,
            None if self.antithetic else even,
        )

    def theory(self) -> tuple[Claim, ...]:
        def noise(one: Noise, network: Network, clean: Activity) -> dict[str, Array]:
            return one.examples(clean.drive, self.noise)

        return self.limits(first_draw(along_drives, noise))


def _losses(
    network: Network, objective: Objective, batch: Batch, clean: Activity, xi: Mapping[str, Array]
) -> tuple[Callable[[float], Array], Callable[[], Array]]:
    """Loss of each example under the noise times an amplitude, and without it."""

    def losses(amplitude: float) -> Array:
        passed = network.forward(batch.inputs, drive_noise=xi, amplitude=amplitude, clean=clean)
        return objective.batch_losses(passed.output, batch)

    return losses, lambda: objective.batch_losses(clean.output, batch)

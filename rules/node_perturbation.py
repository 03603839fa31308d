"""Node perturbation: noise on the drive of every neuron, correlated with the loss."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose, flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, form, outers
from plausibench.rules.noise import FOURTH_MOMENT, LAWS, Noise
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State

Array = np.ndarray


@dataclass(frozen=True)
class NodePerturbation(Rule):
    """Node perturbation (Williams 1992; Fiete & Seung 2006; Werfel, Xie & Seung 2005).

    Every neuron of every example has its own noise, and every example its own loss: one loss
    for the whole batch would multiply the variance by about its size.

    Parameters
    ----------
    sigma
        Standard deviation of the noise on the drive.
    antithetic
        Whether the loss is compared with that under the opposite noise (True) or without.
    noise
        Law of the noise: gaussian or rademacher.
    """

    sigma: float = 1e-3
    antithetic: bool = True
    noise: str = "gaussian"

    card: ClassVar[RuleCard] = RuleCard(
        summary="each neuron correlates its own noise with the change of a global loss",
        equation="post_l = (F(+sigma xi) - F(-sigma xi)) / (2 sigma) xi_l,  pre_l = a_(l-1)",
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation as sigma -> 0",
        bias_order=2,
        variance_law="sum_b |a_b|^2 (N_l |delta_b|^2 + (k4 - 2) |delta_lb|^2) / B^2, per layer l",
        synapse_knows="pre, the noise of its neuron, one global scalar for each example",
        expected=("low", "high"),
        forward_passes=2.0,
        cites="Williams 1992; Werfel, Xie & Seung 2005; Fiete & Seung 2006",
        notes=(
            "one-sided (antithetic=false): the same mean, since the noise is symmetric, but single "
            "draws err by order sigma and vary more; |delta|^2 sums all layers"
        ),
    )

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        flag("antithetic", self.antithetic)
        choose("noise", self.noise, LAWS)

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

        def losses(amplitude: float) -> Array:
            passed = network.forward(batch.inputs, drive_noise=xi, amplitude=amplitude, clean=clean)
            return objective.losses(passed.output, batch.targets)

        if self.antithetic:
            change = (losses(self.sigma) - losses(-self.sigma)) / (2 * self.sigma)
        else:
            undisturbed = objective.losses(clean.output, batch.targets)
            change = (losses(self.sigma) - undisturbed) / self.sigma
        weight = (change / batch.size)[..., None]
        for drawn in xi.values():
            drawn *= weight  # in place: the noise has done its work
        return outers(network, clean, xi)

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Limit sigma -> 0 (Werfel, Xie & Seung 2005, for one layer).

        Per layer and example, ``E|g|^2 = |a|^2 (N_l |delta|^2 + (k4 - 1) |delta_l|^2)``, with
        delta over all layers: every neuron's noise moves the same loss.
        """
        error = objective.error(clean.output, batch.targets) / batch.size
        signals = network.credit(clean, {network.output.name: error})
        lengths = {name: (signal**2).sum(axis=-1) for name, signal in signals.items()}
        total, excess = sum(lengths.values()), FOURTH_MOMENT[self.noise] - 2
        variance = {}
        for p in network.projections:
            pre = np.einsum("bb->b", p.synapse.pre_gram(clean.presynaptic(p)))
            neurons = signals[p.target].shape[-1]
            variance[p.name] = float(pre @ (neurons * total + excess * lengths[p.target]))
        return ClosedForm(form(network, outers(network, clean, signals)), variance)

"""R-max: reward times the score of the spikes that a neuron with escape noise drew."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.escape_noise import EscapeNetwork, Train
from plausibench.rules.rewarded_spikes import RewardedSpikes, averaged
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit, extrapolated

Array = np.ndarray


@dataclass(frozen=True)
class RMax(RewardedSpikes):
    r"""R-max, the policy gradient of spiking neurons (Pfister et al. 2006; Florian 2007).

    A synapse remembers by how much its postsynaptic potential :math:`\epsilon` made the drawn
    spikes more likely, and a reward at the end of the trial turns that memory into a change:

    .. math::

        \hat g = -(R - b) \sum_t \left[s_t - p_t\right] \frac{p'_t}{p_t (1 - p_t)}\,
        \epsilon_t^T, \qquad \epsilon_t = a\, \epsilon_{t-1} + x_t

    with x what the synapse brings and a the membrane's share. In short steps the factor is the
    papers' :math:`(s_t - \rho_t)\, \rho'_t / \rho_t`; here it is that of a step of any length.

    Parameters
    ----------
    baseline
        b: ``none``, or ``clean``, minus the loss of the pass with probabilities in place of spikes.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="reward minus baseline, times how much a synapse made the drawn spikes likely",
        family="random units and actions",
        equation=(
            "post_t = -(R - b) sum_(s >= t) a^(s-t) (s_s - p_s) p'_s / (p_s (1 - p_s)),  "
            "pre_t = x_t;  the same sum as of forward traces of postsynaptic potentials"
        ),
        randomness=frozenset({"spike"}),
        unbiased=True,
        exact_when="in expectation over spikes, for any baseline that does not depend on them",
        variance_law="enumerated for up to 14 spikes of a trial",
        synapse_knows=(
            "a trace of its postsynaptic potential times its neuron's spikes less their "
            "probability, one global reward minus baseline"
        ),
        reference="gradient of the loss expected over spikes",
        forward_passes=2.0,
        cites="Pfister, Toyoizumi, Barber & Gerstner 2006; Florian 2007; Fremaux & Gerstner 2016",
        phases="one, forwards, with a trace; then the reward",
        notes=(
            "the reward is minus the loss of the trial, and the readout, which draws nothing, "
            "learns from its own error. The gradient of the expected reward is enumerated, so "
            "that networks are small"
        ),
        no_more_than_readout=(
            "on digits after 500 steps: four of five seeds are above the null and one is below, so "
            "that five do not tell it apart"
        ),
        unverified=(
            "the papers' equation is from memory of them, and what is measured is that the rule "
            "has the gradient for its mean; baselines that are running means, rewards that come "
            "late within a trial"
        ),
    )

    def traced(self, network: EscapeNetwork, train: Train) -> dict[str, Array]:
        return {
            name: network.on_drive(name, score, train.examples)
            for name, score in train.score.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        def limit(baseline: str) -> Claim:
            return Limit(
                f"mean over all spikes, baseline {baseline}: extrapolated differences of the loss",
                lambda at: averaged(at, replace(self, baseline=baseline)),
                tolerance=5e-11,
                expected=extrapolated,
            )

        return limit("none"), limit("clean")

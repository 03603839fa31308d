"""Reward-modulated spike-timing-dependent plasticity."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.escape_noise import EscapeNetwork, Train
from plausibench.architectures.recurrent import delayed
from plausibench.kernels.errors import number
from plausibench.rules.rewarded_spikes import RewardedSpikes, averaged
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit, Situation, differences

Array = np.ndarray


@dataclass(frozen=True)
class RewardModulatedStdp(RewardedSpikes):
    r"""STDP whose trace waits for a reward, R-STDP (Florian 2007; Fremaux & Gerstner 2016).

    .. math::

        \hat g = -(R - b) \sum_t \left[s_t\, \epsilon_t^T - A\, y_{t-1} x_t^T\right], \qquad
        \epsilon_t = a\, \epsilon_{t-1} + x_t, \qquad y_t = k\, y_{t-1} + s_t

    Pre before post potentiates, by the postsynaptic potential; post before pre depresses, by the
    filtered spikes of the neuron, both before the reward R - b signs the whole. Where R-max
    subtracts the probability of the spikes, nothing is subtracted here: what spikes do on average
    is learned with the mean of R - b, whether or not it serves the reward.

    Parameters
    ----------
    baseline
        b: ``none``, or ``clean``, minus the loss of the pass with probabilities in place of spikes.
    depression
        Weight A of post before pre.
    """

    depression: float = 0.5

    card: ClassVar[RuleCard] = RuleCard(
        summary="a window of spike timing leaves a trace, and a global reward signs it",
        family="random units and actions",
        equation=(
            "post_t = -(R - b) (sum_(s >= t) a^(s-t) s_s - A y_(t-1)),  pre_t = x_t,  "
            "y_t = k y_(t-1) + s_t"
        ),
        randomness=frozenset({"spike"}),
        unbiased=False,
        exact_when="the readout in expectation; hidden neurons never",
        variance_law="enumerated for up to 14 spikes of a trial",
        synapse_knows=(
            "a trace of the timing of its pre and of its neuron's spikes, one global reward minus "
            "baseline"
        ),
        reference="gradient of the loss expected over spikes",
        forward_passes=2.0,
        cites="Florian 2007; Fremaux & Gerstner 2016",
        phases="one, forwards, with a trace; then the reward",
        notes=(
            "inputs are numbers, and stand in the window for the spikes that they would be. With "
            "rewards that are not 0 on average the window learns without a cause. Its time "
            "constants are those of the neuron, and the default depression is ours"
        ),
        no_more_than_readout=(
            "on digits after 500 steps: three of five seeds are above the null and two are below, "
            "so that five do not tell it apart"
        ),
        unverified=(
            "the equations are from memory of the papers; a learned baseline for each stimulus, "
            "with which the mean of the window would no longer be learned"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        number("depression", self.depression, least=0)

    def traced(self, network: EscapeNetwork, train: Train) -> dict[str, Array]:
        found = {}
        for name, spikes in train.spikes.items():
            # What neurons send is their filtered spikes: y.
            before = delayed(train.activity[name], train.examples)
            timed = network.on_drive(name, spikes, train.examples)
            found[name] = timed - self.depression * before
        return found

    def theory(self) -> tuple[Claim, ...]:
        def readout(at: Situation) -> dict[str, Array]:
            names = [p.name for p in at.network.projections if p.target == at.network.output.name]
            exact = differences(at)
            return {name: exact[name] for name in names}

        return (
            Limit(
                "mean over all spikes, readout: central differences of the expected loss",
                lambda at: averaged(at, self),
                tolerance=1e-8,
                expected=readout,
            ),
            Limit(
                "mean over all spikes, all of it: central differences of the expected loss",
                lambda at: averaged(at, self),
                tolerance=0.1,
                expected=differences,
                holds=False,
            ),
        )

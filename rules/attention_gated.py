"""AGREL: attention-gated reinforcement learning."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Pointwise
from plausibench.objectives.batch import Batch
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.objective import Objective, softmax
from plausibench.rules.estimate import Estimates
from plausibench.rules.rule import RuleCard, SampledAction, State
from plausibench.rules.theory import Claim, Law, Limit, Situation
from plausibench.rules.winner import apart, classes, enumerated, of_chosen, winners

Array = np.ndarray

RAREST = 1e-250
"""Least probability of an action: its inverse times weights is still a number."""


@dataclass(frozen=True)
class AttentionGated(SampledAction):
    """Attention-gated reinforcement learning, AGREL (Roelfsema & van Ooyen 2005).

    One action s is sampled from the softmax of the outputs. If it is rewarded, the global
    signal is f = (1 - pi_s) / pi_s, else f = -1; only the winner feeds back. The paper's
    expectation follows the cross-entropy, not the expected reward.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback from the sampled action gates a global reward-prediction error",
        family="random units and actions",
        equation="post_L = -f 1_s,  post_l = (W_(l+1)^T post_(l+1)) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"action"}),
        unbiased=True,
        exact_when="in expectation over actions, at any depth",
        variance_law="output weights, one example: |a|^2 ((1 - pi_c) / pi_c - |y - pi|^2)",
        synapse_knows="pre, slope, feedback of the winner through transposed weights, global f",
        reference="gradient of the cross-entropy",
        questioned=True,
        expected=("low", "low"),
        forward_passes=3.0,
        no_more_than_readout=(
            "on digits after 500 steps: it is above the null on average, but one of five "
            "seeds is far below, so that five do not tell it apart"
        ),
        cites="Roelfsema & van Ooyen 2005",
        notes="the variance diverges as the probability of the rewarded action goes to 0",
        phases="forward, then choice and outcome, then feedback from the choice",
        unverified="clipping of large signals, which would be biased; the paper's learning rates",
    )

    def policy(self, clean: Activity) -> Array:
        # In float64 never 0: the rarer the rewarded action, the larger its signal.
        return np.maximum(softmax(clean.output), RAREST)

    def respond(
        self, network: Network, batch: Batch, clean: Activity, state: State, actions: Array
    ) -> Estimates:
        chance = of_chosen(self.policy(clean), actions)
        rewarded = actions == classes(batch, "attention_gated")
        with np.errstate(divide="ignore"):  # what is rarer than float32 can say is never drawn
            signal = np.where(rewarded, (1 - chance) / chance, -1.0)
        return winners(network, clean, actions, -signal.astype(network.dtype) / batch.size)

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, Array]:
        return network.gradient(CrossEntropy(), batch, clean)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("E over actions = gradient of the cross-entropy: relative error", mean_error),
            Law("output error: sum_b E|e|^2 = sum_b (1 - pi_c) / pi_c", output_square),
            Limit("a single action: not the gradient", lambda at: at, 0.1, holds=False),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(objective, CrossEntropy | ExpectedReward):
            return None
        return (
            "attention_gated samples actions from a softmax policy and follows its cross-entropy; "
            "use cross_entropy or expected_reward"
        )


def mean_error(at: Situation) -> tuple[float, float, float]:
    """Relative error of the enumerated mean."""
    return apart(enumerated(at)[0], at.network.gradient(CrossEntropy(), at.batch)), 0.0, 1e-12


def output_square(at: Situation) -> tuple[float, float, float]:
    """Expected squared output error, with outputs that are the drives of the softmax."""
    *below, top = at.network.populations
    linear = replace(top, neurons=Pointwise("identity"))
    at = replace(at, network=replace(at.network, populations=(*below, linear)))
    policy = softmax(at.network.forward(at.batch.inputs).output)
    chance = policy[np.arange(at.batch.size), classes(at.batch, "attention_gated")]
    expected = float(((1 - chance) / chance).sum())
    return enumerated(at)[1], expected, 1e-12 * expected

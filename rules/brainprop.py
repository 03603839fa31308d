"""BrainProp: attention-gated learning of action values."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates
from plausibench.rules.rule import Choices, RuleCard, SampledAction, State
from plausibench.rules.theory import Claim, Law, Limit, Situation
from plausibench.rules.winner import (
    POLICIES,
    apart,
    classes,
    enumerated,
    exploring,
    of_chosen,
    winners,
)

Array = np.ndarray


@dataclass(frozen=True)
class Brainprop(SampledAction):
    """BrainProp, or Q-AGREL (Pozzi, Bohte & Roelfsema 2018, 2020).

    Outputs are action values q. One action s is chosen, the reward r is 1 for the right
    class, and the reward-prediction error r - q_s gates the feedback of the winner.

    Parameters
    ----------
    exploration
        ``max_boltzmann`` (greedy, with probability ``epsilon`` softmax), softmax or uniform.
    epsilon
        Probability of exploration under ``max_boltzmann``.
    """

    exploration: str = "max_boltzmann"
    epsilon: float = 0.02

    choices: ClassVar[Choices] = {"exploration": POLICIES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the chosen action's reward-prediction error, sent back from the winner only",
        family="random units and actions",
        equation="post_L = -(r - q_s) 1_s,  post_l = (W_(l+1)^T post_(l+1)) f_l'(z_l)",
        randomness=frozenset({"action"}),
        unbiased=True,
        exact_when="in expectation over actions; uniform policy: n E = gradient of squared error",
        variance_law="uniform policy, output weights: |a|^2 (sum_s e_s^2 / n - |e|^2 / n^2)",
        synapse_knows="pre, slope, feedback of the winner through transposed weights, global r - q",
        reference="gradient of the squared error weighted by the policy, policy held",
        forward_passes=3.0,
        cites="Pozzi, Bohte & Roelfsema 2018, 2020",
        phases="forward, then choice and outcome, then feedback from the choice",
        unverified="the paper's learning curves on larger networks",
    )

    def __post_init__(self) -> None:
        choose("exploration", self.exploration, POLICIES)
        number("epsilon", self.epsilon, least=0, most=1)

    def policy(self, clean: Activity) -> Array:
        return exploring(clean.output, self.exploration, self.epsilon)

    def respond(
        self, network: Network, batch: Batch, clean: Activity, state: State, actions: Array
    ) -> Estimates:
        value = of_chosen(clean.output, actions)
        reward = (actions == classes(batch, "brainprop")).astype(network.dtype)
        return winners(network, clean, actions, (value - reward) / batch.size)

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, Array]:
        classes(batch, "brainprop")
        error = self.policy(clean) * MeanSquaredError().error(clean.output, batch.targets)
        return network.pull(clean, error / batch.size)

    def theory(self) -> tuple[Claim, ...]:
        def uniform(at: Situation) -> tuple[float, float, float]:
            mean, _ = enumerated(replace(at, rule=replace(self, exploration="uniform")))
            scaled = {name: at.network.output.size * array for name, array in mean.items()}
            return apart(scaled, at.network.gradient(MeanSquaredError(), at.batch)), 0.0, 1e-12

        return (
            Law("uniform policy: n E = gradient of the squared error: relative error", uniform),
            Limit(
                "a single action: not the squared error's gradient",
                lambda at: at,
                tolerance=0.1,
                expected=lambda at: at.network.gradient(MeanSquaredError(), at.batch),
                holds=False,
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(objective, MeanSquaredError):
            return None
        return "brainprop learns action values by their squared error; use mean_squared_error"

"""REINFORCE: the score of what was drawn, times reward minus baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.permutation import Axes
from plausibench.architectures.stochastic import Sample, StochasticNetwork
from plausibench.kernels.errors import choose, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.objective import Objective, one_hot, softmax
from plausibench.rules.enumeration import over_outcomes
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray

BASELINES = ("none", "clean", "running")
BASELINE = "baseline"


@dataclass(frozen=True)
class Reinforce(Rule):
    """REINFORCE (Williams 1992) for stochastic hidden units and for softmax actions.

    Under ``expected_reward`` one action per example is sampled from the softmax of the
    outputs, and the reward is its own; the score of the action then takes the place of the
    output error. Under other objectives the reward is minus the loss, and the output layer,
    which draws nothing, learns from its error. Below, stochastic units take their own score,
    and layers without noise the score of the action by backpropagation.

    Parameters
    ----------
    baseline
        ``none``; ``clean``, minus each example's loss in the pass without noise; or
        ``running``, a mean of that over earlier batches, which is state.
    rate
        Of the running mean, per batch.
    """

    baseline: str = "clean"
    rate: float = 0.1

    choices: ClassVar[Choices] = {"baseline": BASELINES}

    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward", "stochastic"})
    card: ClassVar[RuleCard] = RuleCard(
        summary="the score of what was drawn, times reward minus baseline",
        family="random units and actions",
        equation=(
            "post_l = -(r - b) (s_l - p_l)  or  -(r - b) xi_l / sigma,  "
            "post_L = -(r - b) (1_s - pi)"
        ),
        randomness=frozenset({"spike", "action"}),
        unbiased=True,
        exact_when="in expectation, for any baseline that does not depend on the draw",
        variance_law=(
            "enumerated for up to 12 Bernoulli units; action, one rewarded with 1, b = 0: "
            "E |post_L|^2 = pi_c (1 - 2 pi_c + |pi|^2)"
        ),
        synapse_knows="pre, its neuron's activity minus the mean, global reward minus baseline",
        reference="gradient of the loss expected over units and actions",
        forward_passes=2.0,
        cites="Williams 1992",
        notes=(
            "without noise below the action it is the policy gradient with backpropagation, at "
            "three forward passes"
        ),
        unverified="baselines learned by a critic",
    )

    needs_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        choose("baseline", self.baseline, BASELINES)
        number("rate", self.rate, above=0, most=1)

    def initial_state(self, network: Network, seed: int) -> State:
        if self.baseline != "running":
            return {}
        return {BASELINE: np.zeros((), dtype=network.dtype)}

    def state_axes(self, network: Network) -> Axes:
        return {BASELINE: ()}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        passed, actions = clean, None
        if isinstance(network, StochasticNetwork):
            arrays = {each.name: clean.drive[each.name] for each in network.stochastic}
            passed = network.sample(batch.inputs, noise.spikes(arrays, network.law))
        if isinstance(objective, ExpectedReward):
            actions = noise.actions(softmax(passed.output))
        base = self._expected(objective, batch, clean, state)
        return outers(network, passed, posts(network, objective, batch, passed, actions, base))

    def _expected(
        self, objective: Objective, batch: Batch, clean: Activity, state: State
    ) -> Array | float:
        if self.baseline == "clean":
            return -objective.losses(clean.output, batch.targets)
        return state[BASELINE] if self.baseline == "running" else 0.0

    def advance(self, state: State, step: Step) -> State:
        """Follow the reward of the pass without noise."""
        if self.baseline != "running":
            return state
        reward = -step.objective.losses(step.clean.output, step.batch.targets).mean()
        return {BASELINE: state[BASELINE] + self.rate * (reward - state[BASELINE])}

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Enumerated over the states of up to 12 Bernoulli units, and over actions."""
        passed, chance, needed = clean, np.ones((1, batch.size)), set()
        if isinstance(network, StochasticNetwork):
            if not network.spikes:
                return None
            passed, chance = network.outcomes(batch.inputs)
            needed.add("spike")
        choices: list[Array | None] = [None]
        chances = [chance]
        if isinstance(objective, ExpectedReward):
            needed.add("action")
            policy = softmax(passed.output)
            choices = [np.full(chance.shape, s) for s in range(network.output.size)]
            chances = [chance * policy[..., s] for s in range(network.output.size)]
        if self.baseline == "running" or not needed <= redrawn:
            return None
        base = self._expected(objective, batch, clean, {})
        found = [posts(network, objective, batch, passed, chosen, base) for chosen in choices]
        joined = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        repeated = {
            name: np.tile(array, (len(choices), 1, 1)) if array.ndim == 3 else array
            for name, array in passed.activity.items()
        }
        every = Activity({}, repeated, repeated[network.output.name])
        return over_outcomes(network, every, joined, np.concatenate(chances))

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law(
                "softmax action, no baseline: E |post_L|^2 = pi_c (1 - 2 pi_c + |pi|^2)",
                second_moment,
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(network, StochasticNetwork) or isinstance(objective, ExpectedReward):
            return None
        return (
            "reinforce needs something that is drawn: stochastic units (stochastic_mlp) or an "
            "action (expected_reward)"
        )


def posts(
    network: Network,
    objective: Objective,
    batch: Batch,
    passed: Activity,
    actions: Array | None,
    baseline: Array | float,
) -> dict[str, Array]:
    """Post factors ``(S, B, N)`` of passes with drawn units, drawn actions ``(S, B)``, or both."""
    if actions is None:
        advantage = -objective.losses(passed.output, batch.targets) - baseline
        arriving = objective.batch_error(passed.output, batch)
    else:
        outputs = network.output.size
        chosen = np.arange(outputs) == actions[..., None]
        rewards = one_hot(batch.targets, outputs, passed.output.dtype)
        advantage = (chosen * rewards).sum(axis=-1) - baseline
        arriving = (advantage / batch.size)[..., None] * (softmax(passed.output) - chosen)
    if not isinstance(passed, Sample):
        return network.credit(passed, {network.output.name: arriving})
    top = network.credit(passed, {network.output.name: arriving}, feedback={})
    weight = (-advantage / batch.size)[..., None]
    return top | {name: weight * score for name, score in passed.score.items()}


def second_moment(at: Situation) -> tuple[float, float, float]:
    """Expected squared length of the output's post factors on a perceptron without baseline."""
    sizes = (at.network.inputs, at.network.output.size)
    network = layered("law", sizes, [Pointwise("identity")], True, at.seed)
    batch, clean = at.batch, network.forward(at.batch.inputs)
    rewarded = batch.targets if batch.targets.ndim == 1 else batch.targets.argmax(axis=1)
    batch = Batch(batch.inputs, rewarded, batch.keys)
    policy = softmax(clean.output)
    measured = 0.0
    for action in range(network.output.size):
        chosen = np.full((1, batch.size), action)
        post = posts(network, ExpectedReward(), batch, clean, chosen, 0.0)[network.output.name][0]
        measured += float(policy[:, action] @ ((batch.size * post) ** 2).sum(axis=1))
    chance = policy[np.arange(batch.size), rewarded]
    theory = float((chance * (1 - 2 * chance + (policy**2).sum(axis=1))).sum())
    return measured, theory, 1e-12 * theory

"""AuGMEnT: tags remember the chosen actions, and a temporal-difference error finds them."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective, one_hot
from plausibench.rules.estimate import Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Expected, Law, Limit, Situation
from plausibench.rules.winner import POLICIES, classes, exploring, of_chosen, winners

Array = np.ndarray


@dataclass(frozen=True)
class Augment(Rule):
    r"""Attention-gated learning with tags, AuGMEnT (Rombouts, Bohte & Roelfsema 2015).

    A batch is one episode: its examples are what is seen in T steps of time, in the order of
    their keys. Outputs are action values q. In every step one action a is chosen, and rewarded
    with 1 if it is the right class. Feedback from the chosen action tags the synapses that took
    part, tags decay, and the temporal-difference error of SARSA changes all that are tagged:

    .. math::

        e_t &= \lambda \gamma\, e_{t-1} + \nabla q_{a_t}(t) \\
        \delta_t &= r_t + \gamma\, q_{a_{t+1}}(t+1) - q_{a_t}(t) \\
        \hat g &= -\frac{1}{T} \sum_t \delta_t e_t

    with nothing to come after the last step. The weights are held in the episode.

    Parameters
    ----------
    discount
        Factor gamma of values a step later.
    trace
        Factor lambda of the decay of tags, besides the discount.
    exploration
        ``max_boltzmann`` (greedy, with probability ``epsilon`` softmax), softmax or uniform.
    epsilon
        Probability of exploration under ``max_boltzmann``.
    """

    discount: float = 0.9
    trace: float = 0.2
    exploration: str = "max_boltzmann"
    epsilon: float = 0.02

    choices: ClassVar[Choices] = {"exploration": POLICIES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="a temporal-difference error meets decaying tags of the chosen actions",
        family="random units and actions",
        equation=(
            "-sum_t delta_t e_t / T,  e_t = lambda gamma e_(t-1) + grad q_a(t),  "
            "delta_t = r_t + gamma q_a(t+1) - q_a(t)"
        ),
        randomness=frozenset({"action"}),
        unbiased=True,
        exact_when="in expectation over actions; discount = 0: BrainProp, draw by draw",
        variance_law="exact, from covariances of rewards and values of each step under the policy",
        synapse_knows=(
            "pre, slope, feedback of the chosen action through transposed weights, its own tag, "
            "global temporal-difference error"
        ),
        reference=(
            "semi-gradient: of the squared error of the values, weighted by the policy, from "
            "their expected lambda-returns, policy and returns held"
        ),
        forward_passes=3.0,
        cites="Rombouts, Bohte & Roelfsema 2015",
        notes=(
            "the reference is the gradient of no fixed objective, as it is for all temporal "
            "differences. What is seen next does not depend on the action, and in tasks without "
            "time it depends on nothing: the values that follow are then a mere disturbance. "
            "A batch is taken for an episode: its examples are its steps, in the order of their "
            "keys, where in the paper the steps of a trial belong together. The memory units of "
            "the name are left out, the weights change after the episode, not in it, and "
            "feedback is W^T, which is what the same changes of both make of feedback that "
            "starts there"
        ),
        unverified=(
            "memory units and the changes of weights inside an episode; the paper's learning curves"
        ),
    )

    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number("discount", self.discount, least=0, most=1)
        number("trace", self.trace, least=0, most=1)
        choose("exploration", self.exploration, POLICIES)
        number("epsilon", self.epsilon, least=0, most=1)

    def policy(self, clean: Activity) -> Array:
        """Probability of each action, ``(B, A)``."""
        return exploring(clean.output, self.exploration, self.epsilon)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        rewarded, order = classes(batch, "augment"), _order(batch)
        actions = noise.actions(self.policy(clean))
        value = of_chosen(clean.output, actions)
        # What follows value[t]; nothing follows the last.
        following = np.zeros_like(value)
        following[:, order[:-1]] = value[:, order[1:]]
        error = (actions == rewarded) + self.discount * following - value
        signal = error @ self._remaining(order) / batch.size
        return winners(network, clean, actions, -signal.astype(network.dtype))

    def _remaining(self, order: Array) -> Array:
        """Share ``(t, s)`` of the tag of step s that is left at step t."""
        place = np.argsort(order)
        later = place[:, None] - place[None, :]
        # The power of a step in the future, not tagged yet, could overflow.
        left = float(self.trace * self.discount) ** np.maximum(later, 0)
        return np.where(later >= 0, left, 0.0)

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, Array]:
        error = self.policy(clean) * self._expected(network, batch, clean)
        return network.pull(clean, -error.astype(network.dtype) / batch.size)

    def _expected(self, network: Network, batch: Batch, clean: Activity) -> Array:
        """Expected lambda-return of each action less its value, ``(B, A)``."""
        reward = one_hot(classes(batch, "augment"), network.output.size, network.dtype)
        surprise, policy = reward - clean.output, self.policy(clean)
        reward_left, value_left = self._reach(batch)
        to_come = (policy * surprise).sum(axis=1) @ reward_left
        to_come += (policy * clean.output).sum(axis=1) @ value_left
        return surprise + to_come[:, None]

    def _reach(self, batch: Batch) -> tuple[Array, Array]:
        """Factors ``(t, s)`` of ``r_t - q_t`` and of ``q_t`` in the error that tag s meets.

        For t after s; the value of step t is part of the errors of steps t - 1 and t.
        """
        order = _order(batch)
        remaining, before = self._remaining(order), np.zeros((batch.size, batch.size))
        before[order[1:]] = remaining[order[:-1]]
        return remaining - np.eye(batch.size), self.discount * before

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over actions, those of different steps being independent.

        The error that the tag of step s meets is ``r_s - q_s`` plus a term of each later action.
        Two steps s < t therefore share the action of t, and all that come after it.
        """
        if "action" not in redrawn:
            return None
        policy, values = self.policy(clean).astype(float), clean.output.astype(float)
        surprise = one_hot(classes(batch, "augment"), network.output.size, values.dtype) - values
        centred = [a - (policy * a).sum(axis=1, keepdims=True) for a in (surprise, values)]
        reach = self._reach(batch)
        meets = policy * self._expected(network, batch, clean)
        # Covariance between the errors of two steps by the actions after both.
        shared = sum(
            left.T @ ((policy * one * two).sum(axis=1)[:, None] * right)
            for left, one in zip(reach, centred, strict=True)
            for right, two in zip(reach, centred, strict=True)
        )
        own = np.diagonal(shared)[:, None] * policy + meets**2 / np.where(policy > 0, policy, 1)
        chosen = np.eye(network.output.size)[:, None].repeat(batch.size, axis=1)
        tags = network.credit(clean, {network.output.name: chosen})  # (A, B, N)
        variance = {}
        for p in network.projections:
            tag = tags[p.target].astype(float)
            gram = p.synapse.pre_gram(clean.presynaptic(p)).astype(float)
            mean, plain = (np.einsum("ba,abn->bn", part, tag) for part in (meets, policy))
            lengths = np.einsum("ba,abn->b", own, tag**2) - (mean**2).sum(axis=1)
            pairs = (1 - np.eye(batch.size)) * shared * (plain @ plain.T)
            for left, one in zip(reach, centred, strict=True):
                # left[t, s] is 0 unless t comes after s: each pair once, for both of its halves.
                pairs += 2 * left * (np.einsum("ba,abn->bn", meets * one, tag) @ plain.T)
            total = np.diagonal(gram) @ lengths + (gram * pairs).sum()
            variance[p.name] = float(total) / batch.size**2
        return ClosedForm(self.reference(network, objective, batch, clean), variance)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if isinstance(objective, MeanSquaredError):
            return None
        return "augment learns action values by their squared error; use mean_squared_error"

    def theory(self) -> tuple[Claim, ...]:
        def with_options(**options: Any) -> "Augment":
            return replace(self, **options)

        return (
            Limit(
                "discount = 0: BrainProp with the same actions",
                lambda at: replace(at, rule=with_options(discount=0.0)),
                tolerance=1e-12,
                expected=_by_return(0.0),
            ),
            Limit(
                "trace = 1: the discounted sum of rewards in place of the error",
                lambda at: replace(at, rule=with_options(trace=1.0, discount=0.9)),
                tolerance=1e-12,
                expected=_by_return(0.9),
            ),
            Limit(
                "trace = 0: that sum is not what is met (negative control)",
                lambda at: replace(at, rule=with_options(trace=0.0, discount=0.9)),
                tolerance=1e-2,
                expected=_by_return(0.9),
                holds=False,
            ),
            Law("variance over its closed form", _variance),
        )


def _order(batch: Batch) -> Array:
    """Row of each step of time."""
    return np.argsort(batch.keys, kind="stable")


def _by_return(discount: float) -> Expected:
    """Each chosen value against the discounted sum of the rewards from its step on."""

    def expected(at: Situation) -> dict[str, Array]:
        network, batch, rule = at.network, at.batch, at.rule
        assert isinstance(rule, Augment)
        clean = network.forward(batch.inputs)
        actions = at.noise().actions(rule.policy(clean))[0]
        error, to_come = np.zeros_like(clean.output), 0.0
        for row in _order(batch)[::-1]:
            to_come = float(actions[row] == batch.targets[row]) + discount * to_come
            error[row, actions[row]] = clean.output[row, actions[row]] - to_come
        return network.pull(clean, error / batch.size)

    return expected


def _variance(at: Situation) -> tuple[float, float, float]:
    """Of all parameters, from 40 000 episodes; softmax, so that all actions occur."""
    rule = Augment(discount=0.9, trace=0.7, exploration="softmax")
    clean = at.network.forward(at.batch.inputs)
    law = rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"action"}))
    assert law is not None
    draws = replace(at, rule=rule).draws(40_000)
    found = sum(float(array.var(axis=0, ddof=1).sum()) for array in draws.values())
    return found / sum(law.variance.values()), 1.0, 0.05

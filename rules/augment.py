"""AuGMEnT: tags remember the chosen actions, and a temporal-difference error finds them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import InputError, choose, number
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective, in_rows, one_hot
from plausibench.rules.estimate import Estimates, by_example
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Expected, Law, Limit, Situation
from plausibench.rules.winner import POLICIES, exploring, of_chosen, winners

Array = np.ndarray


@dataclass(frozen=True)
class Augment(Rule):
    r"""Attention-gated learning with tags, AuGMEnT (Rombouts, Bohte & Roelfsema 2015).

    Outputs are action values q. In every step t of a trial that counts for the loss one action a
    is chosen, and rewarded if it is the right class, with the weight :math:`w_t` of the step.
    Feedback from the chosen action tags the synapses that took part, by way of memory units too,
    tags decay, and the temporal-difference error of SARSA changes all that are tagged:

    .. math::

        e_t &= \lambda \gamma\, e_{t-1} + \nabla q_{a_t}(t) \\
        \delta_t &= w_t \left[r_t + \gamma\, q_{a_{t+1}}(t+1) - q_{a_t}(t)\right] \\
        \hat g &= -\frac{1}{B} \sum_b \sum_t \delta_t e_t

    with nothing to come after the last step. Steps that do not count ask for no action. Without
    time a trial is one step, and this is BrainProp. The weights are held in the trial.

    Memory units (``memory_units``) add up what their synapses bring, so that the gradient of a
    value is, for each of their synapses, a trace of all that it brought times the feedback of the
    moment. Where neurons drive each other from step to step that is not so, and it is refused.

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
            "-sum_t delta_t e_t / B,  e_t = lambda gamma e_(t-1) + grad q_a(t),  "
            "delta_t = w_t (r_t + gamma q_a(t+1) - q_a(t))"
        ),
        randomness=frozenset({"action"}),
        unbiased=True,
        exact_when=(
            "in expectation over actions; without time, or with discount = 0: BrainProp, draw by "
            "draw"
        ),
        variance_law="exact, from covariances of rewards and values of each step under the policy",
        synapse_knows=(
            "pre (of a memory unit: all that it brought in the trial), slope, feedback of the "
            "chosen action through transposed weights, its own tag, global temporal-difference "
            "error"
        ),
        reference=(
            "semi-gradient: of the squared error of the values, weighted by the policy, from "
            "their expected lambda-returns, policy and returns held"
        ),
        forward_passes=3.0,
        cites="Rombouts, Bohte & Roelfsema 2015",
        phases="in every step forward, then choice and feedback from it, then the outcome",
        notes=(
            "the reference is the gradient of no fixed objective, as it is for all temporal "
            "differences. What is seen next does not depend on the action, as it does in the "
            "paper, where a wrong one ends the trial; steps that do not count ask for none. The "
            "weights change after the trial, not in it, and feedback is W^T, which is what the "
            "same changes of both make of feedback that starts there"
        ),
        unverified=(
            "the equations and defaults are from memory of the paper, which was read in its "
            "abstract; changes of weights inside a trial; the paper's learning curves"
        ),
    )

    needs_classes: ClassVar[bool] = True
    dynamics: ClassVar[frozenset[str]] = frozenset({"feedforward", "recurrent"})

    def __post_init__(self) -> None:
        number("discount", self.discount, least=0, most=1)
        number("trace", self.trace, least=0, most=1)
        choose("exploration", self.exploration, POLICIES)
        number("epsilon", self.epsilon, least=0, most=1)

    def policy(self, clean: Activity) -> Array:
        """Probability of each action, ``(T B, A)``."""
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
        wanted, weights = _wanted(batch, clean)
        actions = noise.actions(self.policy(clean))
        value = of_chosen(clean.output, actions).reshape(-1, *weights.shape)
        reward = (actions == wanted).reshape(value.shape)
        met = np.zeros_like(value)
        to_come = following = np.zeros_like(value[:, 0])
        for t in reversed(range(len(weights))):
            counts = weights[t] > 0
            error = weights[t] * (reward[:, t] + self.discount * following - value[:, t])
            arrived = error + self.trace * self.discount * to_come
            met[:, t] = np.where(counts, arrived, 0)
            to_come = np.where(counts, arrived, to_come)
            following = np.where(counts, value[:, t], following)
        signal = -met.reshape(actions.shape) / batch.size
        return winners(network, clean, actions, signal.astype(network.dtype))

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> dict[str, Array]:
        error = np.zeros((len(clean.output) // batch.size, *clean.output[: batch.size].shape))
        for example, course in enumerate(self._courses(batch, clean)):
            error[course.steps, example] = course.expected()
        error = error.reshape(clean.output.shape) * (-1 / batch.size)
        return network.pull(clean, error.astype(network.dtype))

    def _courses(self, batch: Batch, clean: Activity) -> "list[_Course]":
        """What the steps of each trial that count are worth, in float64."""
        wanted, weights = _wanted(batch, clean)
        outputs = clean.output.shape[-1]
        parts = (
            array.astype(float).reshape(*weights.shape, outputs)
            for array in (
                self.policy(clean),
                one_hot(wanted, outputs, clean.output.dtype),
                clean.output,
            )
        )
        policy, reward, values = parts
        found = []
        for example, own in enumerate(weights.T.astype(float)):
            steps = np.flatnonzero(own)
            at = (steps, example)
            found.append(
                _Course(
                    steps, own[steps], policy[at], reward[at], values[at], self.discount, self.trace
                )
            )
        return found

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over actions, those of different steps and trials being independent.

        The estimate of a trial is a sum over steps and actions of what meets the tag, if the action
        is chosen, times the gradient of its value: the covariances of the former meet the inner
        products of the latter.
        """
        if "action" not in redrawn:
            return None
        courses = self._courses(batch, clean)
        steps, outputs = len(clean.output) // batch.size, network.output.size
        asked = sorted({int(step) for course in courses for step in course.steps})
        one = np.zeros((len(asked), outputs, steps, batch.size, outputs))
        for place, step in enumerate(asked):
            one[place, :, step] = np.eye(outputs)[:, None]
        arriving = one.reshape(-1, steps * batch.size, outputs)
        tags = network.credit(clean, {network.output.name: arriving})  # (K, T B, N)
        covariances = [course.covariance() for course in courses]
        variance = {}
        for p in network.projections:
            pre = by_example(clean.presynaptic(p), batch.size).astype(float)
            gram, total = p.synapse.pre_gram(pre), 0.0
            for example, course in enumerate(courses):
                places = [asked.index(step) for step in course.steps]
                post = tags[p.target][:, example :: batch.size].astype(float)
                post = post.reshape(len(asked), outputs, steps, -1)[places]
                post = post.reshape(len(places) * outputs, steps, -1)
                seen = (gram[example] @ post).reshape(len(post), -1)
                products = post.reshape(len(post), -1) @ seen.T
                total += float((covariances[example] * products).sum())
            variance[p.name] = total / batch.size**2
        return ClosedForm(self.reference(network, objective, batch, clean), variance)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if any(p.delay for p in network.projections):
            return (
                "augment remembers in single neurons, and those of "
                f"{network.architecture} drive each other from step to step; use memory_units"
            )
        if isinstance(objective, MeanSquaredError):
            return None
        return "augment learns action values by their squared error; use mean_squared_error"

    def theory(self) -> tuple[Claim, ...]:
        def with_options(**options: Any) -> "Augment":
            return replace(self, **options)

        def several(at: Situation, **options: Any) -> Situation:
            return replace(_in_steps(at), rule=with_options(**options))

        return (
            Limit(
                "discount = 0, or no time: BrainProp with the same actions",
                lambda at: replace(at, rule=with_options(discount=0.0)),
                tolerance=1e-12,
                expected=_by_return(0.0),
            ),
            Limit(
                "trace = 1: the discounted sum of rewards in place of the error",
                lambda at: several(at, trace=1.0, discount=0.9),
                tolerance=1e-12,
                expected=_by_return(0.9),
            ),
            Limit(
                "trace = 0: that sum is not what is met (negative control)",
                lambda at: several(at, trace=0.0, discount=0.9),
                tolerance=1e-2,
                expected=_by_return(0.9),
                holds=False,
            ),
            Law("variance over its closed form", _variance(lambda at: at)),
            Law("several actions in a trial: variance over its closed form", _variance(_in_steps)),
        )


@dataclass(frozen=True, eq=False)
class _Course:
    """Steps of a trial that count, ``(T,)``, and their policy, rewards and values, ``(T, A)``."""

    steps: Array
    weights: Array
    policy: Array
    reward: Array
    values: Array
    discount: float
    trace: float

    @property
    def by_own(self) -> Array:
        """What an action adds to what its own tag meets, ``(T, A)``."""
        return self.weights[:, None] * (self.reward - self.values)

    @property
    def by_later(self) -> Array:
        """What an action at step t adds to what the tag of step s meets, ``(S, T, A)``.

        Its value is part of the errors of steps t - 1 and t.
        """
        count = len(self.weights)
        later = np.arange(count)[None] - np.arange(count)[:, None]
        left = float(self.trace * self.discount) ** np.maximum(later, 0)
        before = float(self.trace * self.discount) ** np.maximum(later - 1, 0)
        previous = self.discount * before * np.append(0, self.weights[:-1])
        found = left[..., None] * self.by_own + previous[..., None] * self.values
        return np.where((later > 0)[..., None], found, 0)

    def expected(self) -> Array:
        """What the tag of each action meets on average, times its probability, ``(T, A)``."""
        to_come = (self.policy * self.by_later).sum(axis=(1, 2))
        return self.policy * (self.by_own + to_come[:, None])

    def covariance(self) -> Array:
        """Covariances of what meets the tags of two actions of the same or of different steps.

        ``(T A, T A)``; an action that is not chosen has no tag.
        """
        count, actions = self.policy.shape
        own, later = self.by_own, self.by_later
        mean = (self.policy * later).sum(axis=2)  # (S, T)
        centred = later - mean[..., None]
        shared = np.einsum("ta,sta,rta->srt", self.policy, centred, centred)
        expected = own + mean.sum(axis=1)[:, None]
        second = np.zeros((count, actions, count, actions))
        for s in range(count):
            square = expected[s] ** 2 + shared[s, s].sum()
            second[s, :, s] = np.diag(self.policy[s] * square)
            for r in range(s + 1, count):
                first = expected[s][:, None] + centred[s, r]
                both = first * expected[r] + shared[s, r, r + 1 :].sum()
                second[s, :, r] = self.policy[s][:, None] * self.policy[r] * both
                second[r, :, s] = second[s, :, r].T
        flat = self.expected().reshape(-1)
        return second.reshape(flat.size, flat.size) - np.outer(flat, flat)


def _wanted(batch: Batch, clean: Activity) -> tuple[Array, Array]:
    """Rewarded class of every row ``(T B,)``, and the weight of every step ``(T, B)``.

    Raises
    ------
    InputError
        If the targets are not integer classes.
    """
    if batch.targets.dtype.kind != "i":
        raise InputError(
            "targets: augment rewards one action per step, so real-valued targets of shape "
            f"{batch.targets.shape} are not allowed; give integer classes (B,) or (B, T)"
        )
    wanted, weights = in_rows(clean.output, batch)
    return wanted, np.ones((1, batch.size)) if weights is None else weights


def _in_steps(at: Situation) -> Situation:
    """Trials of three different inputs, each with a class."""
    if at.network.dynamics != "recurrent":
        raise InputError("without time a trial is one step")
    if at.batch.inputs.ndim == 3:
        raise InputError("the trials have steps already")
    inputs, targets = (
        np.stack([np.roll(array, -step, axis=0) for step in range(3)], axis=1)
        for array in (at.batch.inputs, at.batch.targets)
    )
    return replace(at, batch=Batch(inputs, targets, at.batch.keys))


def _by_return(discount: float) -> Expected:
    """Each chosen value against the discounted sum of the rewards from its step on."""

    def expected(at: Situation) -> dict[str, Array]:
        network, batch, rule = at.network, at.batch, at.rule
        assert isinstance(rule, Augment)
        clean = network.forward(batch.inputs)
        wanted, weights = _wanted(batch, clean)
        actions = at.noise().actions(rule.policy(clean))[0]
        error = np.zeros_like(clean.output)
        for example in range(batch.size):
            to_come = 0.0
            for step in reversed(np.flatnonzero(weights[:, example])):
                row = step * batch.size + example
                to_come = float(actions[row] == wanted[row]) + discount * to_come
                missed = clean.output[row, actions[row]] - to_come
                error[row, actions[row]] = weights[step, example] * missed
        return network.pull(clean, error / batch.size)

    return expected


def _variance(
    reach: Callable[[Situation], Situation],
) -> Callable[[Situation], tuple[float, float, float]]:
    """Of all parameters, from 40 000 draws; softmax, so that all actions occur."""

    def measure(at: Situation) -> tuple[float, float, float]:
        at = reach(at)
        rule = Augment(discount=0.9, trace=0.7, exploration="softmax")
        clean = at.network.forward(at.batch.inputs)
        law = rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"action"}))
        assert law is not None
        draws = replace(at, rule=rule).draws(40_000)
        found = sum(float(array.var(axis=0, ddof=1).sum()) for array in draws.values())
        return found / sum(law.variance.values()), 1.0, 0.05

    return measure

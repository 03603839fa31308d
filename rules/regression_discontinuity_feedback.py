"""Feedback learned by regression discontinuity: weights that know what a spike causes above."""

from dataclasses import dataclass, replace
from math import asin, erf, pi
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.kernels.errors import choose, integer, number, positive
from plausibench.objectives.objective import Objective
from plausibench.rules.discontinuity import REGRESSIONS, check, jump_weights
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import (
    LayerwiseFeedback,
    learned,
    least_cosine,
    resting,
    symmetric,
    transposed,
)
from plausibench.rules.rule import Choices, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

RESPONSES = ("activity", "drive")
EVERYTHING = 100.0
"""A window with all trials in it: no drive is as many standard deviations from threshold."""


@dataclass(frozen=True)
class RegressionDiscontinuityFeedback(LayerwiseFeedback):
    r"""Feedback from regression discontinuity (Guerguiev, Kording & Richards 2020).

    The weights learn by feedback alignment through B. After each step comes a spiking phase for
    every projection between layers. Its sources have noisy drives v of variance 1, which they
    share in part, and spike where v reaches threshold; a spike sends ``amplitude`` to the
    targets. Trials in which a source almost spiked and barely spiked are alike in all but its
    spike, so the jump of the target's response y at threshold is what the spike causes:

    .. math::

        B_{ik} \leftarrow (1 - \text{rate}) B_{ik} + \frac{\text{rate}}{\text{amplitude}}
        \left( \lim_{v \downarrow 0} E[y_k | v_i = v] - \lim_{v \uparrow 0} E[y_k | v_i = v]
        \right)

    A source without trials on both sides keeps its B.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    trials
        Windows of time in the spiking phase of a step.
    rate
        Share of B that is replaced in a step.
    window
        Largest distance of a drive from threshold that counts, in standard deviations.
    regression
        local_linear: a line on each side of the threshold; local_constant: a mean on each side.
    common
        Correlation between the drives of two sources, which confounds what they cause.
    amplitude
        Activity of a source that spikes; 0 of one that does not.
    response
        activity: what the targets do, about their biases; B tends to W^T times their slopes.
        drive: what they receive; B tends to W^T.
    """

    trials: int = 128
    rate: float = 0.1
    window: float = 0.5
    regression: str = "local_linear"
    common: float = 0.2
    amplitude: float = 0.1
    response: str = "activity"

    choices: ClassVar[Choices] = {"regression": REGRESSIONS, "response": RESPONSES}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights learn how the layer above jumps when a neuron barely spikes",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B_ik <- (1 - rate) B_ik + rate / amplitude (jump of y_k where v_i reaches threshold)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "after many trials, as window -> 0, where the response is linear with slope 1: then "
            "|B - W^T| falls as trials^(-1/2)"
        ),
        variance_law=(
            "0 for given B; after n trials in a narrow window, responses linear and drives "
            "independent, |B - W^T|^2 = 2 (N_in - 1) / (n window 0.399) |W|^2 with lines, a "
            "quarter of it with means; over the first B that of a product of random matrices"
        ),
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; in the spiking phase the drive "
            "and spikes of its source and the response of its target"
        ),
        forward_passes=3.0,
        cites="Guerguiev, Kording & Richards 2020",
        notes=(
            "neurons spike in a phase of its own only, in which one layer drives the next and "
            "errors and inputs are silent; a window of time is one step, its noisy drive that of "
            "the paper's maximal drive, and jumps are fitted anew in every phase; for finite "
            "windows B_ik differs from W_ki by what the other sources add, sum_(j != i) W_kj "
            "times a number that vanishes as window (means) or window^3 (lines); B is random "
            "after a phase, but measuring holds it; the defaults are ours"
        ),
        unverified="the paper's constants, which could not be had",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("trials", self.trials, least=2)
        number("rate", self.rate, above=0, most=1)
        check(self.window, self.regression)
        number("common", self.common, least=0, below=1)
        positive("amplitude", self.amplitude)
        choose("response", self.response, RESPONSES)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.returning:
            if not p.synapse.separable:
                return (
                    "regression_discontinuity_feedback learns whole matrices, which "
                    f"{p.name} has not"
                )
        return super().unsupported(network, objective)

    def advance(self, state: State, step: Step) -> State:
        network, new = step.network, {}
        for p in network.returning:
            x = self._drawn(step.noise, p, network.population(p.source).size)
            sent = self.amplitude * (x >= 0)
            response = p.synapse.drive(network.parameters[p.name], sent)
            if self.response == "activity":
                at_rest = resting(network, p.target)
                neurons = network.population(p.target).neurons
                response = neurons.activate(response + at_rest)
            # Both sides lose the same constant, and the sums keep their digits.
            response = (response - response.mean(axis=0)) / self.amplitude
            weights, fitted = jump_weights(x[None], self.window, self.regression)
            seen = p.synapse.transpose(p.synapse.outer(response, weights[0]))
            share = self.rate * fitted[0][:, None]
            mixed = (1 - share) * state[p.name] + share * seen
            new[p.name] = mixed.astype(network.dtype, copy=False)
        return new

    def _drawn(self, noise: Noise, p: Projection, size: int) -> Array:
        """Drives less threshold ``(trials, N_in)``, of variance 1; every projection has its own."""
        own, shared = f"discontinuity.{p.name}", f"discontinuity.{p.name}.common"
        shapes = {own: np.empty((self.trials, size)), shared: np.empty((self.trials, 1))}
        drawn = noise.parameters(shapes)
        return (1 - self.common) ** 0.5 * drawn[own][0] + self.common**0.5 * drawn[shared][0]

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law("|B - W^T| as a power of the trials, 2000 to 200 000", self._fall),
            Law(
                "|B - W^T|^2 / |W|^2 over its law, window 0.1, 20 000 trials, drives independent",
                self._error,
            ),
            Law(
                "what sources of correlation 0.5 add in a window of 0.5, in units of their weights",
                self._added,
            ),
            Law(
                "difference of means, no window: the same is 2 asin(0.5) / pi (negative control)",
                self._confounded,
            ),
            Law("cosine of B with W^T times slopes after 100 000 trials, lines", self._direction),
        )

    def _fall(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, rate=1.0, window=0.2, common=0.0, response="drive")
        numbers, seeds = (2000, 20_000, 200_000), range(10)
        errors = [
            sum(_apart(replace(at, rule=replace(rule, trials=n), seed=seed))[0] for seed in seeds)
            for n in numbers
        ]
        return float(np.polyfit(np.log(numbers), np.log(errors), 1)[0] / 2), -0.5, 0.05

    def _error(self, at: Situation) -> tuple[float, float, float]:
        """Independent drives: y without source i has variance |W_k|^2 / 4 without W_ki."""
        rule = replace(self, rate=1.0, trials=20_000, window=0.1, common=0.0, response="drive")
        found = expected = 0.0
        for seed in range(100):
            apart, law = _apart(replace(at, rule=rule, seed=seed))
            found, expected = found + apart, expected + law
        return found / expected, 1.0, 0.1

    def _added(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, window=0.5, common=0.5)
        return _confounding(at, rule), rule.confounding(), 0.01

    def _confounded(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, window=EVERYTHING, common=0.5, regression="local_constant")
        return _confounding(at, rule), 2 * asin(0.5) / pi, 0.01

    def confounding(self) -> float:
        """Jump of the probability that another source spikes, as it is fitted in the window.

        With many trials and linear responses B_ik tends to W_ki plus this times the weights of
        the other sources.
        """
        nodes, lengths = np.polynomial.legendre.leggauss(200)
        v = min(self.window, 10.0) * (nodes + 1) / 2
        weight = lengths * np.exp(-(v**2) / 2)
        # Given v_i = v the other drive is normal with mean c v and variance 1 - c^2.
        z = self.common * v / (2 * (1 - self.common**2)) ** 0.5
        excess = np.array([erf(each) for each in z]) / 2
        degree = 1 if self.regression == "local_linear" else 0
        fit = np.polynomial.polynomial.polyfit(v, excess, degree, w=weight**0.5)
        return 2 * float(fit[0])

    def _direction(self, at: Situation) -> tuple[float, float, float]:
        rule = RegressionDiscontinuityFeedback(trials=100_000, rate=1.0, regression="local_linear")
        state = learned(replace(at, rule=rule), 1)
        return least_cosine(state, rule.goals(at.network)), 1.0, 1e-2

    def goals(self, network: Network) -> State:
        """What B tends to as window and amplitude get small: W^T, times slopes at rest."""
        goals = transposed(network)
        for p in network.returning:
            if self.response == "activity":
                neurons, at_rest = network.population(p.target).neurons, resting(network, p.target)
                goals[p.name] = goals[p.name] * neurons.slope(at_rest, neurons.activate(at_rest))
        return goals


def _apart(at: Situation) -> tuple[float, float]:
    """Squared distance of B from W^T after one phase, and its law for independent drives."""
    rule, network, state = at.rule, at.network, learned(at, 1)
    assert isinstance(rule, RegressionDiscontinuityFeedback)
    lines = 4 if rule.regression == "local_linear" else 1
    near = rule.trials * rule.window / (2 * pi) ** 0.5  # trials on each side
    apart = law = 0.0
    for name, goal in transposed(network).items():
        square = float(np.sum(goal**2))
        apart += float(np.sum((state[name] - goal) ** 2))
        law += lines * 2 / near * (len(goal) - 1) * square / 4
    return apart, law


def _confounding(at: Situation, rule: RegressionDiscontinuityFeedback) -> float:
    """Regression of B - W^T on the weights of the other sources, after 200 000 trials."""
    rule = replace(rule, rate=1.0, trials=200_000, response="drive")
    state = learned(replace(at, rule=rule), 1)
    product = square = 0.0
    for name, goal in transposed(at.network).items():
        others = goal.sum(axis=0) - goal
        product += float(np.sum((state[name] - goal) * others))
        square += float(np.sum(others**2))
    return product / square

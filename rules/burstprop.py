"""Burstprop: top-down signals change the share of events that are bursts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.rules.bursting import Bursting
from plausibench.rules.random_feedback import symmetric
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray


@dataclass(frozen=True)
class Burstprop(Bursting):
    r"""Burst-dependent plasticity in its rate form (Payeur, Guerguiev, Zenke et al. 2021).

    A neuron sends two signals in one train of spikes. Its rate of events :math:`e`, the
    activity above its lowest value, goes up the hierarchy; the rate of those events that are
    bursts, :math:`b = p e`, goes down through weights Y, and moves the probability p of the
    neurons below:

    .. math::

        b_L &= p_0 e_L, \qquad b^t_L = b_L - \nu p_0 \delta_L \\
        u_l &= (f'_l / e_l) (Y_l b_{l+1} - I_l), \qquad p_l = \sigma(u_l), \qquad b_l = p_l e_l

    and :math:`b^t_l` likewise from :math:`b^t_{l+1}`. Synapses change with
    :math:`(b^t_l - b_l) a_{l-1}^T`. With a sigmoid output and the squared error the taught
    output is the paper's :math:`p_0 [1 + (y - e)(1 - e)]`, and :math:`f' / e = 1 - e`.

    The state holds Y ``(N_l, N_(l+1))`` under the name of the projection it runs against.

    Parameters
    ----------
    burst_probability
        Probability p_0 of a burst at the output without teaching.
    nudging
        Share nu of the error that teaches the output.
    feedback
        Weights Y: symmetric (W^T), or random and fixed, with the entries that
        ``feedback_alignment`` draws by default.
    inhibition
        Dendritic inhibition I without teaching: ideal, it cancels the bursts from above and
        p = 1/2; none, the bursts from above bias p and its gain.
    scale
        declared: undo ``nu p_0 4^-(L-l)``, which the rule makes of the gradient l layers from
        the input; none: the update as the synapses make it.
    """

    burst_probability: float = 0.2
    nudging: float = 1.0
    feedback: str = "symmetric"
    inhibition: str = "ideal"
    scale: str = "declared"

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nudging": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return as changes of the probability that an event is a burst",
        family="dendrites",
        equation="post_l = -(b^t_l - b_l) 4^(L-l) / (nu p_0),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="Y = W^T and ideal inhibition, as nudging -> 0; the output layer always",
        bias_order=2,
        variance_law="0 for given feedback",
        synapse_knows=(
            "pre, event and burst rates of its neuron with and without teaching; symmetric "
            "feedback also needs the transposed weights above"
        ),
        forward_passes=4.0,
        cites="Payeur, Guerguiev, Zenke, Richards & Naud 2021",
        notes=(
            "An error of the second order only, because the logistic function has no curvature at "
            "p = 1/2. Events are counted from the lowest activity, so that tanh units have some. "
            "An output without a lowest activity is taught through burst rates relative to its "
            "baseline, which only ideal inhibition allows. Spikes are not drawn (spiking_burstprop "
            "draws them), and feedback and inhibition are not learned, as they are in the paper"
        ),
        unverified="the learning of Y; momentum and decay of the published code",
    )

    def randomness(self) -> frozenset[str]:
        return self.card.randomness if self.feedback == "random" else frozenset()

    def theory(self) -> tuple[Claim, ...]:
        if self.scale != "declared" or self.inhibition != "ideal":
            return ()

        def at(situation: Situation, nudging: float) -> Situation:
            return replace(symmetric(situation), rule=replace(self, nudging=nudging))

        def random(situation: Situation) -> Situation:
            rule = replace(self, feedback="random")
            state = rule.initial_state(situation.network, situation.seed)
            return replace(situation, rule=rule, state=state)

        def output(situation: Situation) -> dict[str, Array]:
            names = [p.name for p in situation.network.incoming[situation.network.output.name]]
            return {name: situation.reference()[name] for name in names}

        return (
            # The output layer has no error at any nudging.
            Limit("output layer, random Y: backpropagation", random, 1e-12, expected=output),
            Limit("random Y: biased", random, tolerance=0.1, holds=False),
            Slope("Y = W^T, nudging -> 0: backpropagation", at, 2, smallest=1e-2, tolerance=1e-6),
        )

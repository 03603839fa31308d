"""Direct Kolen-Pollack: broadcast feedback that learns from errors and activity."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Network
from plausibench.kernels.errors import positive
from plausibench.rules.random_feedback import (
    BroadcastFeedback,
    distance,
    products,
    single,
    top_signal,
    trained,
)
from plausibench.rules.rule import RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

STEPS, DECAY, RATE = 200, 0.01, 0.01
"""Training of the laws: steps, weight decay and learning rate of the weights."""


@dataclass(frozen=True)
class DirectKolenPollack(BroadcastFeedback):
    """Direct Kolen-Pollack learning (Webster, Choi & Ahn 2021).

    The weights learn by direct feedback alignment through B. In every step each B learns as
    weights from its layer straight to the output would, and loses the share that weights lose,

    ``B_l <- (1 - decay) B_l - rate <a_l delta_L^T>``.

    For the layer below the output these are the changes of W_L^T, if ``rate`` is the learning rate
    of the weights: there it is Kolen-Pollack learning. The layers further down have no such
    partner: what B tends to is known only for the highest one.

    The state holds a matrix B ``(N_l, N_L)`` for every hidden population, under the
    population's name.

    Parameters
    ----------
    scale
        Entries of the first B are uniform on ``+- scale / N_l^(1/2)``.
    rate
        Learning rate of B, which has one of its own.
    """

    rate: float = 0.1

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.01, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="direct feedback weights learn as weights straight to the output would",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_l delta_L) f_l'(z_l),  pre_l = a_(l-1);  "
            "B_l <- (1 - decay) B_l - rate <a_l delta_L^T>"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "one hidden layer, plain descent at the same rate, after many steps with weight decay: "
            "|B - W^T| shrinks by 1 - decay in each"
        ),
        variance_law="0 for given B; over the first B, s^2 ||f_l'||^2 ||delta_L||^2",
        synapse_knows=(
            "pre, slope of its neuron, the output errors through B; a feedback synapse knows the "
            "error at the output and the activity of its neuron"
        ),
        forward_passes=2.5,
        cites="Webster, Choi & Ahn 2021",
        phases="forward, then the broadcast of the error",
        notes=(
            "further down than the layer below the output B is no product of weights, even after "
            "many steps; with momentum or Adam the weights move otherwise than B, which descends "
            "plainly; B learns from the same two factors where the weights are held, too, and "
            "without weight decay what was first in it stays"
        ),
        unverified=(
            "the update of B is that of the authors' code, whose paper was read in its abstract "
            "only; optimiser, schedule and decay of B of their own, and batch normalisation, are "
            "left out; the default of rate is ours"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("rate", self.rate)

    def advance(self, state: State, step: Step) -> State:
        delta = top_signal(step.network, step.objective, step.batch, step.clean)
        return {
            name: (1 - step.decay) * matrix - self.rate * (step.clean.activity[name].T @ delta)
            for name, matrix in state.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        tied, twice = replace(self, rate=RATE), replace(self, rate=2 * RATE)
        return (
            Limit("one hidden layer, B = W^T: backpropagation", _matched, tolerance=1e-14),
            Limit("linear network, B_l = (W_L ... W_(l+1))^T: backpropagation", products, 1e-13),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "one hidden layer, equal rates: |B - that of Kolen-Pollack| / |B| after 200 steps",
                lambda at: (_beside_kolen_pollack(replace(at, rule=tied)), 0.0, 1e-12),
            ),
            Law(
                "one hidden layer, equal rates, decay 0.01: |B - W^T| after 200 steps over that "
                "before times 0.99^200",
                lambda at: (_shrinkage(replace(at, rule=tied), 1.0), 1.0, 1e-12),
            ),
            Law(
                "at twice the rate of the weights B tends to 2 W^T: |B - 2 W^T| likewise",
                lambda at: (_shrinkage(replace(at, rule=twice), 2.0), 1.0, 1e-12),
            ),
        )


def _goal(network: Network) -> State:
    """W^T under the name of the single hidden population, as a matrix whatever the synapses."""
    top = network.output.size
    goal = {}
    for p in network.returning:
        goal[p.source] = p.synapse.feedback(network.parameters[p.name], np.eye(top)).T
    return goal


def _matched(at: Situation) -> Situation:
    return replace(single(at), state=_goal(at.network))


def _beside_kolen_pollack(at: Situation) -> float:
    """Relative distance of B from the matrix that undergoes the changes of W^T, after STEPS."""
    single(at)
    other = at.state
    for _ in range(STEPS):
        after = trained(at, 1, DECAY, RATE)
        then, now = _goal(at.network), _goal(after.network)
        # What W^T was changed by, decay left out.
        other = {
            name: (1 - DECAY) * matrix + now[name] - (1 - DECAY) * then[name]
            for name, matrix in other.items()
        }
        at = after
    return distance(at.state, other) / distance(at.state, {n: 0 * b for n, b in other.items()})


def _shrinkage(at: Situation, ratio: float) -> float:
    """Length of B - ratio W^T after training, over what the decay alone makes of it."""
    single(at)
    after = trained(at, STEPS, DECAY, RATE)

    def apart(there: Situation) -> float:
        goal = {name: ratio * matrix for name, matrix in _goal(there.network).items()}
        return distance(there.state, goal)

    return apart(after) / (apart(at) * (1 - DECAY) ** STEPS)

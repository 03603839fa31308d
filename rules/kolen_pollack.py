"""Kolen-Pollack: feedback weights that undergo the same changes as the forward weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from plausibench.rules.random_feedback import (
    LayerwiseFeedback,
    distance,
    symmetric,
    trained,
    transposed,
)
from plausibench.rules.rule import RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation


@dataclass(frozen=True)
class KolenPollack(LayerwiseFeedback):
    """Kolen-Pollack learning (Kolen & Pollack 1994; Akrout et al. 2019).

    The weights learn by feedback alignment. Every change of a weight W is also made to its
    feedback weight, and both decay by the same share, so that ``D = B - W^T`` is what it was
    times one minus that share, whatever the optimiser. Without weight decay in training
    nothing is learned: set ``weight_decay``.

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    """

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights change as the forward weights do, and decay makes them agree",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B <- (1 - decay) B + (change of W)^T"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="after many steps with weight decay: |B - W^T| shrinks by 1 - decay in each",
        variance_law="0 for given B; over the first B that of a product of random matrices",
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; a feedback synapse sees the "
            "same two factors as its forward partner"
        ),
        forward_passes=3.0,
        cites="Kolen & Pollack 1994; Akrout, Wilson, Humphreys, Lillicrap & Tweed 2019",
        notes=(
            "with momentum or Adam the change that was applied is shared, not the gradient; with "
            "the weights held, or without weight decay, B - W^T stays as it is"
        ),
    )

    def advance(self, state: State, step: Step) -> State:
        kept = 1 - step.decay
        return {
            p.name: kept * state[p.name] + p.synapse.transpose(step.applied[p.name])
            for p in step.network.returning
        }

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law(
                "|B - W^T| after 200 steps of decay 0.01, over that before times 0.99^200",
                lambda at: (_shrinkage(at, 200, 0.01), 1.0, 1e-12),
            ),
            Law(
                "|B - W^T| after 200 steps without decay, over that before",
                lambda at: (_shrinkage(at, 200, 0.0), 1.0, 1e-12),
            ),
        )


def _shrinkage(at: Situation, steps: int, decay: float) -> float:
    """Length of B - W^T after steps of learning, over what the decay alone makes of it."""
    after = trained(at, steps, decay)
    before = distance(at.state, transposed(at.network))
    return distance(after.state, transposed(after.network)) / (before * (1 - decay) ** steps)

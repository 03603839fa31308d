"""Direct feedback alignment: the output error is broadcast to every layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.rules.estimate import form, outers
from plausibench.rules.random_feedback import BroadcastFeedback, products, single
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class DirectFeedbackAlignment(BroadcastFeedback):
    """Direct feedback alignment (Nokland 2016).

    The state holds a matrix B ``(N_l, N_L)`` for every hidden population, under the
    population's name.

    Parameters
    ----------
    scale
        Entries of B are uniform on ``+- scale / N_l^(1/2)``.
    """

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the output error reaches every layer through its own fixed random weights",
        family="fixed feedback",
        equation="post_L = delta_L,  post_l = (B_l delta_L) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="one hidden layer with B = W^T; a linear network with B_l = (W_L ... W_(l+1))^T",
        variance_law="0 for given B; over B, s^2 ||f_l'||^2 ||delta_L||^2 for each example",
        synapse_knows="pre, slope of its neuron, a private random mixture of the output errors",
        expected=("high", "low"),
        forward_passes=2.5,
        cites="Nokland 2016",
        phases="forward, then the broadcast of the error",
    )

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("one hidden layer: feedback alignment, bit by bit", single, 0.0, by_projections),
            Limit("linear network, B_l = (W_L ... W_(l+1))^T: backpropagation", products, 1e-13),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def by_projections(at: Situation) -> dict[str, Array]:
    """Feedback alignment with the same matrices, which run against the output's projection."""
    network, batch = at.network, at.batch
    clean = network.forward(batch.inputs)
    error = at.objective.batch_error(clean.output, batch)
    feedback = {p.name: p.synapse.untranspose(at.state[p.source]) for p in network.returning}
    signals = network.credit(clean, {network.output.name: error}, feedback)
    return form(network, outers(network, clean, signals))

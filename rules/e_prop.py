"""e-prop: eligibility traces of single neurons, and errors that reach them at once."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Projection
from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit
from plausibench.rules.through_time import (
    IN_TIME,
    LearningSignal,
    aligned,
    diagonal,
    one_step,
    recurring,
    without_recurrence,
)

Array = np.ndarray


@dataclass(frozen=True)
class EProp(LearningSignal):
    """e-prop (Bellec et al. 2020).

    The gradient is a sum over time of an eligibility trace, which knows the neuron's own past,
    times the total derivative of the loss by the neuron's activity. e-prop puts the error of the
    same step in place of the latter: what activity does by way of other neurons is left out. A
    neuron's synapse onto itself belongs to its own past, and so do its leak, its synaptic filter,
    its adaptation and, unless the neurons detach it, its reset.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)``.
    feedback
        Weights from the errors to the neurons: ``symmetric``, ``random`` or ``adaptive``.
    """

    feedback: str = "symmetric"

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors of the same step meet eligibility traces of the neuron's own past",
        family="through time",
        equation=(
            "eps_t = (dh_t/dh_(t-1)) eps_(t-1) + dh_t/dw, of one neuron,  g = sum_t (B e_t) eps_t; "
            "as an outer product: post_t is B e_t filtered in reverse time through the neuron"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W_out^T and each neuron recurrent onto itself alone; the readout always",
        variance_law="0 for given B",
        synapse_knows="an eligibility trace of pre and post, a private mixture of the errors",
        forward_passes=3.0,
        cites="Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein & Maass 2020",
        phases="one, forwards: the trace is online, the filtered error an equal sum over the trial",
        notes=(
            "the published trace leaves the reset out; here it is in, unless the neurons detach it "
            "(detach_reset); adaptive feedback undergoes the changes of the forward weights"
        ),
        unverified="the paper's learning curves and the regulariser of firing rates",
    )

    dynamics: ClassVar[frozenset[str]] = IN_TIME

    def kept(self, projection: Projection, weights: Array) -> Array | None:
        return np.diag(weights.diagonal())

    def theory(self) -> tuple[Claim, ...]:
        symmetric = replace(self, feedback="symmetric")
        return (
            Limit(
                "no recurrent weights, B = W^T: backpropagation through time",
                lambda at: aligned(without_recurrence(at)),
                tolerance=1e-12,
            ),
            Limit(
                "each neuron recurrent onto itself alone, B = W^T: backpropagation through time",
                lambda at: aligned(diagonal(at)),
                tolerance=1e-12,
            ),
            Limit(
                "one time step, symmetric: backpropagation through time",
                lambda at: replace(one_step(at), rule=symmetric, state={}),
                tolerance=1e-12,
            ),
            Limit("other recurrence, B = W^T: biased", recurring, tolerance=1e-6, holds=False),
        )

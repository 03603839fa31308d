"""Random feedback local online learning: leaky traces, errors through random weights."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.rules.rule import RuleCard
from plausibench.rules.theory import Claim, Limit
from plausibench.rules.through_time import (
    IN_TIME,
    LearningSignal,
    aligned,
    one_step,
    recurring,
    without_recurrence,
)


@dataclass(frozen=True)
class Rflo(LearningSignal):
    """Random feedback local online learning (Murray 2019).

    Errors reach the neurons directly, and a synapse remembers as long as its neuron leaks: what
    activity does by way of other neurons later, and by way of the neuron's own synapse onto
    itself, is left out.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)``.
    feedback
        Weights from the errors to the neurons: ``random``, ``symmetric`` or ``adaptive``.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors through random weights meet traces that leak as the neuron does",
        family="through time",
        equation=(
            "p_t = (1 - k) p_(t-1) + k f'(u_t) h_(t-1)^T,  g_rec = sum_t (B e_t) p_t;  as an outer "
            "product: post_t = k f'(u_t) l_t,  l_t = B e_t + (1 - k) l_(t+1)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W_out^T, and no recurrent weights or one time step; the readout always",
        variance_law="0 for given B",
        synapse_knows="a trace of pre times the slope of its neuron, a private mixture of errors",
        forward_passes=3.0,
        cites="Murray 2019",
        phases="one, forwards: the trace is online, the filtered error an equal sum over the trial",
        notes="of spiking neurons what returns through the reset and the synaptic filter is kept",
        unverified="the paper's learning curves",
    )

    dynamics: ClassVar[frozenset[str]] = IN_TIME

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "no recurrent weights, B = W^T: backpropagation through time",
                lambda at: aligned(without_recurrence(at)),
                tolerance=1e-12,
            ),
            Limit(
                "one time step, B = W^T: backpropagation through time",
                lambda at: aligned(one_step(at)),
                tolerance=1e-12,
            ),
            Limit("recurrent weights, B = W^T: biased", recurring, tolerance=1e-6, holds=False),
        )

"""Random feedback through time: what returns to earlier steps returns through random weights."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.random_feedback import LayerwiseFeedback, symmetric
from plausibench.rules.rule import ClosedForm, RuleCard
from plausibench.rules.theory import Claim, Limit
from plausibench.rules.through_time import IN_TIME


@dataclass(frozen=True)
class RandomFeedbackThroughTime(LayerwiseFeedback):
    """Feedback alignment through time: fixed random weights in place of every transposed one.

    The state holds a matrix B ``(N_in, N_out)`` for every projection between populations, those
    of a population onto itself included, under the projection's name; with B = W^T the rule is
    backpropagation through time.

    Parameters
    ----------
    scale
        Entries of B have variance ``scale^2 / (N_in + N_out)``.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return to neurons and to earlier steps through fixed random weights",
        family="through time",
        equation="lambda_t = B_out e_t + (1 - k) lambda_(t+1) + B_rec post_(t+1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="B = W^T everywhere; the readout always",
        variance_law="0 for given B",
        synapse_knows="pre at every step, and errors of the future through private random mixtures",
        forward_passes=3.0,
        cites="Lillicrap, Cownden, Tweed & Akerman 2016; Murray 2019",
        phases="forward through all steps, then backward through all of them",
        notes="it needs the future, as backpropagation through time does",
    )

    dynamics: ClassVar[frozenset[str]] = IN_TIME

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """None is known: B returns many times over."""
        return None

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation through time", symmetric, tolerance=1e-12),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )

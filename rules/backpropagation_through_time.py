"""Backpropagation through time: the exact gradient of a recurrent network."""

from dataclasses import dataclass
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, differences
from plausibench.rules.through_time import IN_TIME


@dataclass(frozen=True)
class BackpropagationThroughTime(Rule):
    """Backpropagation through time (Werbos 1990), in one reverse pass through all steps."""

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through transposed weights, and from later steps to earlier ones",
        family="through time",
        equation=(
            "lambda_t = W_out^T e_t + (1 - k) lambda_(t+1) + W_rec^T post_(t+1),  "
            "post_t = k f'(u_t) lambda_t,  g_rec = sum_t post_t h_(t-1)^T"
        ),
        randomness=frozenset(),
        unbiased=True,
        exact_when="always",
        variance_law="0 for a given batch",
        synapse_knows="pre at every step, and errors of the future through transposed weights",
        forward_passes=3.0,
        cites="Rumelhart, Hinton & Williams 1986; Werbos 1990",
        phases="forward through all steps, then backward through all of them",
        notes="of spiking neurons with their pseudo-derivative, and the gradient of no loss",
    )

    dynamics: ClassVar[frozenset[str]] = IN_TIME

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        error = {network.output.name: objective.batch_error(clean.output, batch)}
        return outers(network, clean, network.credit(clean, error))

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("anywhere: central differences of the loss", lambda at: at, 1e-7, differences),
        )

"""Hebb: neurons that are active together strengthen their connection."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import chain
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class Hebb(Rule):
    """Hebb's rule (Hebb 1949): the change of a weight is post times pre."""

    card: ClassVar[RuleCard] = RuleCard(
        summary="post times pre, with no word about the objective",
        family="aims of a layer",
        learns_without_error=True,
        equation="post_l = -a_l,  pre_l = a_(l-1)",
        randomness=frozenset(),
        unbiased=False,
        exact_when="never; it does not depend on targets",
        variance_law="0",
        synapse_knows="pre, post",
        forward_passes=1.0,
        cites="Hebb 1949",
        notes=(
            "weights grow without bound; its distance to the gradient of the objective only "
            "describes it"
        ),
    )

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        post = {p.name: -clean.activity[p.name] / batch.size for p in network.populations}
        return outers(network, clean, post)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "linear neurons: -W C, C the second moment of the inputs", _linear, 1e-13, _moment
            ),
            Limit("the gradient of the objective", lambda at: at, tolerance=0.1, holds=False),
        )


def _linear(at: Situation) -> Situation:
    network = chain(at, [at.network.hidden[-1].size], "identity")
    return replace(at, network=network)  # its biases are 0


def _moment(at: Situation) -> dict[str, Array]:
    x, network = at.batch.inputs, at.network
    first = next(p.name for p in network.projections if p.source == INPUT)
    return {first: -network.parameters[first] @ (x.T @ x / len(x))}

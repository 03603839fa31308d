"""Real-time recurrent learning: the influence of every weight, carried forwards."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation
from plausibench.rules.through_time import IN_TIME

CHUNK = 64
"""Weights whose influence is carried forwards together."""


@dataclass(frozen=True)
class RealTimeRecurrentLearning(Rule):
    """Real-time recurrent learning (Williams & Zipser 1989).

    Each weight has an influence on every neuron, which goes forwards through time as activity
    does. It needs no return through time and is exact, at the price of one influence per weight
    and neuron: as many passes as there are weights.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="every weight's influence on every neuron goes forwards through time with activity",
        family="through time",
        equation=(
            "P_t = ((1 - k) I + k diag(f'(u_t)) W_rec) P_(t-1) + dh_t/dw at fixed h_(t-1),  "
            "g = sum_t (W_out^T e_t) . P_t"
        ),
        randomness=frozenset(),
        unbiased=True,
        exact_when="always, for weights that are held during a trial",
        variance_law="0 for a given batch",
        synapse_knows="its influence on every neuron of the network, and the errors of all of them",
        forward_passes=100.0,
        cites="Williams & Zipser 1989",
        phases="one, forwards",
        notes=(
            "one forward pass for every weight, and one number per weight and neuron; the cost "
            "given is that of 100 weights"
        ),
        weight_transport=True,
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
        error = objective.batch_error(clean.output, batch)
        found: Estimates = {}
        for p in network.projections:
            size, gradient = network.parameters[p.name].size, []
            for first in range(0, size, CHUNK):
                each = np.eye(min(CHUNK, size - first), size, first, dtype=network.dtype)
                moved = {p.name: each.reshape(-1, *p.synapse.shape)}
                influence = network.tangent(clean, parameters=moved).output
                gradient.append((error * influence).sum(axis=(-1, -2)))
            found[p.name] = Dense(np.concatenate(gradient).reshape(p.synapse.shape))
        return found

    def theory(self) -> tuple[Claim, ...]:
        return (Limit("anywhere: backpropagation through time", lambda at: at, 1e-12, _through),)


def _through(at: Situation) -> dict[str, np.ndarray]:
    """Backpropagation through time."""
    return at.network.gradient(at.objective, at.batch)

"""Backpropagation of error."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, differences

Array = np.ndarray

ENUMERATED = ("settling", "spiking", "stochastic", "recurrent stochastic")
"""More than one outer product for a connection, or a sum over outcomes."""


@dataclass(frozen=True)
class Backprop(Rule):
    """Backpropagation of error (Rumelhart, Hinton & Williams 1986).

    In a network that settles, recurrent backpropagation (Almeida 1987; Pineda 1987): the error
    settles too, by the linearised dynamics at the fixed point of the activity. In a network with
    time it is backpropagation through time. Where units are random it is the gradient of the
    expected loss, enumerated.
    """

    card: ClassVar[RuleCard] = RuleCard(
        summary="the exact gradient, by sending errors back through the forward weights",
        family="backpropagation",
        equation="post_l = delta_l,  delta_l = (W_(l+1)^T delta_(l+1)) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset(),
        unbiased=True,
        exact_when="always",
        variance_law="0 for a given batch",
        synapse_knows="pre, the error of the post neuron, which needs the transposed weights above",
        expected=("none", "none"),
        forward_passes=3.0,
        cites="Rumelhart, Hinton & Williams 1986; Almeida 1987; Pineda 1987",
        phases="forward, then backward",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset(
        {
            *("feedforward", "settling", "spiking", "stochastic"),
            *("recurrent", "recurrent spiking", "recurrent stochastic"),
        }
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
        if network.dynamics in ENUMERATED:
            exact = network.gradient(objective, batch, clean)
            dtype = network.dtype
            return {name: Dense(array.astype(dtype, copy=False)) for name, array in exact.items()}
        error = objective.batch_error(clean.output, batch)
        return outers(network, clean, network.credit(clean, {network.output.name: error}))

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("anywhere: central differences of the loss", lambda at: at, 1e-7, differences),
        )

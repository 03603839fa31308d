"""Hebb: neurons that are active together strengthen their connection."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.kernels.errors import flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import chain
from plausibench.rules.readout import EXACT, delta_rule
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class Hebb(Rule):
    """Hebb's rule (Hebb 1949): the change of a weight is post times pre.

    The output layer learns by the delta rule, the objective's gradient at its own synapses: no
    target would reach it otherwise.

    Parameters
    ----------
    readout
        Whether the output layer learns by the delta rule, in place of Hebb's.
    gain
        Factor on the estimates of layers that learn by Hebb's rule.
    """

    readout: bool = True
    gain: float = 1e-3

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"gain": (1e-4, 1e-3)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="post times pre, with no word about the objective",
        family="aims of a layer",
        learns_without_error=True,
        equation="post_L = delta_L,  post_l = -gain a_l,  pre_l = a_(l-1)",
        randomness=frozenset(),
        unbiased=False,
        exact_when="in the output layer, with its read-out; else never, without regard to targets",
        variance_law="0",
        synapse_knows="pre, post",
        forward_passes=1.0,
        no_more_than_readout=(
            "on digits after 500 steps: no error reaches hidden layers, and what is "
            "correlated most in the inputs need not tell classes apart; it ends below random "
            "features"
        ),
        cites="Hebb 1949",
        notes=(
            "weights grow without bound; its distance to the gradient of the objective only "
            "describes it. It strengthens what a layer already does, whatever the task, until its "
            "neurons saturate: in trials on digits a gain of 1e-4 did as well as readout only, the "
            "default of 1e-3 far worse at a rate of 0.35"
        ),
    )

    def __post_init__(self) -> None:
        flag("readout", self.readout)
        positive("gain", self.gain)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        share = self.gain / batch.size
        post = {p.name: -share * clean.activity[p.name] for p in network.populations}
        estimates = outers(network, clean, post)
        if self.readout:
            estimates |= delta_rule(network, objective, batch, clean)
        return estimates

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "linear neurons: -W C, C the second moment of the inputs", _linear, 1e-13, _moment
            ),
            *([EXACT] if self.readout else []),
            Limit("the gradient of the objective", lambda at: at, tolerance=0.1, holds=False),
        )


def _linear(at: Situation) -> Situation:
    network = chain(at, [at.network.hidden[-1].size], "identity")
    return replace(at, network=network)  # its biases are 0


def _moment(at: Situation) -> dict[str, Array]:
    x, network = at.batch.inputs, at.network
    first = next(p.name for p in network.projections if p.source == INPUT)
    assert isinstance(at.rule, Hebb)
    return {first: -at.rule.gain * network.parameters[first] @ (x.T @ x / len(x))}

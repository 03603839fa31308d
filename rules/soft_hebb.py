"""SoftHebb: neurons compete softly for every input, and the winner learns to look like it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse
from plausibench.kernels.errors import flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective, softmax
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.layers import gated
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import chain
from plausibench.rules.readout import EXACT, delta_rule
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation, differences_of

Array = np.ndarray


@dataclass(frozen=True)
class SoftHebb(Rule):
    r"""SoftHebb (Moraitis et al. 2022; Journe et al. 2023).

    The neurons of a hidden population share a softmax :math:`y` of their drives :math:`u`, and a
    neuron changes by :math:`y_k (a_{l-1} - u_k w_k)`; all but the one with the largest drive with
    the opposite sign. The output population learns by the delta rule. No target reaches the
    hidden layers.

    Parameters
    ----------
    temperature
        Of the softmax.
    repel
        Whether neurons that lose learn with the opposite sign (Journe et al. 2023).
    gain
        Factor on the estimates of hidden layers.
    """

    temperature: float = 0.1
    repel: bool = True
    gain: float = 0.01

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"gain": (0.01, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="neurons compete softly, and learn what the winner sees, with a decay",
        family="aims of a layer",
        learns_without_error=True,
        equation=(
            "post_L = delta_L;  -gain s_k y_k (a_(l-1) - u_k w_k),  y = softmax(u / temperature),  "
            "s_k = 1 for the largest drive, else -1"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="in the output layer; else never, without regard to targets",
        variance_law="0",
        synapse_knows="pre, drive and share of its neuron, its weight",
        forward_passes=1.0,
        no_more_than_readout=(
            "on digits after 500 steps: no error reaches hidden layers; what its neurons "
            "compete for tells classes apart as well as random features do, and no better"
        ),
        cites="Moraitis, Toichkin, Journe, Chua & Guo 2022; Journe et al. 2023",
        phases="forward alone",
        notes=(
            "its distance to the gradient of the objective only describes it. Without repel, and "
            "weights of length 1, it descends -temperature log sum_k exp(w_k x / (|w_k| "
            "temperature)); weights of length 1 keep their length. Activity is that of the "
            "network's own neurons. What wins depends on inputs alone, so little for a task is to "
            "be expected of narrow layers; the papers' are wide, convolutional and have "
            "activities of their own. Default temperature and gain are ours"
        ),
        unverified=(
            "the equation is that of the authors' code (2023), which divides each change by its "
            "largest entry; the papers were read in their abstracts; activities, pooling, "
            "normalisation, biases that learn as priors, and rates"
        ),
    )

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)
        flag("repel", self.repel)
        positive("gain", self.gain)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.projections:
            if not isinstance(p.synapse, DenseSynapse | BiasSynapse):
                return f"soft_hebb needs dense synapses, and {p.name} has others"
        return gated(network, "soft_hebb")

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        estimates: Estimates = {**delta_rule(network, objective, batch, clean)}
        for p in network.projections:
            if p.name in estimates:
                continue
            drive = clean.drive[p.target]
            signed = self.shares(drive) * (self.gain / batch.size)
            kept = (signed * drive).sum(axis=0)
            weights = network.parameters[p.name]
            decay = kept.reshape(-1, *[1] * (weights.ndim - 1)) * weights
            estimates[p.name] = Dense(decay - p.synapse.outer(signed, clean.presynaptic(p)))
        return estimates

    def shares(self, drive: Array) -> Array:
        """Share ``(B, N)`` of every neuron in the competition, negative where losers are repelled.

        Of equal drives all win.
        """
        share = softmax(drive / self.temperature)
        if not self.repel:
            return share
        return np.where(drive == drive.max(axis=-1, keepdims=True), share, -share)

    def theory(self) -> tuple[Claim, ...]:
        return (
            EXACT,
            Limit(
                "without repel, weights of length 1: -temperature log sum exp of normalised drives",
                lambda at: _normalised(at, replace(self, repel=False)),
                1e-7,
                _free_energy,
            ),
            Law(
                "weights of length 1: change of their length over that of the change",
                lambda at: _radial(_normalised(at, self)),
            ),
            Limit("the gradient of the objective", lambda at: at, tolerance=0.1, holds=False),
        )


def _normalised(at: Situation, rule: SoftHebb) -> Situation:
    """One hidden layer with weights of length 1 and no bias."""
    network = chain(at, [at.network.hidden[-1].size], "tanh")
    name = _first(network)
    weights = network.parameters[name]
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    network = network.with_parameters({**network.parameters, name: unit})
    return replace(at, rule=rule, network=network)


def _first(network: Network) -> str:
    return next(p.name for p in network.projections if p.source == INPUT)


def _free_energy(at: Situation) -> dict[str, Array]:
    """Central differences of the layer's own loss."""
    rule, name = at.rule, _first(at.network)
    assert isinstance(rule, SoftHebb)

    def value(network: Network) -> float:
        weights = network.parameters[name]
        scaled = at.batch.inputs @ (weights / np.linalg.norm(weights, axis=1, keepdims=True)).T
        energy = np.logaddexp.reduce(scaled / rule.temperature, axis=1).mean()
        return -rule.gain * rule.temperature * float(energy)

    return {name: differences_of(at.network, value)[name]}


def _radial(at: Situation) -> tuple[float, float, float]:
    name = _first(at.network)
    draw, weights = at.draws()[name][0], at.network.parameters[name]
    along = np.abs((draw * weights).sum(axis=1)).max()
    return float(along / np.linalg.norm(draw)), 0.0, 1e-12

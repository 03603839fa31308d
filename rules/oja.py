"""Oja: Hebb's rule with a decay that keeps the length of the weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse
from plausibench.kernels.errors import choose, flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import chain
from plausibench.rules.readout import EXACT, delta_rule
from plausibench.rules.rule import Choices, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

VARIANTS: dict[str, Callable[[Array], Array]] = {
    "single": lambda gram: np.diag(np.diag(gram)),
    "subspace": lambda gram: gram,
    "ordered": np.tril,
}


@dataclass(frozen=True)
class Oja(Rule):
    """Oja's rule (Oja 1982, 1989) and the generalised Hebbian algorithm (Sanger 1989).

    The output layer learns by the delta rule, the objective's gradient at its own synapses: no
    target would reach it otherwise.

    Parameters
    ----------
    variant
        What a neuron subtracts from its presynaptic activity before Hebb's rule: the part that
        it predicts itself (``single``: every neuron finds the first principal component), the
        part that all neurons of the population predict (``subspace``), or that it and those
        before it predict (``ordered``: one component each).
    readout
        Whether the output layer learns by the delta rule, in place of Oja's.
    gain
        Factor on the estimates of layers that learn by Oja's rule.
    """

    variant: str = "single"
    readout: bool = True
    gain: float = 0.1

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "variant": ("single", "subspace"),
    }

    choices: ClassVar[Choices] = {"variant": tuple(VARIANTS)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="post times pre, less what the active neurons already predict of pre",
        family="aims of a layer",
        learns_without_error=True,
        equation=(
            "post_L = delta_L;  -gain (a_l a_(l-1)^T - T(a_l a_l^T) W_l),  "
            "T: diagonal, all, or lower triangle"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="in the output layer, with its read-out; else never, without regard to targets",
        variance_law="0",
        synapse_knows="pre, post, its weight (single); else also what other neurons predict",
        forward_passes=1.0,
        cites="Oja 1982, 1989; Sanger 1989",
        notes=(
            "its distance to the gradient of the objective only describes it; for linear neurons "
            "it rests where the weights are principal components of the inputs. With single all "
            "neurons of a layer become alike, and little is left for a readout. The default gain "
            "is ours, from trials on digits"
        ),
        unverified="convergence to principal components in deep networks",
    )

    def __post_init__(self) -> None:
        choose("variant", self.variant, tuple(VARIANTS))
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
        estimates: Estimates = {}
        if self.readout:
            estimates |= delta_rule(network, objective, batch, clean)
        for p in network.projections:
            if p.name in estimates:
                continue
            post = clean.activity[p.target]
            predicted = VARIANTS[self.variant](post.T @ post) @ network.parameters[p.name]
            hebbian = p.synapse.outer(post, clean.presynaptic(p))
            estimates[p.name] = Dense((predicted - hebbian) * (self.gain / batch.size))
        return estimates

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.projections:
            if not isinstance(p.synapse, DenseSynapse | BiasSynapse):
                return f"Oja's rule needs dense synapses, and {p.name} has others"
        return None

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("linear neurons at principal components: length of the estimate", _at_rest),
            *([EXACT] if self.readout else []),
            Limit("the gradient of the objective", lambda at: at, tolerance=0.1, holds=False),
        )


def _at_rest(at: Situation) -> tuple[float, float, float]:
    """Estimate of the first layer at the leading eigenvectors of the inputs' second moment."""
    rule, x = at.rule, at.batch.inputs
    assert isinstance(rule, Oja)
    moment = x.T @ x / len(x)
    leading = np.linalg.eigh(moment)[1][:, ::-1].T
    size = min(at.network.hidden[-1].size, len(leading))
    network = chain(at, [size], "identity")
    first = next(p.name for p in network.projections if p.source == INPUT)
    rows = np.repeat(leading[:1], size, axis=0) if rule.variant == "single" else leading[:size]
    network = network.with_parameters({**network.parameters, first: rows})
    found = replace(at, network=network).draws()[first][0]
    return float(np.linalg.norm(found) / np.linalg.norm(moment)), 0.0, 1e-12

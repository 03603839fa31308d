"""Direct feedback alignment: the output error is broadcast to every layer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import InputError, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, form, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import broadcast_matrices, over_feedback
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class DirectFeedbackAlignment(Rule):
    """Direct feedback alignment (Nokland 2016).

    The state holds a matrix B ``(N_l, N_L)`` for every hidden population, under the
    population's name.

    Parameters
    ----------
    scale
        Entries of B are uniform on ``+- scale / N_l^(1/2)``.
    """

    scale: float = 1.0

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the output error reaches every layer through its own fixed random weights",
        family="fixed feedback",
        equation="post_L = delta_L,  post_l = (B_l delta_L) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="one hidden layer with B = W^T; a linear network with B_l = (W_L ... W_(l+1))^T",
        variance_law="0 for given B; over B, s^2 ||f_l'||^2 ||delta_L||^2 for each example",
        synapse_knows="pre, slope of its neuron, a private random mixture of the output errors",
        expected=("high", "low"),
        forward_passes=2.5,
        cites="Nokland 2016",
        phases="forward, then the broadcast of the error",
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def initial_state(self, network: Network, seed: int) -> State:
        return broadcast_matrices(network, network.hidden, seed, self.scale)

    def state_axes(self, network: Network) -> Axes:
        return {each.name: (each.name, network.output.name) for each in network.hidden}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        top = network.output.name
        error = objective.batch_error(clean.output, batch)
        delta = network.credit(clean, {top: error}, feedback={})[top]
        arriving = {name: delta @ matrix.T for name, matrix in state.items()}
        signals = network.credit(clean, {top: error, **arriving}, feedback={})
        return outers(network, clean, signals)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("one hidden layer: feedback alignment, bit by bit", single, 0.0, by_projections),
            Limit("linear network, B_l = (W_L ... W_(l+1))^T: backpropagation", products, 1e-13),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over B, whose entries are independent with mean 0 and variance scale^2 / (3 N_l)."""
        error = objective.batch_error(clean.output, batch)
        top = network.credit(clean, {network.output.name: error}, feedback={})
        output = top[network.output.name] @ top[network.output.name].T
        inner = {network.output.name: output}
        for population in network.hidden:
            name = population.name
            slope = population.neurons.slope(clean.drive[name], clean.activity[name])
            inner[name] = self.scale**2 / (3 * population.size) * (slope @ slope.T) * output
        return over_feedback(network, clean, top, inner)


def single(at: Situation) -> Situation:
    """Refuse a network that has not one hidden layer."""
    if len(at.network.hidden) != 1:
        raise InputError(
            f"network: the limit is claimed for one hidden layer, not {len(at.network.hidden)}"
        )
    return at


def by_projections(at: Situation) -> dict[str, Array]:
    """Feedback alignment with the same matrices, which run against the output's projection."""
    network, batch = at.network, at.batch
    clean = network.forward(batch.inputs)
    error = at.objective.batch_error(clean.output, batch)
    feedback = {p.name: p.synapse.untranspose(at.state[p.source]) for p in network.returning}
    signals = network.credit(clean, {network.output.name: error}, feedback)
    return form(network, outers(network, clean, signals))


def products(at: Situation) -> Situation:
    """Make the network linear, and the matrices its transposed products."""
    if type(at.network) is not Network:
        raise InputError(
            f"network: the limit is claimed for plain layers, not {at.network.architecture}"
        )
    identity = Pointwise("identity")
    network = replace(
        at.network,
        populations=tuple(replace(p, neurons=identity) for p in at.network.populations),
    )
    # One example for each output, with an error there: a row of the product in each population.
    outputs = network.output.size
    clean = network.forward(np.zeros((outputs, network.inputs)))
    rows = network.credit(clean, {network.output.name: np.eye(outputs)})
    state = {population.name: rows[population.name].T for population in network.hidden}
    return replace(at, network=network, state=state)

"""Indirect feedback alignment: the error enters the first layer and goes up from there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network, Population
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.layers import wired
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import broadcast_matrices, chain, over_feedback
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class IndirectFeedbackAlignment(Rule):
    """Indirect feedback alignment (Nokland 2016).

    The output error reaches only the populations that see the input, through random weights;
    the others receive it from below, through the forward weights.

    The state holds a matrix B ``(N_1, N_L)`` for every hidden population that sees the input,
    under the population's name.

    Parameters
    ----------
    scale
        Entries of B are uniform on ``+- scale / N_1^(1/2)``.
    """

    scale: float = 1.0

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"scale": (0.3, 1.0)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="the output error enters the first layer and travels up the forward weights",
        family="fixed feedback",
        equation=(
            "post_L = delta_L,  post_1 = (B delta_L) f_1'(z_1),  "
            "post_l = (W_l post_(l-1)) f_l'(z_l),  pre_l = a_(l-1)"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "one hidden layer with B = W^T; a linear network with B = (W_L ... W_2)^T and "
            "W_l W_l^T = 1 between hidden layers"
        ),
        variance_law="0 for given B; over B, s^2 ||J_l||^2 ||delta_L||^2 for each example",
        synapse_knows="pre, slope of its neuron, the signals below through the forward weights",
        forward_passes=3.0,
        cites="Nokland 2016",
        notes="J_l is the Jacobian of the activity a_l with respect to the drive z_1",
        unverified="the scale of B in the paper: the default is ours",
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def initial_state(self, network: Network, seed: int) -> State:
        return broadcast_matrices(network, _first(network), seed, self.scale)

    def state_axes(self, network: Network) -> Axes:
        return {each.name: (each.name, network.output.name) for each in network.hidden}

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return wired(network, "indirect_feedback_alignment")

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
        return outers(network, clean, {**_ascend(network, clean, arriving), top: delta})

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over B, whose entries are independent with mean 0 and variance scale^2 / (3 N_1).

        The post factors of examples b and c in layer l have the expected inner product
        ``s^2 <J_l^b, J_l^c> (delta_L^b . delta_L^c)``.
        """
        error = objective.batch_error(clean.output, batch)
        top = network.credit(clean, {network.output.name: error}, feedback={})
        output = top[network.output.name] @ top[network.output.name].T
        inner = {name: np.zeros_like(output) for name in (p.name for p in network.hidden)}
        for population in _first(network):
            # A unit signal on each neuron in turn: the columns of the Jacobians.
            units = np.eye(population.size, dtype=network.dtype)[:, None, :]
            units = np.broadcast_to(units, (population.size, batch.size, population.size))
            for name, columns in _ascend(network, clean, {population.name: units}).items():
                gram = np.einsum("kbn,kcn->bc", columns, columns)
                inner[name] += self.scale**2 / (3 * population.size) * gram * output
        return over_feedback(network, clean, top, inner)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("one hidden layer, B = W^T: backpropagation", _shallow, 1e-14),
            Limit(
                "linear network, B = (W_L ... W_2)^T, W_l W_l^T = 1 between hidden layers",
                _orthogonal,
                1e-13,
            ),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def _first(network: Network) -> list[Population]:
    """Hidden populations that see the input."""
    return [
        population
        for population in network.hidden
        if any(p.source == INPUT for p in network.incoming[population.name])
    ]


def _ascend(network: Network, clean: Activity, arriving: Mapping[str, Array]) -> dict[str, Array]:
    """Signals on the drives of hidden populations, from those that arrive at some and go up."""
    signals: dict[str, Array] = {}
    for population in network.hidden:
        name = population.name
        total = arriving.get(name)
        for p in network.incoming[name]:
            if p.source in signals:
                part = p.synapse.drive(network.parameters[p.name], signals[p.source])
                total = part if total is None else total + part
        if total is not None:
            drive, activity = clean.drive[name], clean.activity[name]
            signals[name] = population.neurons.adjoint(drive, activity, total)
    return signals


def _shallow(at: Situation) -> Situation:
    network = chain(at, [at.network.hidden[-1].size], "tanh")
    (above,) = network.returning
    return replace(at, network=network, state={above.source: network.parameters[above.name].T})


def _orthogonal(at: Situation) -> Situation:
    network = chain(at, [at.network.hidden[-1].size] * 3, "identity")
    weights, product = dict(network.parameters), np.eye(network.output.size)
    for p in reversed(network.returning):
        if p.target != network.output.name:
            weights[p.name] = np.linalg.qr(weights[p.name])[0]
        product = product @ weights[p.name]
    state = {network.hidden[0].name: product.T}
    return replace(at, network=network.with_parameters(weights), state=state)

"""Direct random target projection: targets, not errors, reach the hidden layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective, one_hot
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import broadcast_matrices, chain, over_feedback
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation, Slope

Array = np.ndarray


@dataclass(frozen=True)
class DirectRandomTargetProjection(Rule):
    """Direct random target projection (Frenkel, Lefebvre & Bol 2021).

    Direct feedback alignment with the target in place of the error: a hidden layer can learn
    as soon as it is active, before the layers above are. The sign of the error is known from
    the target alone where outputs lie between 0 and 1.

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
        summary="a random projection of the target teaches every hidden layer",
        family="fixed feedback",
        learns_without_error=True,
        equation="post_L = delta_L,  post_l = (B_l y) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "the output layer always; one hidden layer with B = -W^T, squared error and linear "
            "output, as the targets outgrow the outputs"
        ),
        variance_law="0 for given B; over B, s^2 ||f_l'||^2 ||y||^2 for each example",
        synapse_knows="pre, slope of its neuron, a private random mixture of the targets",
        forward_passes=2.0,
        cites="Frenkel, Lefebvre & Bol 2021",
        notes=(
            "real-valued targets are projected as they are; the law of B is that of direct "
            "feedback alignment here, and as it is symmetric the sign of B y is a convention"
        ),
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
        target = _targets(network, batch) / batch.size
        error = objective.batch_error(clean.output, batch)
        arriving = {name: target @ matrix.T for name, matrix in state.items()}
        signals = network.credit(clean, {network.output.name: error, **arriving}, feedback={})
        return outers(network, clean, signals)

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
        target = _targets(network, batch) / batch.size
        inner = {}
        for population in network.hidden:
            name = population.name
            slope = population.neurons.slope(clean.drive[name], clean.activity[name])
            variance = self.scale**2 / (3 * population.size)
            inner[name] = variance * (slope @ slope.T) * (target @ target.T)
        top = network.credit(clean, {network.output.name: error}, feedback={})
        return over_feedback(network, clean, top, inner)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "what is above a hidden layer does not matter to it: estimates at other weights",
                lambda at: at,
                tolerance=0.0,
                expected=_elsewhere,
            ),
            Slope(
                "B = -(W_L)^T, one hidden layer, linear output, squared error, targets y / epsilon",
                _outgrown,
                power=1.0,
                smallest=1e-4,
                tolerance=1e-3,
            ),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def _targets(network: Network, batch: Batch) -> Array:
    return one_hot(batch.targets, network.output.size, network.dtype)


def _elsewhere(at: Situation) -> dict[str, Array]:
    """Estimates onto the hidden layers with other weights onto the output."""
    network = at.network
    above = {p.name for p in network.incoming[network.output.name]}
    weights = {n: -2 * w + 1 if n in above else w for n, w in network.parameters.items()}
    moved = replace(at, network=network.with_parameters(weights)).draws()
    return {name: array[0] for name, array in moved.items() if name not in above}


def _outgrown(at: Situation, epsilon: float) -> Situation:
    network = chain(at, [at.network.hidden[-1].size], "tanh")
    targets = _targets(network, at.batch) / epsilon
    batch = Batch(at.batch.inputs, targets, at.batch.keys)
    (above,) = network.returning
    state = {above.source: -network.parameters[above.name].T}
    return replace(at, network=network, objective=MeanSquaredError(), batch=batch, state=state)

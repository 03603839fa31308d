"""Layer-local losses: every hidden layer has a read-out of its own, and learns what helps it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.linear_chain import linear_chain
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import broadcast_matrices
from plausibench.rules.readout import EXACT
from plausibench.rules.rule import Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation, differences_of

Array = np.ndarray


@dataclass(frozen=True)
class LocalLosses(Rule):
    r"""Layer-local losses (Nokland & Eidnes 2019; Belilovsky, Eickenberg & Oyallon 2019).

    A linear read-out guesses the target from every hidden population, :math:`o_l = f_L(R_l a_l +
    c_l)` with the output's function, and the population learns the gradient of the objective at
    that guess. Nothing is sent from layer to layer. The output population learns by the delta
    rule.

    The state holds the transposed read-out ``(N_l, N_L)`` under the name of every hidden
    population, and c under ``<population>.readout_bias``. After every step they learn by the
    delta rule, too.

    Parameters
    ----------
    scale
        Entries of the first R are uniform on ``+- scale / N_l^(1/2)``.
    rate
        Learning rate of the read-outs, relative to the mean squared activity that they see; 0
        keeps them as they were drawn.
    """

    scale: float = 1.0
    rate: float = 0.9

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.1, 0.9)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="each layer learns what lets a read-out of its own reach the target",
        family="aims of a layer",
        equation=(
            "post_L = delta_L,  post_l = (R_l^T e_l) f_l'(z_l),  "
            "e_l = dF(f_L(R_l a_l + c_l)) / d(R_l a_l + c_l),  pre_l = a_(l-1)"
        ),
        learns_without_error=True,
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "a linear network whose read-outs are the products of the weights above; the output "
            "layer"
        ),
        variance_law="0 for given read-outs",
        synapse_knows="pre, slope of its neuron, the errors of its layer's read-out",
        forward_passes=2.5,
        cites="Nokland & Eidnes 2019; Belilovsky, Eickenberg & Oyallon 2019",
        phases="forward alone; each layer's error follows its read-out at once",
        notes=(
            "no weights are transported from layer to layer; within a layer, the error returns "
            "through the weights of its read-out, which the audit, of the network's weights, does "
            "not see. A layer keeps what a linear read-out can use at once. First read-outs and "
            "their rate are ours: in the code of Nokland & Eidnes they begin at 0 and learn with "
            "their layer's optimiser"
        ),
        unverified=(
            "the prediction loss is that of the code of Nokland & Eidnes; Belilovsky et al. is "
            "cited from memory, and trains layer after layer, where here all learn at once; the "
            "similarity matching loss, deeper local networks and pooled read-outs"
        ),
    )

    def __post_init__(self) -> None:
        positive("scale", self.scale)
        number("rate", self.rate, least=0)

    def initial_state(self, network: Network, seed: int) -> State:
        state = broadcast_matrices(network, network.hidden, seed, self.scale)
        biases = {
            _bias(p.name): np.zeros(network.output.size, network.dtype) for p in network.hidden
        }
        return {**state, **biases}

    def state_axes(self, network: Network) -> Axes:
        top = network.output.name
        matrices: Axes = {p.name: (p.name, top) for p in network.hidden}
        return {**matrices, **{_bias(p.name): (top,) for p in network.hidden}}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        arriving = {network.output.name: objective.batch_error(clean.output, batch)}
        for population in network.hidden:
            name = population.name
            error = _error(network, objective, batch, clean.activity[name], state, name)
            arriving[name] = error @ state[name].T
        return outers(network, clean, network.credit(clean, arriving, feedback={}))

    def advance(self, state: State, step: Step) -> State:
        """Read-outs after one step of the delta rule."""
        network, batch, advanced = step.network, step.batch, dict(state)
        for population in network.hidden:
            name = population.name
            activity = step.clean.activity[name]
            error = _error(network, step.objective, batch, activity, state, name)
            share = self.rate / (1 + float((activity**2).sum()) / batch.size)
            advanced[name] = state[name] - share * (activity.T @ error)
            advanced[_bias(name)] = state[_bias(name)] - share * error.sum(axis=0)
        return advanced

    def theory(self) -> tuple[Claim, ...]:
        return (
            EXACT,
            Limit(
                "linear network, squared error, R_l the product of the weights above: "
                "backpropagation",
                _products,
                tolerance=1e-13,
            ),
            Law("central differences of the layers' own losses, relative error", _own_losses),
            Limit("random R: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def _bias(name: str) -> str:
    return f"{name}.readout_bias"


def _guess(network: Network, activity: Array, state: State, name: str) -> tuple[Array, Array]:
    """Drive and activity ``(B, N_L)`` of the read-out of a population."""
    drive = activity @ state[name] + state[_bias(name)]
    return drive, network.output.neurons.activate(drive)


def _error(
    network: Network, objective: Objective, batch: Batch, activity: Array, state: State, name: str
) -> Array:
    """Derivative of the batch's loss with respect to the drive of a population's read-out."""
    drive, guess = _guess(network, activity, state, name)
    return network.output.neurons.adjoint(drive, guess, objective.batch_error(guess, batch))


def _products(at: Situation) -> Situation:
    """A linear network whose read-outs say what the layers above will."""
    at = linear_chain(at, (5, 4, 4, 3))
    network, state = at.network, dict(at.state)
    rows, bias = np.eye(network.output.size), np.zeros(network.output.size)
    for p in reversed(network.returning):
        for q in network.incoming[p.target]:
            if q is not p:
                bias = bias + rows @ network.parameters[q.name]
        rows = rows @ network.parameters[p.name]
        state[p.source], state[_bias(p.source)] = rows.T.copy(), bias
    return replace(at, state=state)


def _own_losses(at: Situation) -> tuple[float, float, float]:
    """Every layer's loss, with what it is handed and its read-out held, against one draw."""
    clean = at.network.forward(at.batch.inputs)

    def total(network: Network) -> float:
        losses = 0.0
        for population in network.populations:
            drive = clean.drive[population.name]
            for p in network.incoming[population.name]:
                change = network.parameters[p.name] - at.network.parameters[p.name]
                drive = drive + p.synapse.drive(change, clean.presynaptic(p))
            activity = population.neurons.activate(drive)
            if population.name != network.output.name:
                _, activity = _guess(network, activity, at.state, population.name)
            losses += float(at.objective.batch_loss(activity, at.batch))
        return losses

    exact, draw = differences_of(at.network, total), at.draws()
    apart = sum(float(((draw[name][0] - array) ** 2).sum()) for name, array in exact.items())
    return float((apart / sum(float((a**2).sum()) for a in exact.values())) ** 0.5), 0.0, 1e-7

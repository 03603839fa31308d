"""Decorrelated node perturbation: activity-based, with inputs that a learned matrix whitens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import INPUT, Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import number
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.companions import along_moved
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.noise import Noise
from plausibench.rules.perturbation import Perturbation, along_changes
from plausibench.rules.rule import Companion, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Situation

Array = np.ndarray


@dataclass(frozen=True)
class DecorrelatedNodePerturbation(Perturbation):
    """Decorrelated activity-based node perturbation, DANP (Dalm, van Gerven & Ahmad 2023).

    A layer sees decorrelated inputs x* = R x, and learns V in z = V x*. The network here
    holds the effective weights W = V R, so a step of V by post x*^T is one of W by
    post (R^T R x)^T: the presynaptic factor is what decorrelation changes. The state holds R
    for every source population, at first the identity; where it advances, V takes the
    change up, so that W is changed by the estimate only.

    Parameters
    ----------
    rate
        Of the decorrelation, R <- R - rate C R per step, with C the off-diagonal part of the
        batch's mean of x* x*^T.
    """

    rate: float = 0.03

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.003, 0.03)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="activity-based node perturbation of decorrelated inputs",
        family="perturbation",
        equation="post_l = N (F(+sigma xi) - F(-sigma xi)) dz_l / |dz|^2,  pre_l = R^T R a_(l-1)",
        randomness=frozenset({"rule"}),
        unbiased=False,
        exact_when="in expectation as sigma -> 0, with a single layer of neurons and R = I",
        variance_law="that of activity_node_perturbation with |R^T R a| in place of |a|",
        synapse_knows="decorrelated pre, change of its neuron's drive, global: change over |dz|^2",
        forward_passes=2.0,
        cites="Dalm, van Gerven & Ahmad 2023",
        notes=(
            "in the paper a step of R also moves the effective weights; here they are held, to "
            "keep learning and measuring apart"
        ),
        unverified="learning curves of the paper",
    )

    needs_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        number("rate", self.rate, least=0)

    def initial_state(self, network: Network, seed: int) -> State:
        sizes = {INPUT: network.inputs, **{each.name: each.size for each in network.hidden}}
        sources = {p.source for p in network.projections}
        return {
            name: np.eye(size, dtype=network.dtype)
            for name, size in sizes.items()
            if name in sources
        }

    def state_axes(self, network: Network) -> Axes:
        names = (INPUT, *(each.name for each in network.hidden))
        return {name: (name, name) for name in names}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        posts = along_changes(self, network, objective, batch, clean, noise)
        return _outers(network, clean, state, posts)

    def companion(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
    ) -> Companion | None:
        """That of activity-based node perturbation, with decorrelated presynaptic factors."""
        return along_moved(
            network,
            objective,
            batch,
            clean,
            self.noise,
            self.sigma,
            lambda posts: _outers(network, clean, state, posts),
            None,
        )

    def advance(self, state: State, step: Step) -> State:
        """One step of decorrelation on the undisturbed activity."""
        return {
            name: decorrelated(matrix, step.clean.activity[name], self.rate)
            for name, matrix in state.items()
        }

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("R fixed where R a is decorrelated: change of R by a step", self.fixed_point),
            Law("a step of R lowers the correlation: slope of its energy", self.descent),
        )

    def fixed_point(self, at: Situation) -> tuple[float, float, float]:
        """Length of the change of R that whitens the inputs."""
        inputs = at.batch.inputs
        values, vectors = np.linalg.eigh(inputs.T @ inputs / len(inputs))
        whitening = vectors.T / np.sqrt(np.maximum(values, 1e-3))[:, None]
        moved = decorrelated(whitening, inputs, 1.0)
        return float(np.linalg.norm(moved - whitening)), 0.0, 1e-10

    def descent(self, at: Situation) -> tuple[float, float, float]:
        """Sum of off-diagonal mean products after a small step, relative to before."""
        inputs = at.batch.inputs
        one = np.eye(inputs.shape[1])

        def energy(matrix: Array) -> float:
            products = correlations(inputs @ matrix.T)
            return float((products**2).sum())

        change = (energy(decorrelated(one, inputs, 1e-6)) - energy(one)) / 1e-6
        full = inputs.T @ inputs / len(inputs)
        off = correlations(inputs)
        theory = -4.0 * float((off * (off @ full)).sum())
        return change, theory, 1e-3 * abs(theory)


def _outers(
    network: Network, clean: Activity, state: State, posts: Mapping[str, Array]
) -> Estimates:
    """Post factors times decorrelated presynaptic activity."""
    estimates: Estimates = {}
    for p in network.projections:
        pre = clean.presynaptic(p)
        if p.source in state:
            pre = pre @ state[p.source].T @ state[p.source]
        estimates[p.name] = Outer(posts[p.target], pre)
    return estimates


def correlations(activity: Array) -> Array:
    """Mean products of different neurons, ``(N, N)``, with zeros for each with itself."""
    products = activity.T @ activity / len(activity)
    return products - np.diag(np.diag(products))


def decorrelated(matrix: Array, activity: Array, rate: float) -> Array:
    """R after one step on a batch of activity ``(B, N)``."""
    return matrix - rate * correlations(activity @ matrix.T) @ matrix

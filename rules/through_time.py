"""What rules that assign credit through time have in common."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import InputError, choose
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import LayerwiseFeedback, transposed
from plausibench.rules.rule import Choices, ClosedForm, State, Step
from plausibench.rules.theory import Situation

Array = np.ndarray

IN_TIME = frozenset({"recurrent", "recurrent spiking"})
"""Dynamics of networks with time whose steps have an adjoint."""

FEEDBACK = ("symmetric", "random", "adaptive")


@dataclass(frozen=True)
class LearningSignal(LayerwiseFeedback):
    """A rule in which errors reach a neuron at once, and its past through itself alone.

    Trial sums of learning signal times eligibility trace are outer products of presynaptic
    activity with the learning signal filtered in reverse time through the neuron: the two sums
    over time may be exchanged. Nothing returns from one neuron to another through the recurrent
    projection.

    Parameters
    ----------
    feedback
        Weights from the errors to the neurons: ``symmetric`` (the transposed forward weights),
        ``random`` and fixed, or ``adaptive``: random at first, and changed as the forward weights
        are, their decay included (Kolen & Pollack 1994).
    """

    feedback: str = "random"

    choices: ClassVar[Choices] = {"feedback": FEEDBACK}

    def __post_init__(self) -> None:
        super().__post_init__()
        choose("feedback", self.feedback, FEEDBACK)

    def randomness(self) -> frozenset[str]:
        return frozenset() if self.feedback == "symmetric" else super().randomness()

    def initial_state(self, network: Network, seed: int) -> State:
        if self.feedback == "symmetric":
            return {}
        state = super().initial_state(network, seed)
        return {p.name: state[p.name] for p in network.returning if not p.delay}

    def state_axes(self, network: Network) -> Axes:
        axes = super().state_axes(network)
        return {p.name: axes[p.name] for p in network.returning if not p.delay}

    def advance(self, state: State, step: Step) -> State:
        if self.feedback != "adaptive":
            return state
        kept = 1 - step.decay
        return {
            p.name: kept * state[p.name] + p.synapse.transpose(step.applied[p.name])
            for p in step.network.returning
            if not p.delay
        }

    def kept(self, projection: Projection, weights: Array) -> Array | None:
        """Weights through which a signal returns to the step before; None for none at all."""
        return None

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        feedback = {}
        for p in network.returning:
            weights = network.weights[p.name]
            if p.delay:
                own = self.kept(p, weights)
                if own is not None:
                    feedback[p.name] = own
            else:
                known = self.feedback == "symmetric"
                feedback[p.name] = weights if known else p.synapse.untranspose(state[p.name])
        error = {network.output.name: objective.batch_error(clean.output, batch)}
        return outers(network, clean, network.credit(clean, error, feedback))

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """None is known."""
        return None


def with_recurrent(at: Situation, change: Callable[[Array], Array]) -> Situation:
    """The same situation with every recurrent weight matrix changed."""
    changed = {
        p.name: change(at.network.parameters[p.name]) for p in at.network.projections if p.delay
    }
    network = at.network.with_parameters({**at.network.parameters, **changed})
    return replace(at, network=network)


def without_recurrence(at: Situation) -> Situation:
    """Recurrent weights of 0."""
    return with_recurrent(at, np.zeros_like)


def diagonal(at: Situation) -> Situation:
    """Recurrent weights of each neuron onto itself alone."""
    if at.network.paths != at.network.projections:
        raise InputError("recurrent weights of few modes are not those of single neurons")
    return with_recurrent(at, lambda weights: np.diag(np.diagonal(weights)))


def aligned(at: Situation) -> Situation:
    """Feedback B = W^T at every projection that has some."""
    known = transposed(at.network)
    return replace(at, state={name: known[name] for name in at.state})


def recurring(at: Situation) -> Situation:
    """The same as `aligned`, in a network with recurrent weights.

    Raises
    ------
    InputError
        If there are none.
    """
    if not any(p.delay for p in at.network.paths):
        raise InputError("there are no recurrent weights")
    return aligned(at)


def one_step(at: Situation) -> Situation:
    """The first step of every trial alone."""
    return first_steps(at, 1)


def first_steps(at: Situation, count: int) -> Situation:
    """The first steps of every trial alone."""
    if at.network.dynamics == "recurrent spiking":
        raise InputError("in the first step no spike has passed the synaptic filter yet")
    inputs, targets = at.batch.inputs, at.batch.targets
    if inputs.ndim == 2:
        inputs = np.repeat(inputs[:, None], count, axis=1)
    elif targets.ndim == (2 if targets.dtype.kind == "i" else 3):
        targets = targets[:, :count]
    return replace(at, batch=Batch(inputs[:, :count], targets, at.batch.keys))

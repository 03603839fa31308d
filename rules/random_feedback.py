"""Random feedback: its matrices, the estimate through them, and mean and variance over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.network import CONSTANT, Activity, Network, Population
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.kernels.errors import InputError, number, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import ClosedForm, Rule, State, Step
from plausibench.rules.theory import Situation

Array = np.ndarray


@dataclass(frozen=True)
class LayerwiseFeedback(Rule):
    """A rule whose error returns layer by layer through a state of its own.

    The state holds a matrix B ``(N_in, N_out)`` for every projection between layers, under
    the projection's name; with B = W^T the rule is backpropagation.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)`` (1 in Akrout et al.
        2019); through receptive fields those of one position, as in :func:`fans`.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        number("scale", self.scale, least=0)

    def randomness(self) -> frozenset[str]:
        return self.card.randomness if self.scale > 0 else frozenset()

    def initial_state(self, network: Network, seed: int) -> State:
        state = {}
        for p in network.returning:
            matrix = p.synapse.transpose(network.weights[p.name])
            deviation = self.scale / sum(fans(matrix)) ** 0.5
            draw = generator(seed, "feedback", p.name).standard_normal(matrix.shape)
            # The sum makes -0 equal to 0.
            state[p.name] = (deviation * draw + 0.0).astype(network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        return feedback_axes(network)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        error = objective.batch_error(clean.output, batch)
        return outers(network, clean, returned(network, clean, error, state))

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over the first B, as of :func:`over_layers`."""
        return over_layers(network, objective, batch, clean, self.scale)


@dataclass(frozen=True)
class BroadcastFeedback(Rule):
    """A rule whose output error reaches each hidden population through a matrix of its own.

    The state holds a matrix B ``(N_l, N_L)`` for every hidden population, under the
    population's name.

    Parameters
    ----------
    scale
        Entries of the first B are uniform on ``+- scale / N_l^(1/2)``.
    """

    scale: float = 1.0

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
        delta = top_signal(network, objective, batch, clean)
        arriving = {name: delta @ matrix.T for name, matrix in state.items()}
        signals = network.credit(clean, arriving, feedback={})
        return outers(network, clean, {**signals, network.output.name: delta})

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over B, whose entries are independent with mean 0 and variance scale^2 / (3 N_l)."""
        top = network.output.name
        delta = top_signal(network, objective, batch, clean)
        inner = {top: delta @ delta.T}
        for population in network.hidden:
            name = population.name
            slope = population.neurons.slope(clean.drive[name], clean.activity[name])
            inner[name] = self.scale**2 / (3 * population.size) * (slope @ slope.T) * inner[top]
        return over_feedback(network, clean, {top: delta}, inner)


def top_signal(network: Network, objective: Objective, batch: Batch, clean: Activity) -> Array:
    """Signal of the batch's mean loss on the drive of the output ``(B, N_L)``."""
    error = objective.batch_error(clean.output, batch)
    return network.credit(clean, {network.output.name: error}, feedback={})[network.output.name]


def single(at: Situation) -> Situation:
    """Refuse a network that has not one hidden layer."""
    if len(at.network.hidden) != 1:
        raise InputError(
            f"network: the limit is claimed for one hidden layer, not {len(at.network.hidden)}"
        )
    return at


def products(at: Situation) -> Situation:
    """Make the network linear, and the broadcast matrices its transposed products."""
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


def returned(network: Network, clean: Activity, error: Array, state: State) -> dict[str, Array]:
    """Signals of an output error ``(B, N)`` that returns through B in place of W^T."""
    feedback = {p.name: p.synapse.untranspose(state[p.name]) for p in network.returning}
    return network.credit(clean, {network.output.name: error}, feedback)


def resting(network: Network, population: str) -> Array:
    """Drive ``(1, N)`` of a population by its biases alone."""
    total = np.zeros((1, network.population(population).size), network.dtype)
    ones = np.ones((1, 1), network.dtype)
    for p in network.incoming[population]:
        if p.source == CONSTANT:
            total = total + p.synapse.drive(network.parameters[p.name], ones)
    return total


def transposed(network: Network) -> State:
    """The feedback B = W^T."""
    weights = network.weights
    return {p.name: p.synapse.transpose(weights[p.name]).copy() for p in network.returning}


def symmetric(at: Situation) -> Situation:
    """The same situation with B = W^T."""
    return replace(at, state={**at.state, **transposed(at.network)})


def learned(at: Situation, steps: int) -> State:
    """State after some steps on the batch, each with noise of its own, the weights held."""
    network, batch, state = at.network, at.batch, at.state
    clean = network.forward(batch.inputs)
    held = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    for step in range(steps):
        noise = at.noise(first=step)
        state = at.rule.advance(state, Step(network, at.objective, batch, clean, held, 0.0, noise))
    return state


def trained(at: Situation, steps: int, decay: float, rate: float = 0.01) -> Situation:
    """The situation after steps of plain descent on the batch, the state learning along.

    Parameters
    ----------
    decay
        Share that every parameter loses in a step.
    rate
        Learning rate.
    """
    for _ in range(steps):
        applied = {name: -rate * draw[0] for name, draw in at.draws().items()}
        clean = at.network.forward(at.batch.inputs)
        network = at.network.with_parameters(
            {name: (1 - decay) * w + applied[name] for name, w in at.network.parameters.items()}
        )
        step = Step(network, at.objective, at.batch, clean, applied, decay, at.noise())
        at = replace(at, network=network, state=at.rule.advance(at.state, step))
    return at


def distance(one: State, other: State) -> float:
    """Euclidean distance between the arrays of ``other`` and those of the same names."""
    return float(sum(np.sum((one[name] - other[name]) ** 2) for name in other) ** 0.5)


def least_cosine(state: State, goals: State) -> float:
    """Cosine between a matrix of the state and its goal, where it is smallest."""

    def cosine(found: Array, goal: Array) -> float:
        lengths = float(np.linalg.norm(found) * np.linalg.norm(goal))
        return float(np.sum(found * goal)) / lengths

    return min(cosine(state[name], goal) for name, goal in goals.items())


def chain(at: Situation, hidden: Sequence[int], activation: str) -> Network:
    """A chain of dense layers with these hidden sizes, linear at the output, for the same batch."""
    neurons = [*[Pointwise(activation)] * len(hidden), Pointwise("identity")]
    sizes = [at.network.inputs, *hidden, at.network.output.size]
    return layered("mlp", sizes, neurons, True, at.seed)


def layerwise_matrices(network: Network, seed: int) -> State:
    """Matrix of variance ``1 / (N_in + N_out)`` for each projection between layers."""
    state = {}
    for p in network.returning:
        matrix = p.synapse.transpose(network.parameters[p.name])
        draw = generator(seed, "feedback", p.name).standard_normal(matrix.shape)
        state[p.name] = (draw / sum(fans(matrix)) ** 0.5).astype(network.dtype)
    return state


def fans(matrix: Array) -> tuple[int, int]:
    """Numbers N_in and N_out of a feedback matrix: synapses onto a neuron, neurons on one source.

    Through receptive fields those of one position, whatever the size of the image: weights of
    their own at every position make a stack of matrices. Between partners there is one.
    """
    if matrix.ndim < 2:
        return 1, 1
    sources, targets = matrix.shape[-2:]
    return sources, targets


def broadcast_matrices(
    network: Network, populations: Iterable[Population], seed: int, scale: float
) -> State:
    """Matrix ``(N_l, N_L)``, uniform on ``+- scale / N_l^(1/2)``, for each population."""
    state = {}
    for population in populations:
        bound = scale / population.size**0.5
        draw = generator(seed, "feedback", population.name).uniform(
            -bound, bound, (population.size, network.output.size)
        )
        state[population.name] = draw.astype(network.dtype)
    return state


def over_layers(
    network: Network, objective: Objective, batch: Batch, clean: Activity, scale: float
) -> ClosedForm | None:
    """Mean and variance over feedback from layer to layer; None where signals return by wires.

    Its entries have mean 0 and variance ``s^2 = scale^2 / (N_in + N_out)``, and none goes with
    another. The mean is 0 below the output. Between examples b and c, the expected inner products
    of post factors follow ``C_l = s^2 (f_l'^b . f_l'^c) C_(l+1)``.
    """
    if network.wires:
        return None
    delta = top_signal(network, objective, batch, clean)
    inner = {network.output.name: delta @ delta.T}
    for population in reversed(network.hidden):
        name = population.name
        slope = population.neurons.slope(clean.drive[name], clean.activity[name])
        inner[name] = (slope @ slope.T) * sum(
            scale**2 / sum(p.synapse.factors) * inner[p.target] for p in network.outgoing[name]
        )
    return over_feedback(network, clean, {network.output.name: delta}, inner)


def over_feedback(
    network: Network, clean: Activity, top: Mapping[str, Array], inner: Mapping[str, Array]
) -> ClosedForm:
    """Mean and variance over feedback of mean 0, from expected inner products of post factors.

    Parameters
    ----------
    top
        Post factors of the output population ``(B, N)``, which do not depend on feedback.
    inner
        Expected inner products between examples' post factors ``(B, B)``, per population.
    """
    mean, variance = {}, {}
    for p in network.projections:
        pre = clean.presynaptic(p)
        if p.target in top:
            mean[p.name], variance[p.name] = p.synapse.outer(top[p.target], pre), 0.0
        else:
            mean[p.name] = np.zeros(p.synapse.shape)
            variance[p.name] = float((inner[p.target] * p.synapse.pre_gram(pre)).sum())
    return ClosedForm(mean, variance)

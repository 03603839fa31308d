"""What rules that send targets down share: learned paths back, and the local errors."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.architectures.permutation import Axes, feedback_axes
from plausibench.kernels.errors import number, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, form, outers
from plausibench.rules.layers import no_chain
from plausibench.rules.linear_chain import linear_chain
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import fans
from plausibench.rules.rule import Rule, State, Step
from plausibench.rules.theory import Claim, Limit, Situation

Array = np.ndarray


@dataclass(frozen=True)
class Targets(Rule):
    r"""A rule in which every layer learns to come closer to a target of its own.

    The target of the output is one gradient step away, :math:`t_L = a_L - \eta \partial F /
    \partial a_L`, those below follow by paths back :math:`g_l(a) = f_l(Q_l a + c_l)`, and the
    estimate is :math:`-\tfrac{1}{\eta} (t_l - a_l) \odot f_l'(z_l) \, a_{l-1}^T`: the gradient
    of :math:`\tfrac{1}{2 \eta} |t_l - a_l|^2`.

    The state holds Q ``(N_l, N_(l+1))`` under the name of the projection that it runs against,
    and c under ``<population>.feedback_bias``. After every step of learning they too take one
    step, down the squared error with which the path back reconstructs a disturbed layer from
    the layer above.

    Parameters
    ----------
    target_step
        Length eta of the gradient step.
    feedback_rate
        Learning rate of the paths back, relative to the mean squared activity that they see, so
        that rates below 1 are stable; 0 keeps them as they were drawn.
    noise
        Standard deviation of the disturbance.
    """

    target_step: float = 0.22
    feedback_rate: float = 0.1
    noise: float = 0.084

    corrected: ClassVar[bool]
    """Whether what the path back misses at the activity itself is added to the target."""

    def __post_init__(self) -> None:
        positive("target_step", self.target_step)
        number("feedback_rate", self.feedback_rate, least=0)
        number("noise", self.noise, least=0)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return no_chain(network, type(self).__name__)

    def initial_state(self, network: Network, seed: int) -> State:
        state = {}
        for p in network.returning:
            shape = p.synapse.transpose(network.parameters[p.name]).shape
            draw = generator(seed, "feedback", p.name).standard_normal(shape)
            state[p.name] = (draw / fans(draw)[1] ** 0.5).astype(network.dtype)
            state[_bias(p)] = np.zeros(network.population(p.source).size, network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        biases = {_bias(p): (p.source,) for p in network.returning}
        return {**feedback_axes(network), **biases}

    def advance(self, state: State, step: Step) -> State:
        """Feedback after one step down the error of reconstruction."""
        network = step.network
        names = {p.source: f"{p.source}.reconstruction" for p in network.returning}
        drawn = step.noise.examples(
            {stream: step.clean.activity[name] for name, stream in names.items()}
        )
        advanced = dict(state)
        for p in network.returning:
            below = step.clean.activity[p.source] + self.noise * drawn[names[p.source]][0]
            total = np.zeros((), network.dtype)
            for q in network.incoming[p.target]:
                pre = below if q is p else step.clean.activity[q.source]
                total = total + q.synapse.drive(network.parameters[q.name], pre)
            above = network.population(p.target).neurons.activate(total)
            drive, neurons = _drive(state, p, above), network.population(p.source).neurons
            back = neurons.activate(drive)
            signal = neurons.adjoint(drive, back, back - below)
            share = self.feedback_rate / ((above**2).sum() + len(above))
            change = p.synapse.transpose(p.synapse.outer(above, signal))
            advanced[p.name] = state[p.name] - share * change
            advanced[_bias(p)] = state[_bias(p)] - share * signal.sum(axis=0)
        return advanced

    def signal_share(self, network: Network) -> float:
        return min(1.0, self.target_step)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        error = objective.error(clean.output, batch.targets)
        targets = {network.output.name: clean.output - self.target_step * error}
        for p in reversed(network.returning):
            neurons = network.population(p.source).neurons
            back = neurons.activate(_drive(state, p, targets[p.target]))
            if self.corrected:
                seen = neurons.activate(_drive(state, p, clean.activity[p.target]))
                back = clean.activity[p.source] + (back - seen)
            targets[p.source] = back
        signals = {}
        for name, target in targets.items():
            away = (clean.activity[name] - target) / (self.target_step * batch.size)
            neurons = network.population(name).neurons
            signals[name] = neurons.adjoint(clean.drive[name], clean.activity[name], away)
        return outers(network, clean, signals)

    def theory(self) -> tuple[Claim, ...]:
        """With exact inverses for paths back, in linear networks."""

        def inverse(sizes: tuple[int, ...], orthogonal: bool) -> Callable[[Situation], Situation]:
            def reach(at: Situation) -> Situation:
                at = linear_chain(at, sizes, orthogonal)
                return replace(at, state=inverted(at.network))

            return reach

        return (
            Limit(
                "linear network, orthogonal weights, exact inverses: backpropagation",
                inverse((4, 4, 4, 4), orthogonal=True),
                tolerance=1e-12,
            ),
            Limit(
                "linear network, exact inverses: error through (W_L ... W_(l+1))^-1",
                inverse((5, 4, 4, 4), orthogonal=False),
                tolerance=1e-12,
                expected=through_inverses,
            ),
            Limit(
                "linear network, exact inverses: biased",
                inverse((5, 4, 4, 4), orthogonal=False),
                tolerance=0.1,
                holds=False,
            ),
        )


def inverted(network: Network) -> State:
    """Paths back that invert the layers of a linear network of equal sizes."""
    state = {}
    for p in network.returning:
        state[p.name] = np.linalg.inv(network.parameters[p.name])
        biases = [network.parameters[q.name] for q in network.incoming[p.target] if q is not p]
        total = sum(biases, np.zeros(network.population(p.target).size))
        state[_bias(p)] = -state[p.name] @ total
    return state


def through_inverses(at: Situation) -> dict[str, Array]:
    """Outer products of the output error, times the inverse of all weights above, with pre."""
    network, clean = at.network, at.network.forward(at.batch.inputs)
    signal = at.objective.batch_error(clean.output, at.batch)
    signals, product = {network.output.name: signal}, np.eye(network.output.size)
    for p in reversed(network.returning):
        product = product @ network.parameters[p.name]
        signals[p.source] = np.linalg.solve(product, signal.T).T
    return form(network, outers(network, clean, signals))


def linearised(at: Situation) -> dict[str, Array]:
    """Outer products of the output error, through the derivatives of the paths back, with pre."""
    network, clean = at.network, at.network.forward(at.batch.inputs)
    arriving = {network.output.name: at.objective.batch_error(clean.output, at.batch)}
    for p in reversed(network.returning):
        drive = _drive(at.state, p, clean.activity[p.target])
        back = p.synapse.feedback(p.synapse.untranspose(at.state[p.name]), arriving[p.target])
        neurons = network.population(p.source).neurons
        arriving[p.source] = neurons.adjoint(drive, neurons.activate(drive), back)
    signals = network.credit(clean, arriving, feedback={})
    return form(network, outers(network, clean, signals))


def _bias(p: Projection) -> str:
    return f"{p.source}.feedback_bias"


def _drive(state: State, p: Projection, activity: Array) -> Array:
    """Drive of the path back against a projection."""
    return p.synapse.feedback(p.synapse.untranspose(state[p.name]), activity) + state[_bias(p)]

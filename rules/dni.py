"""Decoupled neural interfaces: a learned guess stands in for the gradient that is still to come."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.architectures.temporal import State as Carried
from plausibench.kernels.errors import InputError, integer, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.influence import Arrays, Layers, backwards, before, layers, stateful
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import learned
from plausibench.rules.rule import Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

FEW = 3
"""Trials for which a linear guess can be right, with neurons and a bias at least as many."""


@dataclass(frozen=True)
class Dni(Rule):
    r"""Decoupled neural interfaces in time, or synthetic gradients (Jaderberg et al. 2017).

    Errors return through the steps of a window alone. What would return from later steps is
    guessed from the rates at the window's end, layer by layer,

    .. math:: \hat\lambda_t = A h_t + a, \qquad
       A \leftarrow A - \eta \langle (\hat\lambda_t - \lambda_t) h_t^T \rangle,

    with :math:`\lambda_t` what returns from the next window, at whose end is a guess again. The
    first guess is 0, which is backpropagation through truncated time.

    The state holds A ``(N, N)`` and a ``(N,)`` for each layer, ``layer1.guess`` and
    ``layer1.guess_bias``. Guesses are of the gradient of a single trial.

    Parameters
    ----------
    window
        Steps of a window.
    rate
        Learning rate of the guesses, for means over trials and windows.
    """

    window: int = 2
    rate: float = 0.1

    card: ClassVar[RuleCard] = RuleCard(
        summary="a linear guess from the rates stands in for the errors of later windows",
        family="through time",
        equation=(
            "backpropagation through a window, at its end lambda = A h + a;  "
            "A <- A - rate <(A h + a - lambda) h^T>, lambda from the next window"
        ),
        randomness=frozenset(),
        unbiased=False,
        exact_when="the window is the trial, or guesses are right; the readout always",
        variance_law="0 for given guesses",
        synapse_knows="pre, and errors of the window and guessed ones through transposed weights",
        forward_passes=3.0,
        cites="Jaderberg, Czarnecki, Osindero, Vinyals, Graves, Silver & Kavukcuoglu 2017",
        phases="forward through a window, then backward through it",
        notes=(
            "guesses are linear in the rates of their own layer, and do not see targets; for leaky "
            "rates and a readout without a state"
        ),
        weight_transport=True,
        unverified="guesses by networks, guesses that see targets, guesses between layers",
    )

    dynamics: ClassVar[frozenset[str]] = frozenset({"recurrent"})

    def __post_init__(self) -> None:
        integer("window", self.window, least=1)
        positive("rate", self.rate)

    def initial_state(self, network: Network, seed: int) -> State:
        state: State = {}
        for p in network.hidden:
            state[f"{p.name}.guess"] = np.zeros((p.size, p.size), network.dtype)
            state[f"{p.name}.guess_bias"] = np.zeros(p.size, network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        axes: Axes = {}
        for p in network.hidden:
            axes[f"{p.name}.guess"] = (p.name, p.name)
            axes[f"{p.name}.guess_bias"] = (p.name,)
        return axes

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        course = layers(network, objective, batch, clean)
        signals, _ = returned(course, state, self.window)
        return outers(network, clean, {**signals, network.output.name: course.top})

    def advance(self, state: State, step: Step) -> State:
        network, batch = step.network, step.batch
        clean = network.forward(batch.inputs)  # the weights have changed since the pass before
        course = layers(network, step.objective, batch, clean)
        goals = returned(course, state, self.window)[1]
        new = dict(state)
        share = self.rate / max(1, len(goals) * batch.size)
        for end, goal in goals.items():
            for name, signal in goal.items():
                rates = clean.activity[name][course.rows(end)]
                off = share * (guessed(state, name, rates) - batch.size * signal)
                new[f"{name}.guess"] = new[f"{name}.guess"] - off.T @ rates
                new[f"{name}.guess_bias"] = new[f"{name}.guess_bias"] - off.sum(axis=0)
        return new

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit(
                "a window as long as the trial: backpropagation through time",
                lambda at: replace(at, rule=replace(self, window=_steps(at))),
                tolerance=1e-12,
            ),
            Limit(
                f"{FEW} trials, the guess that fits them: backpropagation through time",
                lambda at: _fitted(_few(at)),
                tolerance=1e-9,
            ),
            Limit(
                "windows of one step, guesses of 0: biased",
                lambda at: replace(at, rule=replace(self, window=1)),
                tolerance=1e-6,
                holds=False,
            ),
            Law(
                f"{FEW} trials, a step of learning: error beside the descent of half the squared "
                "distance of guesses from gradients, by central differences",
                lambda at: _descent(_few(at)),
            ),
        )

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return stateful("dni", network)


def guessed(state: State, name: str, rates: Array) -> Array:
    """Gradient of each trial by the rates of a layer, as guessed from them."""
    return rates @ state[f"{name}.guess"].T + state[f"{name}.guess_bias"]


def returned(course: Layers, state: State, window: int) -> tuple[Arrays, dict[int, Arrays]]:
    """Signals on all drives, and what returns to the last step of each window from the next.

    Both are shares of the batch's mean loss.
    """
    network, clean, size = course.network, course.clean, course.size
    signals = {name: np.empty_like(rows) for name, rows in course.errors.items()}
    goals: dict[int, Arrays] = {}
    back = {name: np.zeros_like(rows[:size]) for name, rows in course.errors.items()}
    for step in reversed(range(course.steps)):
        here, carried = course.rows(step), dict[str, Carried]()
        if (step + 1) % window == 0 and step + 1 < course.steps:
            goals[step] = back
            back = {name: guessed(state, name, clean.activity[name][here]) / size for name in back}
        arriving = {name: course.errors[name][here] + back[name] for name in back}
        drives = backwards(network, course.at(step), arriving, carried)
        for name, signal in drives.items():
            signals[name][here] = signal
        back = before(network, drives, carried)
    return signals, goals


def _steps(at: Situation) -> int:
    return len(at.network.forward(at.batch.inputs).output) // at.batch.size


def _few(at: Situation) -> Situation:
    """The same with a few trials, of two windows."""
    assert isinstance(at.rule, Dni)
    if _steps(at) < 2:
        raise InputError("a trial of one step has one window")
    rule = replace(at.rule, window=(_steps(at) + 1) // 2)
    return replace(at, rule=rule, batch=at.batch.take(range(FEW)))


def _goals(at: Situation) -> tuple[Arrays, Arrays]:
    """Rates at the end of the first window, and the gradients of single trials by them."""
    assert isinstance(at.rule, Dni)
    clean = at.network.forward(at.batch.inputs)
    course = layers(at.network, at.objective, at.batch, clean)
    ((end, goal),) = returned(course, at.state, at.rule.window)[1].items()
    rates = {name: clean.activity[name][course.rows(end)] for name in goal}
    return rates, {name: at.batch.size * signal for name, signal in goal.items()}


def _fitted(at: Situation) -> Situation:
    """Guesses by least squares, from rates at the end of the first window of two."""
    state = dict(at.state)
    rates, goals = _goals(at)
    for name, goal in goals.items():
        known = np.concatenate([rates[name], np.ones((len(goal), 1))], axis=1)
        weights = np.linalg.lstsq(known, goal, rcond=None)[0]
        state[f"{name}.guess"], state[f"{name}.guess_bias"] = weights[:-1].T, weights[-1]
    return replace(at, state=state)


def _descent(at: Situation) -> tuple[float, float, float]:
    """Relative error of a step of learning, from guesses that are not 0."""
    assert isinstance(at.rule, Dni)
    rate = at.rule.rate
    random = generator(at.seed, "theory", "guess")
    at = replace(at, state={n: random.standard_normal(a.shape) for n, a in at.state.items()})
    rates, goals = _goals(at)

    def distance(state: State) -> float:
        off = [guessed(state, name, rates[name]) - goal for name, goal in goals.items()]
        return sum(float((part**2).sum()) for part in off) / (2 * FEW)

    after, error, length, small = learned(at, 1), 0.0, 0.0, 1e-3
    for name, array in at.state.items():
        for place in np.ndindex(array.shape):
            ends = [{**at.state, name: array.copy()} for _ in range(2)]
            ends[0][name][place] += small
            ends[1][name][place] -= small
            slope = (distance(ends[0]) - distance(ends[1])) / (2 * small)
            error += float(after[name][place] - array[place] + rate * slope) ** 2
            length += (rate * slope) ** 2
    return float(np.sqrt(error / length)), 0.0, 1e-8

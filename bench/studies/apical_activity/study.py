r"""Apical activity in learning by reward (Richards et al. 2019, Fig. 5b-d).

An animal sees two stimuli, A and B, and licks or does not. In 200 trials nothing is rewarded; in
400 more a lick earns 1 after A and costs 1 after B. If apical dendrites carry the error that is
sent back, ``W^T e`` with ``e = RPE (a - pi)``, where a is the action and pi the policy, then in
trials of the reinforced stimulus apical activity should **rise in neurons tuned to A** and **fall
in neurons tuned to B**.

Two models are put to it, 60 rectified neurons each, on the same stimuli and draws: *reward*,
where apical activity is the top-down signal itself, and *microcircuit*, where it is the voltage
that is left of the top-down input of a settled dendritic microcircuit when interneurons have
subtracted what they predict, and is exactly 0 without a teaching signal. Learning is by the
models' own rules: ``backprop`` and ``feedback_alignment`` of e, and ``dendritic_error``.

Stimuli are orthogonal, or overlap (rectified gaussian patterns, cosine about 0.6); feedback is
aligned (the transposed weights) or random and fixed. The predictions are those of orthogonal
stimuli and aligned feedback; the other three are reported as they come out. The null has the
same trials with rewards of 1 and -1 by a coin. Changes are means over the rewarded trials minus
those over the others, and are told apart by stimulus: over all trials they cancel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.kernels.errors import InputError, integer, positive
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective, softmax
from plausibench.rules.dendritic_error import DendriticError
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State, Step

Array = np.ndarray

MODELS = {
    ("reward", "aligned"): ("mlp", "backprop"),
    ("reward", "random"): ("mlp", "feedback_alignment"),
    ("microcircuit", "aligned"): ("dendritic", "dendritic_error"),
    ("microcircuit", "random"): ("dendritic", "dendritic_error[feedback=random]"),
}
"""Architecture and rule of each model and kind of feedback."""
CONDITIONS = (
    ("orthogonal", "aligned", "contingent"),
    ("overlapping", "aligned", "contingent"),
    ("orthogonal", "random", "contingent"),
    ("overlapping", "random", "contingent"),
    ("orthogonal", "aligned", "coin"),
)
"""Stimuli, feedback and reward; the last is the null."""

INPUTS, NEURONS, ACTIONS = 20, 60, 2
LICK = 1
BEFORE, AFTER = 200, 400
"""Trials without and with reward."""
BLOCK = 50
"""Trials of a point of the time course."""
RATE = 0.005
"""Learning rate."""
FOLLOWING = 0.05
"""Rate at which the reward that is expected follows the reward."""
TUNED = ("A", "B")


@dataclass(frozen=True)
class TeachingSignal(Objective):
    """F_b = -sum_k e_bk y_bk with a given teaching signal e, whose descent is e itself."""

    summary: ClassVar[str] = "minus the output along a given teaching signal"
    equation: ClassVar[str] = "F = -mean_b sum_k e_bk y_bk"

    def losses(self, output: Array, targets: Array) -> Array:
        return -(targets * output).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        return -targets


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, stimuli and
        actions.
    learning_rate
        Of both models, above 0.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    seeds: int = 20
    seed: int = 0
    learning_rate: float = RATE

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        positive("learning_rate", self.learning_rate)


def jobs(options: Options) -> list[Job]:
    """A job for each model, condition and seed.

    Rows have ``quantity``, ``tuned`` (A or B), ``trials`` (of A, B, or all) and ``value``; of a
    time course also the trial ``at`` its middle.
    """
    return [
        Job(
            {
                "model": model,
                "stimuli": stimuli,
                "feedback": feedback,
                "reward": reward,
                "seed": seed,
            },
            rows_of,
            (model, stimuli, feedback, reward, options.learning_rate, seed),
        )
        for model in ("reward", "microcircuit")
        for stimuli, feedback, reward in CONDITIONS
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def patterns(stimuli: str, seed: int) -> Array:
    """Both stimuli ``(2, INPUTS)``, of equal length."""
    drawn = generator(seed, "data", "apical_activity").standard_normal((2, INPUTS))
    if stimuli == "orthogonal":
        drawn = np.linalg.qr(drawn.T)[0].T
    elif stimuli == "overlapping":
        drawn = np.abs(drawn)
    else:
        raise InputError(f"stimuli: {stimuli!r} are neither orthogonal nor overlapping")
    return drawn * (INPUTS**0.5 / np.linalg.norm(drawn, axis=1, keepdims=True))


def apical(rule: Rule, network: Network, state: State, inputs: Array, signal: Array) -> Array:
    """Apical activity of the hidden neurons ``(B, N)`` for a teaching signal at the output.

    Parameters
    ----------
    rule
        The model's.
    network, state
        As they are in the trial.
    inputs
        ``(B, N_in)``.
    signal
        What the output should do, ``(B, N_out)``.
    """
    (projection,) = network.returning
    clean = network.forward(inputs)
    if isinstance(rule, DendriticError):
        top = network.output.name
        # Linear outputs: the voltage that is pulled is their drive.
        circuit = rule.settled(network, inputs, state, clean.drive[top] + signal)
        return circuit.apical[projection.source]
    returned = state.get(projection.name)
    weights = (
        network.parameters[projection.name]
        if returned is None
        else projection.synapse.untranspose(returned)
    )
    return projection.synapse.feedback(weights, signal)


def teaching(policy: Array, action: int, surprise: float) -> Array:
    """Teaching signal ``RPE (a - pi)`` for a policy ``(B, A)``."""
    return surprise * ((np.arange(policy.shape[-1]) == action) - policy)


def rows_of(
    model: str, stimuli: str, feedback: str, reward: str, rate: float, seed: int
) -> Iterator[Row]:
    """Change of apical activity of one network, and its time course."""
    architecture, selector = MODELS[model, feedback]
    rule: Rule = select("rule", selector).make()
    network: Network = select("architecture", architecture).make(
        sizes=(INPUTS, NEURONS, ACTIONS), activation="relu", bias=False, seed=seed
    )
    seen = patterns(stimuli, seed)
    response = network.forward(seen).activity[network.hidden[0].name]
    tuned = {"A": response[0] > response[1], "B": response[1] > response[0]}
    draw = generator(seed, "data", "apical_activity", "trials")
    order, coins = draw.integers(2, size=BEFORE + AFTER), draw.integers(2, size=BEFORE + AFTER)
    chances = generator(seed, "action", "apical_activity").uniform(size=BEFORE + AFTER)

    def earned(trial: int, licked: bool) -> float:
        if trial < BEFORE or not licked:
            return 0.0
        good = coins[trial] if reward == "coin" else order[trial] == 0
        return 1.0 if good else -1.0

    activity, licks = learned(rule, network, seen[order], chances, earned, rate, seed)
    yield from _summary(activity, licks, order, tuned)


def learned(
    rule: Rule,
    network: Network,
    inputs: Array,
    chances: Array,
    earned: Callable[[int, bool], float],
    rate: float,
    seed: int,
) -> tuple[Array, Array]:
    """Apical activity ``(T, N)`` and licks ``(T,)`` of all trials, learning in each."""
    optimise, objective = make_optimiser("sgd", rate), TeachingSignal()
    state, expected = rule.initial_state(network, seed), 0.0
    activity, licks = np.empty((len(inputs), NEURONS)), np.empty(len(inputs), dtype=bool)
    for trial, one in enumerate(inputs):
        clean = network.forward(one[None])
        policy = softmax(clean.output)
        licks[trial] = chances[trial] < policy[0, LICK]
        gained = earned(trial, bool(licks[trial]))
        signal = teaching(policy, int(licks[trial]), gained - expected)
        expected += FOLLOWING * (gained - expected)
        activity[trial] = apical(rule, network, state, one[None], signal)[0]
        batch = Batch(one[None], signal, [trial])
        noise = Noise(stream(seed, "learning"), np.array([trial]), batch.keys, network.dtype)
        found = form(network, rule.estimate(network, objective, batch, clean, state, noise))
        shaped = {p.name: found[p.name].reshape(p.synapse.shape) for p in network.projections}
        change, _ = optimise.change(shaped, {})
        network = network.with_parameters(
            {name: weights + change[name] for name, weights in network.parameters.items()}
        )
        taken = Step(network, objective, batch, clean, change, optimise.decay, noise)
        state = rule.advance(state, taken)
    return activity, licks


def _summary(activity: Array, licks: Array, order: Array, tuned: dict[str, Array]) -> Iterator[Row]:
    rewarded = np.arange(len(order)) >= BEFORE
    last = np.arange(len(order)) >= len(order) - 100
    which = {"A": order == 0, "B": order == 1, "all": np.ones(len(order), dtype=bool)}
    for name, neurons in tuned.items():
        course = activity[:, neurons].mean(axis=1)
        for trials, mask in which.items():
            change = course[mask & rewarded].mean() - course[mask & ~rewarded].mean()
            yield {"quantity": "change", "tuned": name, "trials": trials, "value": float(change)}
        for begin in range(0, len(order), BLOCK):
            block = slice(begin, begin + BLOCK)
            shown = course[block][which["A"][block]]
            yield {
                "quantity": "course",
                "tuned": name,
                "trials": "A",
                "at": begin + BLOCK / 2,
                "value": float(shown.mean()) if len(shown) else float("nan"),
            }
    for trials in ("A", "B"):
        share = float(licks[which[trials] & last].mean())
        yield {"quantity": "licks", "tuned": "", "trials": trials, "value": share}


APICAL_ACTIVITY = Study(
    name="apical_activity",
    summary="apical activity by tuning when one of two stimuli is reinforced",
    options=Options,
    keys=(
        *("model", "stimuli", "feedback", "reward", "seed"),
        *("quantity", "tuned", "trials", "at"),
    ),
    jobs=jobs,
    report="plausibench.bench.studies.apical_activity.report:report",
)

"""Spiking mode-based networks: what few modes can do, and what they do to a learning rule.

**Training.** Networks of leaky integrate-and-fire neurons whose recurrent weights are P modes (Lin
& Huang 2024) learn, by backpropagation through time with the pseudo-derivative and Adam, to
integrate the one of two noisy streams that a context names, and to tell digits that are shown row
by row and remembered for a delay. Beside them are networks without recurrence (P = 0), with a full
matrix, and of rates (modes with fixed scores). Everything is measured again with recurrence cut
after training: where that costs nothing, a task does not ask for recurrence, and accuracy that is
flat in P says nothing. The answer of an integration is the sign of the output in the last fifth of
the response: at its beginning, the filters of the neurons still remember the streams.

**Structure** of what was learned: importance of the modes, their overlaps against those of random
vectors, activity as the modes see it, and psychometric curves.

**Rules.** A network of rates at initialisation, and the same network with its recurrent matrix
formed: the same activity, the same loss, and estimates of the gradient by modes or by weights.
Variance and bias are relative to the gradient in the same parameters.

**Cost.** Time for the recurrent product and for one update, against that without recurrence. Times
are of the machine at that moment, beside whatever else it does; all other values depend on the seed
alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from plausibench.architectures.low_rank import Modes
from plausibench.architectures.mode_rnn import ModeRnn
from plausibench.architectures.modes import ModeNetwork
from plausibench.architectures.network import Network
from plausibench.architectures.rate_rnn import RateRnn
from plausibench.architectures.recurrent import Course, RecurrentNetwork
from plausibench.architectures.spiking_mode_rnn import SpikingModeRnn
from plausibench.architectures.spiking_rnn import SpikingRnn
from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.factors import RUN
from plausibench.bench.measuring.measurement import measure
from plausibench.bench.measuring.statistics import GROUPS
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study, each
from plausibench.bench.tasks.contextual_integration import ContextualIntegration
from plausibench.bench.tasks.row_by_row import RowByRow
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import accuracy, trajectory
from plausibench.kernels.errors import Divergence, InputError, choose, integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.backpropagation_through_time import BackpropagationThroughTime

Array = np.ndarray


STEP = 5
"""Length of a time step, ms."""
CONTEXTUAL = ContextualIntegration(dt=STEP, before=(50,), stimulus=(150,), response=(300,))
DIGITS = RowByRow(hold=3, delay=8)
TASKS: Mapping[str, Task] = {"contextual_integration": CONTEXTUAL, "digits": DIGITS}
UPDATES = {"contextual_integration": 200, "digits": 500}
EXAMPLES, RATE, TESTED = 32, 0.01, 300
"""Examples of an update, learning rate of Adam, and trials of the test."""
LAST = 5
"""An answer is given in this fraction of the response, at its end."""
REFRACTORY = 2
MEMBRANE = 20.0

OFFSETS = (-0.5, -0.25, -0.1, -0.05, 0.0, 0.05, 0.1, 0.25, 0.5)
TRIALS = 100
"""Offsets of psychometric curves, and trials at each."""
IMPORTANT, PSYCHOMETRIC = 30, 3
"""Modes of the network whose importances are ranked, and of the one whose choices are asked."""

PERTURBING = ("weight_perturbation", "node_perturbation", "uoro")
DIRECTED = ("e_prop", "rflo[feedback=symmetric]", "rflo", "random_feedback_through_time")
ROUNDS = 15
"""Times that a product and an update are timed, in turns; the shortest counts."""
SIZE = 32
"""Neurons of the networks in which rules are compared."""


@dataclass(frozen=True)
class Arm:
    """One kind of network on one task; ``modes`` None is a full matrix."""

    task: str
    neurons: int
    modes: int | None = None
    kind: str = "spiking"

    def __post_init__(self) -> None:
        choose("task", self.task, TASKS)
        choose("kind", self.kind, ("spiking", "rate"))
        if self.kind == "rate" and self.modes is None:
            raise InputError("modes: networks of rates have a number of modes; give one")

    @property
    def about(self) -> dict[str, Any]:
        """Its identity as columns."""
        modes = -1 if self.modes is None else self.modes
        return {"task": self.task, "kind": self.kind, "neurons": self.neurons, "modes": modes}

    def build(self, seed: int) -> RecurrentNetwork:
        """Network before training."""
        task = TASKS[self.task]
        sizes = (task.inputs_size, self.neurons, task.outputs_size)
        if self.kind == "rate":
            assert self.modes is not None
            leak = 1 - float(np.exp(-STEP / MEMBRANE))
            options: dict[str, Any] = {"leak": leak, "leaking": "potential", "bias": False}
            return ModeRnn(sizes, scores="fixed", modes=self.modes, **options).build(seed)
        options = {"step_length": STEP, "membrane": MEMBRANE, "refractory": REFRACTORY}
        if self.modes is None:
            return SpikingRnn(sizes, **options).build(seed)
        return SpikingModeRnn(sizes, modes=self.modes, **options).build(seed)


ARMS = (
    *(Arm("contextual_integration", 100, modes) for modes in (0, 1, 3, IMPORTANT, None)),
    *(Arm("contextual_integration", 30, modes) for modes in (0, 1, None)),
    Arm("contextual_integration", 100, 3, "rate"),
    *(Arm("digits", 100, modes) for modes in (0, 1, 3, 10, IMPORTANT, None)),
    *(Arm("digits", 30, modes) for modes in (0, 1, 3, 10, None)),
    Arm("digits", 100, 3, "rate"),
)
COMPARED = (1, 3, 10, SIZE)
"""Numbers of modes at which rules are compared."""
TIMED = ((100, (1, 10, 50)), (400, (1, 10, 100)), (1000, (1, 10, 100)))
"""Neurons, with the numbers of modes for which time is taken."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    samples
        Draws of rules that are random.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, batches and noise.
    arms
        Networks to train.
    compared
        Numbers of modes at which rules are compared.
    timed
        Neurons, with numbers of modes, for which time is taken.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    samples: int = 320
    seeds: int = 5
    seed: int = 0
    arms: tuple[Arm, ...] = ARMS
    compared: tuple[int, ...] = COMPARED
    timed: tuple[tuple[int, tuple[int, ...]], ...] = TIMED

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=RUN * GROUPS)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        object.__setattr__(self, "arms", each("arms", Arm, self.arms))
        timed = tuple((neurons, tuple(numbers)) for neurons, numbers in self.timed)
        object.__setattr__(self, "timed", timed)


def jobs(options: Options) -> list[Job]:
    """A job for each network to train, number of modes to compare at, and size to time.

    Each makes a row for each value: ``part``, ``task``, ``kind``, ``neurons``, ``modes`` (-1 for a
    full matrix), ``seed``, ``rule``, ``quantity``, ``x``, ``series`` and ``value``.
    """
    seeds = range(options.seed, options.seed + options.seeds)
    trainings = [
        Job(
            about={**arm.about, "seed": seed},
            work=trained,
            arguments=(arm, seed),
            cost=UPDATES[arm.task] * arm.neurons,
        )
        for arm in options.arms
        for seed in seeds
    ]
    comparisons = [
        Job(
            about={"part": "rules", "kind": "rate", "neurons": SIZE, "modes": modes, "seed": seed},
            work=ruled,
            arguments=(modes, options.samples, seed),
        )
        for modes in options.compared
        for seed in seeds
    ]
    timings = [
        Job({"part": "cost", "kind": "spiking", "neurons": neurons}, timed_at, (neurons, modes))
        for neurons, modes in options.timed
    ]
    return [*trainings, *comparisons, *timings]


def _row(part: str, quantity: str, value: float, **about: Any) -> dict[str, Any]:
    names = {"part": part, "rule": "", "quantity": quantity, "x": 0.0, "series": "", "outcome": ""}
    return {**names, **about, "value": float(value)}


def trained(arm: Arm, seed: int) -> Iterator[dict[str, Any]]:
    """Train one network, and measure what it can do, with and without recurrence.

    Raises
    ------
    Divergence
        After a row that says so, if it diverges.
    """
    task = TASKS[arm.task]
    goal = CrossEntropy() if arm.task == "digits" else MeanSquaredError()
    rule, network = BackpropagationThroughTime(), arm.build(seed)
    optimise = make_optimiser("adam", RATE)
    stops = [0, UPDATES[arm.task]]
    try:
        for reached in trajectory(rule, rule, network, goal, task, optimise, stops, EXAMPLES, seed):
            assert isinstance(reached.network, RecurrentNetwork)
            network = reached.network
    except Divergence:
        yield _row("training", "diverged", 1.0, outcome="diverged")
        raise
    outcome = ""
    test = task.test.take(range(min(TESTED, task.test.size)))
    course = network.forward(test.inputs)
    found = {"loss": float(goal.batch_loss(course.output, test))}
    found["accuracy"] = _accuracy(arm.task, course, test)
    found["accuracy, cut"] = _accuracy(arm.task, cut(network).forward(test.inputs), test)
    if arm.task == "contextual_integration":
        outputs = _by_trial(course)[:, :, None]
        found["accuracy, whole response"] = float(CONTEXTUAL.correct(outputs, test).mean())
    found["dimension"] = participation(course.activity["layer1"])
    if network.spiking:
        spikes = float(course.traces["layer1"]["spikes"].mean())
        found["rate"] = 1000 * spikes / STEP
        if spikes < 0.001 * STEP:
            outcome = "silent"
        elif spikes > 0.8 / (REFRACTORY + 1):
            outcome = "saturated"
    found["parameters"] = network.size
    found["optimiser bytes"] = 2 * sum(array.nbytes for array in network.parameters.values())
    found["trace bytes"] = _bytes(course) / test.size
    for name, value in found.items():
        yield _row("training", name, value, outcome=outcome)
    if isinstance(network, ModeNetwork) and network.recurrent and network.spiking:
        yield from _structure(network, arm.build(seed))
        if arm == Arm("contextual_integration", 100, PSYCHOMETRIC):
            yield from _choices(network, seed)
            yield from _seen(network, test)


def cut(network: RecurrentNetwork) -> Network:
    """The same network without recurrence."""
    gone = {p.name: 0 * network.parameters[p.name] for p in network.projections if p.delay}
    return network.with_parameters({**network.parameters, **gone})


def _by_trial(course: Course) -> Array:
    """First output of every trial and step, ``(B, T)``."""
    return course.output[:, 0].reshape(-1, course.examples).T


def _answers(course: Course) -> Array:
    """Mean output of each trial in the last part of the response."""
    response = CONTEXTUAL.response[0] // STEP
    mean: Array = _by_trial(course)[:, -(response // LAST) :].mean(axis=1)
    return mean


def _accuracy(task: str, course: Any, test: Batch) -> float:
    if task == "digits":
        return accuracy(course.output, test)
    return float((np.sign(_answers(course)) == test.targets[:, -1, 0]).mean())


def participation(activity: Array) -> float:
    """Participation ratio of activity ``(T B, N)``: (sum of variances)^2 over that of squares."""
    values = np.linalg.eigvalsh(np.cov(activity.T))
    return float(values.sum() ** 2 / (values**2).sum())


def _bytes(course: Course) -> int:
    arrays = [*course.drive.values(), *course.activity.values()]
    arrays += [array for traces in course.traces.values() for array in traces.values()]
    return sum(array.nbytes for array in arrays)


def importances(modes: Modes) -> Array:
    """Importance of each mode, in falling order (Lin & Huang 2023): |lambda| and its modes' norms.

    The sum of the norms is scaled so that scores and norms weigh the same over all modes.
    """
    sizes = np.abs(modes.scores)
    norms = np.linalg.norm(modes.input_modes, axis=0) + np.linalg.norm(modes.output_modes, axis=1)
    return np.sort(sizes + sizes.sum() / norms.sum() * norms)[::-1]


def overlaps(modes: Modes) -> dict[str, float]:
    """Root mean square of overlaps of modes, times the root of N: 1 for random vectors."""
    into = modes.input_modes / np.linalg.norm(modes.input_modes, axis=0)
    out = modes.output_modes.T / np.linalg.norm(modes.output_modes.T, axis=0)
    apart = ~np.eye(into.shape[1], dtype=bool)
    found = {"input and output modes": into.T @ out}
    if into.shape[1] > 1:
        found["input modes"], found["output modes"] = (into.T @ into)[apart], (out.T @ out)[apart]
    return {n: float(np.sqrt(np.mean(o**2) * len(into))) for n, o in found.items()}


def _structure(network: ModeNetwork, first: RecurrentNetwork) -> list[dict[str, Any]]:
    rows = []
    for when, net in (("before", first), ("after", network)):
        modes = net.weights["layer1.recurrent"]
        rows += [
            _row("structure", "importance", value, x=rank, series=when)
            for rank, value in enumerate(importances(modes), start=1)
        ]
        rows += [
            _row("structure", f"overlap of {name}", value, series=when)
            for name, value in overlaps(modes).items()
        ]
    return rows


def trials(relevant: Array, irrelevant: Array, context: Array, seed: int) -> Array:
    """Inputs ``(B, T, 4)`` of contextual integration with any offset of each stream."""
    start, last = (CONTEXTUAL.before[0] // STEP, CONTEXTUAL.stimulus[0] // STEP)
    count = len(context)
    inputs = np.zeros((count, CONTEXTUAL.steps, 4))
    noise = generator(seed, "data", "psychometric").standard_normal((count, last, 2))
    offsets = np.where(context[:, None] == [0, 1], relevant[:, None], irrelevant[:, None])
    inputs[:, start : start + last, :2] = CONTEXTUAL.noise * noise + offsets[:, None]
    inputs[np.arange(count), :, 2 + context] = 1
    return inputs


def _choices(network: RecurrentNetwork, seed: int) -> list[dict[str, Any]]:
    """Share of positive answers against the offset of either stream."""
    rows = []
    draw = generator(seed, "data", "psychometric", "signs")
    offset = np.repeat(OFFSETS, TRIALS)
    context = draw.integers(0, 2, offset.size)
    other = CONTEXTUAL.offset * (2 * draw.integers(0, 2, offset.size) - 1)
    for series, relevant, irrelevant in (
        ("relevant", offset, other),
        ("irrelevant", np.zeros_like(offset), offset),
    ):
        inputs = trials(relevant, irrelevant, context, stream(seed, series))
        positive = (_answers(network.forward(inputs)) > 0).reshape(-1, TRIALS).mean(axis=1)
        rows += [
            _row("structure", "positive answers", value, x=x, series=series)
            for x, value in zip(OFFSETS, positive, strict=True)
        ]
    return rows


def _seen(network: ModeNetwork, test: Batch) -> list[dict[str, Any]]:
    """Mean activity as the two most important output modes see it, by context and choice."""
    modes = network.weights["layer1.recurrent"]
    order = np.argsort(-np.abs(modes.scores))[:2]
    kappa, _ = modes.seen(network.forward(test.inputs).activity["layer1"])
    kappa = kappa.reshape(-1, test.size, kappa.shape[1])[:, :, order]
    context, choice = test.inputs[:, 0, 3] > 0, test.targets[:, -1, 0] > 0
    rows = []
    for number in range(4):
        which = (context == bool(number % 2)) & (choice == bool(number // 2))
        mean = kappa[:, which].mean(axis=1)
        rows += [
            _row("structure", f"seen by mode {axis + 1}", value, x=STEP * t, series=str(number))
            for t, both in enumerate(mean)
            for axis, value in enumerate(both)
        ]
    return rows


def compared(modes: int, seed: int) -> tuple[ModeNetwork, Batch]:
    """A network of rates at initialisation, and trials of a teacher with a full matrix."""
    sizes = (4, SIZE, 2)
    inputs = generator(seed, "data", "modes").standard_normal((4, 16, 4))
    teacher = RateRnn(sizes, bias=False).build(stream(seed, "teacher"))
    targets = teacher.forward(inputs).output.reshape(16, 4, 2)[-1]
    return ModeRnn(sizes, modes=modes, bias=False).build(seed), Batch(inputs, targets)


def ruled(modes: int, samples: int, seed: int) -> Iterator[Row]:
    """Bias and variance of rules by modes, and of the same network by weights."""
    moded, batch = compared(modes, seed)
    for space, network in (("modes", moded), ("weights", moded.formed())):
        about = {"task": "", "series": space}
        yield _row("rules", "parameters", network.size, **about)
        for name in (*PERTURBING, *DIRECTED):
            rule = select("rule", name).make()
            quantity = "variance" if name in PERTURBING else "bias_squared"
            cell = (rule, network, MeanSquaredError(), batch, samples, stream(seed, "modes"))
            value = measure(*cell, threads=1).value(quantity)
            yield _row("rules", quantity, value, **about, rule=name)


def timed_at(neurons: int, modes: tuple[int, ...]) -> Iterator[Row]:
    """Seconds for a recurrent product and for an update, the shortest of several, in turns.

    Unlike other rows, times do not depend on the arguments alone: they are of the machine at that
    moment, and other jobs may run beside. Rows that are kept are not timed again.
    """
    random = generator(0, "data", "cost")
    pre = random.standard_normal((EXAMPLES, neurons))
    inputs = random.standard_normal((EXAMPLES, 20, 4)) + 1
    batch = Batch(inputs, random.standard_normal((EXAMPLES, 20, 1)))
    arms = {number: SpikingModeRnn((4, neurons, 1), modes=number).build() for number in (0, *modes)}
    networks: dict[int, RecurrentNetwork] = {**arms, -1: SpikingRnn((4, neurons, 1)).build()}
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for number, network in networks.items():
            for path in network.loops("layer1"):
                began = perf_counter()
                for _ in range(20):
                    path.synapse.drive(network.weights[path.name], pre)
                taken = (perf_counter() - began) / 20
                best["product", number] = min(taken, best.get(("product", number), taken))
            began = perf_counter()
            network.gradient(MeanSquaredError(), batch)
            taken = perf_counter() - began
            best["update", number] = min(taken, best.get(("update", number), taken))
    about = {"task": "", "seed": 0}
    for (what, number), seconds in best.items():
        yield _row("cost", f"seconds of a {what}", seconds, **about, modes=number)
    for number, network in networks.items():
        yield _row("cost", "parameters", network.size, **about, modes=number)


MODES = Study(
    name="modes",
    summary="recurrent networks of few modes: what they learn, and what rules do in them",
    options=Options,
    keys=(
        *("part", "task", "kind", "neurons", "modes", "seed"),
        *("rule", "quantity", "x", "series"),
    ),
    jobs=jobs,
    report="plausibench.bench.studies.modes.report:report",
)

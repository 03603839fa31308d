"""Whether wiring cost and swaps of neurons make a recurrent network grow modules.

A network of leaky rates on a square grid learns eight tasks of Yang et al. 2019 with a penalty on
``sum |W_ij| (1 + w d_ij)``, d being the distance of two neurons, and swaps of neurons whenever that
saves wire (after Liu, Khona, Fiete & Tegmark 2023, whose numbers are not known to us). Five arms:
no penalty; the L1 norm (w = 0); w = 2 without swaps; L1 with swaps; both. Swaps do not change the
course of learning where w = 0, so that the arm of swaps alone is the L1 arm swapped at its end.

The same strength of penalty presses harder where w = 2. So the arms are compared at equal
performance, read off the path of performance and wire over strengths, and never at equal strength.

Neurons are clustered by their variance across the conditions of each task. Three questions follow,
each against a null in which neurons change labels: do clusters lie close together (locality), are
they connected within (modularity, correlation of functional similarity with coupling), and do the
two go together (co-emergence). Lesions of clusters are compared with lesions of as many random
neurons, and weights are pruned from the smallest. Networks that learn one family of tasks after
the other show what is forgotten, and what earlier tasks are worth for later ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.architectures.permutation import permuted_network
from plausibench.architectures.recurrent import RecurrentNetwork
from plausibench.architectures.spatial import SpatialNetwork
from plausibench.architectures.spatial_rnn import SpatialRnn
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import runnable
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.modularity import modules
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.yang2019 import Yang2019
from plausibench.bench.training.optimisers import Adam
from plausibench.bench.training.training import trajectory
from plausibench.kernels.errors import Divergence, InputError, integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective
from plausibench.objectives.weighted_sum import WeightedSum
from plausibench.objectives.wiring_cost import WiringCost

Array = np.ndarray


TASKS = ("go", "anti", "dlygo", "dlyanti", "dm1", "dm2", "ctxdm1", "ctxdm2")
PHASES = (("go",), ("dlygo",), ("dm1", "dm2"), ("multidm",), ("ctxdm1", "ctxdm2"))
"""Tasks that are learned one after the other."""
GRID = (10, 10)
NEURONS = GRID[0] * GRID[1]
LAYER, RECURRENT, READOUT = "layer1", "layer1.recurrent", "layer2.weights"
STEPS, BATCH_SIZE, LEARNING_RATE = 800, 32, 4e-3
PHASE = 0.2
"""Share of the steps that each phase of a sequence gets."""
STRENGTHS = (3e-5, 1e-4, 2e-4)
EVERY, MOST = 50, 30
"""Steps between swaps, and swaps at a time."""
TRIALS, PROBES = 2000, 400
"""Trials of the training and of the test set; those of the latter that lesions are tested on."""
ALIVE = 1e-2
"""Size from which a weight counts as alive."""
LOSS = 0.01
"""Loss of performance up to which weights are pruned."""
HALVINGS = 8
"""Times that the number of weights is halved by pruning."""
RANDOM_LESIONS = 4
SHUFFLES = 100
"""Draws of the null in which weights change places."""
SHOWN = 150
"""Connections of a network that its picture shows."""


@dataclass(frozen=True)
class Arm:
    """What is added to the loss, and whether neurons are swapped.

    ``distance`` is the cost of a unit of length beside 1 for any connection.
    """

    name: str
    distance: float = 0.0
    swaps: bool = False


ARMS = {
    arm.name: arm
    for arm in (Arm("none"), Arm("L1"), Arm("distance", 2.0), Arm("swaps"), Arm("both", 2.0, True))
}
"""Swaps of the arm of that name come after training."""
SEQUENTIAL = ("none", "L1", "both")
SEQUENCE_STRENGTH = 1e-4


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own trials, weights, feedback and
        clusters.
    rules
        Learning rules, by selector.
    checkpoints
        Number of training steps, one.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule does not run here.
    """

    seeds: int = 5
    seed: int = 0
    rules: tuple[str, ...] = ("backpropagation_through_time",)
    checkpoints: tuple[int, ...] = (STEPS,)

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        if len(self.checkpoints) != 1:
            raise InputError(
                f"checkpoints: {len(self.checkpoints)} numbers of training steps; allowed is one"
            )
        integer("checkpoints", self.checkpoints[0], least=10)
        for name in self.rules:
            _refuse(name)


def jobs(options: Options) -> list[Job]:
    """A job for each network: a seed, a rule, an arm with a strength, tasks at once or in turn.

    ``course`` says which of the two (together, sequence). Each makes a row for each value:
    ``quantity``, ``of`` (what of: a task, a number of weights, a phase, a neuron), ``value``, and
    where there is a null ``z`` and ``p``. That of L1 makes those of the arm of swaps, too.
    """
    (steps,) = options.checkpoints
    phase = round(PHASE * steps)
    strengths = [("none", 0.0)]
    strengths += [(arm, s) for s in STRENGTHS for arm in ("L1", "distance", "both")]
    each = [
        (seed, rule)
        for seed in range(options.seed, options.seed + options.seeds)
        for rule in options.rules
    ]
    todo = [
        Job(
            about=_about("together", rule, arm, strength, seed),
            work=together,
            arguments=(rule, arm, strength, seed, steps),
            cost=steps,
        )
        for seed, rule in each
        for arm, strength in strengths
    ]
    todo += [
        Job(
            about=_about("sequence", rule, arm, SEQUENCE_STRENGTH, seed),
            work=in_sequence,
            arguments=(rule, arm, seed, phase),
            cost=2 * len(PHASES) * phase,  # every phase is learned by a fresh network, too
        )
        for seed, rule in each
        for arm in SEQUENTIAL
    ]
    return todo


def _about(course: str, rule: str, arm: str, strength: float, seed: int) -> dict[str, Any]:
    return {"course": course, "rule": rule, "arm": arm, "strength": strength, "seed": seed}


def together(rule: str, arm: str, strength: float, seed: int, steps: int) -> Iterator[Row]:
    """Rows of a network that learned all tasks at once; of L1 also with neurons swapped.

    Raises
    ------
    Divergence
        After a row that says so, if the network diverges.
    """
    task = _task(TASKS, seed)
    network = _built(task, seed)
    try:
        network = _learned(rule, network, task, ARMS[arm], strength, steps, seed)
    except Divergence:
        for each in ("L1", "swaps") if arm == "L1" else (arm,):
            yield {"arm": each, **_row("diverged", 1.0)}
        raise
    variance = _variance(network, task)
    labels = modules.clusters(variance, seed)
    same = _performing(network, task, labels, generator(seed, "lesions"))
    yield from same + _placed(network, variance, labels, seed)
    if arm == "L1":
        order, _ = network.wire(LAYER).swaps(NEURONS**2)
        moved = permuted_network(network, LAYER, order)
        assert isinstance(moved, SpatialNetwork)
        for row in same + _placed(moved, variance[order], labels[order], seed):
            yield {"arm": "swaps", **row}


def in_sequence(rule: str, arm: str, seed: int, steps: int) -> Iterator[Row]:
    """Rows of a network that learned one phase after the other, and of fresh ones for each.

    Raises
    ------
    Divergence
        After the rows before it and one that says so, if a network diverges.
    """
    tasks = [_task(phase, seed) for phase in PHASES]
    network = fresh = _built(tasks[0], seed)
    names = ["+".join(phase) for phase in PHASES]
    for number, task in enumerate(tasks):
        key = stream(seed, "phase", number)
        settings = (task, ARMS[arm], 0.0 if arm == "none" else SEQUENCE_STRENGTH, steps, key)
        alone: list[float] = []
        along: list[float] = []
        try:
            network = _learned(rule, network, *settings, along.append)
            if number:
                _learned(rule, fresh, *settings, alone.append)
        except Divergence:
            yield _row("diverged", 1.0)
            raise
        if number:
            gained = float(np.mean(along) - np.mean(alone))
            yield _row("transfer", gained, names[number])
        for each, name in zip(tasks[: number + 1], names, strict=False):
            yield _row(f"after {names[number]}", right(network, each).mean(), name)


def right(network: Network, task: Yang2019, trials: int | None = None) -> Array:
    """Whether each test trial, or the first of them, is answered rightly, ``(B,)``."""
    batch = task.test if trials is None else task.test.take(range(trials))
    output = network.forward(batch.inputs).output
    return task.correct(output.reshape(task.steps, batch.size, -1).swapaxes(0, 1), batch)


def _task(names: Sequence[str], seed: int) -> Yang2019:
    return Yang2019(
        trials=TRIALS, dt=100, task="-".join(names), ring=8, periods="fixed", easy=True, seed=seed
    )


def _built(task: Yang2019, seed: int) -> SpatialNetwork:
    shape = SpatialRnn(
        (task.inputs_size, NEURONS, task.outputs_size),
        grid=GRID,
        activation="relu",
        output="sigmoid",
        initial="orthogonal",
        recurrence=0.5,
    )
    return shape.build(seed)


def _objective(arm: Arm, strength: float) -> Objective:
    cost = WiringCost(grid=GRID, base=1.0, distance=arm.distance, uniform=1.0)
    return WeightedSum(((1.0, MeanSquaredError()), (strength, cost)))


def _refuse(rule: str) -> None:
    """Refuse a rule that does not run here, or whose state cannot follow its neurons."""
    network = _built(_task(TASKS, 0), 0)
    made = runnable(rule, network, MeanSquaredError())
    silent = set(made.initial_state(network, 0)) - set(made.state_axes(network))
    if silent:
        raise InputError(
            f"rules: {rule} cannot run in this study (it does not say which neurons its state "
            f"{sorted(silent)[0]} belongs to)"
        )


def _learned(
    rule: str,
    network: SpatialNetwork,
    task: Yang2019,
    arm: Arm,
    strength: float,
    steps: int,
    seed: int,
    judge: Callable[[float], None] | None = None,
) -> SpatialNetwork:
    """The network after training; ``judge`` is told the performance at each quarter of it."""
    made: Any = select("rule", rule).make()

    def swap(step: int, current: Network) -> Mapping[str, Array]:
        assert isinstance(current, SpatialNetwork)
        if not arm.swaps or step % EVERY:
            return {}
        order, count = current.wire(LAYER).swaps(MOST)
        return {LAYER: order} if count else {}

    objective, optimise = _objective(arm, strength), Adam(LEARNING_RATE)
    stops = [steps] if judge is None else [steps * quarter // 4 for quarter in range(1, 5)]
    course = trajectory(
        made, made, network, objective, task, optimise, stops, BATCH_SIZE, seed, swap
    )
    reached: Network = network
    for checkpoint in course:
        reached = checkpoint.network
        if judge is not None:
            judge(float(right(reached, task, PROBES).mean()))
    assert isinstance(reached, SpatialNetwork)
    return reached


def _row(quantity: str, value: float, of: str = "", **others: Any) -> dict[str, Any]:
    return {"quantity": quantity, "of": of, "value": float(value), **others}


def _performing(
    network: SpatialNetwork, task: Yang2019, labels: Array, draw: np.random.Generator
) -> list[dict[str, Any]]:
    """What does not depend on where neurons are."""
    answers, turns = right(network, task), np.arange(task.test.size) % len(TASKS)
    absolute = np.abs(network.parameters[RECURRENT])
    return [
        _row("performance", answers.mean()),
        *(_row("performance", answers[turns == n].mean(), name) for n, name in enumerate(TASKS)),
        _row("size of weights", absolute.sum()),
        _row("alive weights", (absolute > ALIVE).sum()),
        _row("active neurons", (labels >= 0).sum()),
        _row("clusters", labels.max() + 1),
        *_pruned(network, task),
        *_lesioned(network, task, labels, draw),
    ]


def _placed(
    network: SpatialNetwork, variance: Array, labels: Array, seed: int
) -> list[dict[str, Any]]:
    """What depends on where neurons are."""
    absolute = np.abs(network.parameters[RECURRENT])
    wiring, size = (absolute * network.distances[RECURRENT]).sum(), absolute.sum()
    return [
        _row("wiring", wiring),
        _row("weighted distance", wiring / size if size else float("nan")),
        *_modules(network, variance, labels, generator(seed, "null")),
        *_drawn(network, variance, labels),
    ]


def _variance(network: RecurrentNetwork, task: Yang2019) -> Array:
    """Variance of each neuron across conditions of each task after fixation, without noise."""
    quiet = replace(task, noise=0.0)
    batch, conditions = quiet.test, quiet.conditions("test")
    rates = network.forward(batch.inputs).activity[LAYER].reshape(task.steps, batch.size, -1)
    time = np.arange(task.steps)[:, None]
    shown = (time >= conditions.onset[:, 0]) & (time < conditions.length)
    return modules.task_variance(rates, conditions.rule, shown)


def _modules(
    network: SpatialNetwork, variance: Array, labels: Array, draw: np.random.Generator
) -> list[dict[str, Any]]:
    """Locality, modularity and co-emergence of the active neurons, each beside its null."""
    active = np.flatnonzero(labels >= 0)
    own, size = labels[active], len(active)
    if size < 4 or own.max() < 1:
        return []
    pairs = np.ix_(active, active)
    weights = network.parameters[RECURRENT][pairs]
    lengths = network.distances[RECURRENT][pairs]
    alike = modules.similarity(variance[active])
    coupling = np.abs(weights) + np.abs(weights).T

    asked: dict[str, Callable[[Array], float]] = {
        "locality": lambda order: modules.locality(lengths, own[order]),
        "modularity": lambda order: modules.modularity(weights, own[order]),
        "similar are coupled": modules.correlation(alike, coupling),
        "similar are near": modules.correlation(alike, -lengths),
        "near are coupled": modules.correlation(coupling, -lengths),
        "autocorrelation": lambda order: modules.autocorrelation(variance[active][order], lengths),
    }
    found = []
    for name, statistic in asked.items():
        tested = modules.against_null(statistic, size, draw, small=name == "locality")
        found.append(_row(name, tested.value, z=tested.z, p=tested.p))
    found.append(_row("modularity, weights shuffled", _shuffled(weights, own, draw)))
    within = own[:, None] == own
    np.fill_diagonal(within, False)
    between = own[:, None] != own
    found.append(_row("coupling within over between", _ratio(coupling, within, between)))
    return found


def _ratio(coupling: Array, within: Array, between: Array) -> float:
    apart = coupling[between].mean()
    return float(coupling[within].mean() / apart) if within.any() and apart else float("nan")


def _shuffled(weights: Array, labels: Array, draw: np.random.Generator) -> float:
    """Mean modularity of the same weights in random places."""
    flat = weights.ravel()
    null = [
        modules.modularity(draw.permutation(flat).reshape(weights.shape), labels)
        for _ in range(SHUFFLES)
    ]
    return float(np.mean(null))


def _pruned(network: SpatialNetwork, task: Yang2019) -> list[dict[str, Any]]:
    """Performance with the smallest weights cut, and how many are needed."""
    weights = network.parameters[RECURRENT]
    ranked = np.argsort(-np.abs(weights), axis=None)
    found, needed, whole = [], weights.size, 0.0
    for halvings in range(HALVINGS + 1):
        kept = weights.size >> halvings
        cut = np.zeros(weights.size)
        cut[ranked[:kept]] = weights.ravel()[ranked[:kept]]
        changed = {**network.parameters, RECURRENT: cut.reshape(weights.shape)}
        performance = float(right(network.with_parameters(changed), task, PROBES).mean())
        whole = performance if halvings == 0 else whole
        found.append(_row("pruned performance", performance, str(kept)))
        # The fewest of an unbroken series that starts with all of them.
        if needed == min(2 * kept, weights.size) and performance >= whole - LOSS:
            needed = kept
    return [*found, _row("weights needed", needed)]


def _lesioned(
    network: SpatialNetwork, task: Yang2019, labels: Array, draw: np.random.Generator
) -> list[dict[str, Any]]:
    """Damage by the loss of each cluster, and how specific it is beside random lesions."""
    turns = np.arange(PROBES) % len(TASKS)

    def each(answers: Array) -> Array:
        return np.array([answers[turns == n].mean() for n in range(len(TASKS))])

    whole = each(right(network, task, PROBES))

    def damage(neurons: Array) -> Array:
        return whole - each(right(_without(network, neurons), task, PROBES))

    groups = [np.flatnonzero(labels == number) for number in range(labels.max() + 1)]
    if len(groups) < 2:
        return []
    found = np.stack([damage(group) for group in groups])
    active = np.flatnonzero(labels >= 0)
    null = [
        modules.specificity(
            np.stack([damage(draw.permutation(active)[: len(group)]) for group in groups])
        )
        for _ in range(RANDOM_LESIONS)
    ]
    rows = [
        _row("damage", found[number, n], f"{number} {name}")
        for number in range(len(groups))
        for n, name in enumerate(TASKS)
    ]
    return [
        *rows,
        _row("specificity", modules.specificity(found)),
        _row("specificity, random lesions", float(np.mean(null))),
    ]


def _without(network: SpatialNetwork, neurons: Array) -> Network:
    """The network with neurons that nobody hears."""
    changed = dict(network.parameters)
    for name in (RECURRENT, READOUT):
        changed[name] = changed[name].copy()
        changed[name][:, neurons] = 0
    return network.with_parameters(changed)


def _drawn(network: SpatialNetwork, variance: Array, labels: Array) -> list[dict[str, Any]]:
    """What the picture of one network shows: places, clusters, variances, connections."""
    weights = np.abs(network.parameters[RECURRENT])
    strongest = np.argsort(-weights, axis=None)[:SHOWN]
    x, y = network.places[LAYER].T
    rows = [
        _row("cluster", labels[n], str(n), x=float(x[n]), y=float(y[n])) for n in range(NEURONS)
    ]
    rows += [
        _row("connection", weights.flat[place], f"{place % NEURONS} {place // NEURONS}")
        for place in strongest.tolist()
    ]
    return rows + [
        _row("task variance", variance[n, k], f"{n} {name}")
        for n in range(NEURONS)
        for k, name in enumerate(TASKS)
    ]


MODULARITY = Study(
    name="modularity",
    summary="whether wiring cost and swaps of neurons make recurrent networks grow modules",
    options=Options,
    keys=("course", "rule", "arm", "strength", "seed", "quantity", "of"),
    jobs=jobs,
    report="plausibench.bench.studies.modularity.report:report",
)

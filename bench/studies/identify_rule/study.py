"""Which rule was it? Learning rules told apart by what an experimenter could observe.

Networks of several architectures learn the digits under two objectives with one of several rules
each. From every network what an experimenter could record is kept, never its weights of feedback
or its gradient:

- **tuning**: how much responses to a fixed set of images change by layer, after learning, and how
  much of the geometry of responses is kept;
- **activity**: how sparse, how large and of how many dimensions it is, after learning against
  before;
- **credit**: the signal that arrives at neurons and drives their plasticity (an apical current, or
  noise times reward): whether it is the same when an image is shown again, whether it follows the
  error of behaviour, how many dimensions it has, how its size changes along the hierarchy. A rule
  that sends nothing to neurons has a silent signal: all zeros.
- **updates**: changes of synapses over time: whether they keep their direction, how much of each
  layer changes, their rank, and whether they follow the initial weights.

A classifier learns to name the rule from networks of all kinds of architecture but one, and is
tested on that one; an ``mlp`` is of one kind, whatever its activation function. What it is asked
to carry over is a kind of architecture it has not seen: accuracy is a mean over kinds, and so is
its interval, as networks of one kind are right or wrong together. How fast a network learns is no
observable; ``performance`` is a control of its own. Chance is one over the number of rules; the
null is a classifier of the same kind, with fewer trees, for which the names of rules are dealt
anew among the networks of an architecture and objective.

**Confound.** Learning rates vary fourfold between seeds, so that sizes alone tell little of most
rules, which share one range of rates, 0.03 to 0.12. Not so node perturbation, at 0.01 to 0.04, and
weight perturbation, at 0.0015 to 0.006: sizes of changes carry this hyper-parameter, and may tell
these two rules whatever else they do. So the other rules are named among themselves, too.

After Richards et al. 2019 (Box 1, Figs. 4 and 5), and Nayebi, Srivastava, Ganguli & Yamins 2020,
who identified rules from activity and weights.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import obstacle
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import Checkpoint, evaluate, trajectory
from plausibench.kernels.errors import Divergence, InputError, integer, refusal
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Outer
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd


Array = np.ndarray

ARCHITECTURES = ("mlp", "mlp[activation=relu]", "residual", "locally_connected", "convolutional")
OBJECTIVES = ("cross_entropy", "mean_squared_error")
RULES = (
    "backprop",
    "sign_symmetry",
    "feedback_alignment",
    "direct_feedback_alignment",
    "direct_random_target_projection",
    "node_perturbation",
    "weight_perturbation",
)
RATES = {"node_perturbation": 0.02, "weight_perturbation": 0.003}
RATE = 0.06
"""Learning rate of the other rules, in the middle of the range from which it is drawn."""
TASK, HIDDEN, BATCH, STEPS = "digits", (32, 32), 32, 100
SEGMENTS = 4
"""Parts of training between which synapses are looked at."""
SHOWN = 128
"""Images to which responses are recorded."""
LOST = 100.0
"""Growth of the loss from which on a network is taken for one that diverged."""
GROUPS = ("tuning", "activity", "credit", "updates")
PERFORMANCE = "performance"


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    architectures
        At least two, each with at least two hidden layers.
    objectives, rules
        Selectors, of rules at least two; what does not run together is left out.
    seeds, seed
        Number of networks of every kind, at least 2, and the first seed.
    checkpoints
        The last one is the number of training steps.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    architectures: tuple[str, ...] = ARCHITECTURES
    objectives: tuple[str, ...] = OBJECTIVES
    rules: tuple[str, ...] = RULES
    seeds: int = 4
    seed: int = 0
    checkpoints: tuple[int, ...] = (STEPS,)

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for step in self.checkpoints:
            integer("checkpoints", step, least=SEGMENTS)
        if not self.checkpoints:
            raise refusal("checkpoints", [], "a list of at least one training step")
        _names("objective", self.objectives)
        architectures = _names("architecture", self.architectures)
        for kind, names in (
            ("architectures", architectures),
            ("rules", _names("rule", self.rules)),
        ):
            if len(names) < 2:
                raise InputError(
                    f"{kind}: {', '.join(names)}; telling rules apart takes two of them"
                )
        task: Task = select("task", TASK).make()
        for architecture in architectures:
            if len(build_network(architecture, task, HIDDEN, 0).hidden) < 2:
                raise InputError(f"architectures: {architecture} has fewer than two hidden layers")


def jobs(options: Options) -> list[Job]:
    """A job for each network; its rows have ``group``, ``observable`` and ``value``.

    A network that diverged has none.
    """
    task: Task = select("task", TASK).make()
    steps = max(options.checkpoints)
    return [
        Job(
            {"architecture": architecture, "objective": objective, "rule": rule, "seed": seed},
            rows_of,
            (architecture, objective, rule, steps, seed),
        )
        for architecture in _names("architecture", options.architectures)
        for objective in _names("objective", options.objectives)
        for rule in _names("rule", options.rules)
        if _runs(architecture, objective, rule, task)
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def _names(kind: str, selectors: Iterable[str]) -> list[str]:
    """Each once, in the form that tells those that differ apart."""
    return list(dict.fromkeys(str(select(kind, selector)) for selector in selectors))


def _runs(architecture: str, objective: str, rule: str, task: Task) -> bool:
    network = build_network(architecture, task, HIDDEN, 0)
    return (
        obstacle(select("rule", rule).make(), network, select("objective", objective).make())
        is None
    )


def rows_of(architecture: str, objective: str, rule: str, steps: int, seed: int) -> Iterator[Row]:
    """Observables of a network.

    Raises
    ------
    Divergence
        If it does not stay finite.
    """
    # Networks learn at different speeds, as animals do.
    factor = 2 ** generator(seed, "rate", architecture, objective, rule).uniform(-1, 1)
    rate = float(factor) * RATES.get(rule.partition("[")[0], RATE)
    found = observe(architecture, objective, rule, steps, rate, seed)
    for (group, name), value in found.items():
        yield {"group": group, "observable": name, "value": value}


def observe(
    architecture: str, objective: str, rule: str, steps: int, rate: float, seed: int
) -> dict[tuple[str, str], float]:
    """Observables of one network by group and name.

    Raises
    ------
    Divergence
        If it does not stay finite.
    """
    task: Task = select("task", TASK).make()
    network = build_network(architecture, task, HIDDEN, seed)
    made: Rule = select("rule", rule).make()
    loss: Objective = select("objective", objective).make()
    shown = task.test.take(np.arange(min(SHOWN, task.test.size)))
    stops = tuple(steps * part // SEGMENTS for part in range(SEGMENTS + 1))
    prepare(made, network, loss, shown, None, seed)
    course = list(trajectory(made, made, network, loss, task, Sgd(rate), stops, BATCH, seed))
    first, last = (evaluate(at, loss, task, made) for at in (network, course[-1].network))
    if last["test_loss"] > LOST * first["test_loss"]:
        raise Divergence("the loss grew a hundredfold")
    found: dict[tuple[str, str], float] = {
        (PERFORMANCE, "accuracy"): last["test_accuracy"],
        (PERFORMANCE, "loss, after / before"): last["test_loss"] / first["test_loss"],
    }
    for group, values in (
        ("tuning", tuning(course, shown)),
        ("activity", activity(course, shown)),
        ("credit", credit(made, course[SEGMENTS // 2], loss, shown, seed)),
        ("updates", updates(course)),
    ):
        found |= {(group, name): float(value) for name, value in values.items()}
    if not all(np.isfinite(value) for value in found.values()):
        raise Divergence("an observable is not finite")
    return found


def _layers(network: Network) -> Iterator[tuple[str, str]]:
    """What the first and the last hidden population, and the output, are called."""
    yield "first layer", network.populations[0].name
    yield "last hidden layer", network.hidden[-1].name
    yield "output", network.output.name


def tuning(course: list[Checkpoint], shown: Batch) -> dict[str, float]:
    """Changes of responses relative to that of the output, and similarity of their geometry."""
    before, after = (course[i].network.forward(shown.inputs).activity for i in (0, -1))
    change, kept = {}, {}
    for said, name in _layers(course[0].network):
        change[said] = _length(after[name] - before[name]) / (_length(before[name]) or 1.0)
        kept[said] = _correlation(_geometry(before[name]), _geometry(after[name]))
    one, two, top = change.values()
    return {
        "change, first / last hidden layer": _logarithm(one, two),
        "change, first layer / output": _logarithm(one, top),
        "change, last hidden layer / output": _logarithm(two, top),
        **{f"geometry kept, {said}": value for said, value in kept.items()},
    }


def activity(course: list[Checkpoint], shown: Batch) -> dict[str, float]:
    """Size, sparseness and dimension of hidden activity, after learning against before."""
    passes = [course[i].network.forward(shown.inputs).activity for i in (0, -1)]
    found = {}
    for said, name in list(_layers(course[0].network))[:2]:
        before, after = (one[name] for one in passes)
        found[f"size, {said}"] = _logarithm(_length(after), _length(before))
        found[f"sparseness, {said}"] = _sparseness(after) - _sparseness(before)
        found[f"dimension, {said}"] = _logarithm(_dimension(after), _dimension(before))
    return found


def credit(
    rule: Rule, reached: Checkpoint, objective: Objective, shown: Batch, seed: int
) -> dict[str, float]:
    """What arrives at the neurons of hidden layers, when the same images are shown twice."""
    network = reached.network
    clean = network.forward(shown.inputs)
    twice = Noise(stream(seed, "observed"), np.arange(2), shown.keys, network.dtype)
    estimates = rule.estimate(network, objective, shown, clean, reached.state, twice)
    error = np.linalg.norm(objective.batch_error(clean.output, shown), axis=1)
    found: dict[str, float] = {}
    sizes = []
    for said, name in list(_layers(network))[:2]:
        estimate = estimates[f"{name}.weights"]
        signal = np.zeros((2, *clean.drive[name].shape))
        if isinstance(estimate, Outer):
            signal = np.broadcast_to(estimate.post, (2, *estimate.post.shape[-2:]))
        one, two = signal
        found[f"same when shown again, {said}"] = _correlation(one, two)
        found[f"follows the error, {said}"] = _correlation(np.linalg.norm(one, axis=1), error)
        found[f"follows activity, {said}"] = _correlation(one, clean.activity[name])
        found[f"dimension, {said}"] = _dimension(one)
        sizes.append(_length(one) / np.sqrt(one.size))
    found["size, first / last hidden layer"] = _logarithm(sizes[0], sizes[1])
    return found


def updates(course: list[Checkpoint]) -> dict[str, float]:
    """Changes of the weights onto hidden layers and output over the segments of training."""
    found: dict[str, float] = {}
    lengths = {}
    for said, name in _layers(course[0].network):
        weights = [one.network.parameters[f"{name}.weights"] for one in course]
        changes = [after - before for before, after in pairwise(weights)]
        whole = weights[-1] - weights[0]
        path = sum(_length(change) for change in changes)
        lengths[said] = _length(whole) / _length(weights[0])
        found[f"straightness, {said}"] = _length(whole) / path if path else 0.0
        found[f"direction kept, {said}"] = float(
            np.mean([_cosine(before, after) for before, after in pairwise(changes)])
        )
        found[f"rank, {said}"] = _rank(whole)
        found[f"follows initial weights, {said}"] = _cosine(whole, weights[0])
    one, two, top = lengths.values()
    found["change, first / last hidden layer"] = _logarithm(one, two)
    found["change, last hidden layer / output"] = _logarithm(two, top)
    return found


def wide(rows: "pd.DataFrame") -> "pd.DataFrame":
    """A row for each network, a column for each observable named by group and observable."""
    keys = ["architecture", "objective", "rule", "seed"]
    return rows.pivot_table(index=keys, columns=["group", "observable"], values="value").dropna()


def _length(values: Array) -> float:
    return float(np.linalg.norm(values))


def _logarithm(above: float, below: float) -> float:
    """Logarithm of a ratio, held within bounds where one of the two is nothing."""
    return float(np.clip(np.log(max(above, 1e-12)) - np.log(max(below, 1e-12)), -10, 10))


def _cosine(one: Array, two: Array) -> float:
    product = _length(one) * _length(two)
    return float((one * two).sum()) / product if product else 0.0


def _correlation(one: Array, two: Array) -> float:
    return _cosine(one - one.mean(), two - two.mean())


def _geometry(responses: Array) -> Array:
    """Inner products between the responses to different images, the mean response taken off."""
    centred = responses - responses.mean(axis=0)
    gram = centred @ centred.T
    inner: Array = gram[np.triu_indices(len(gram), 1)]
    return inner


def _dimension(responses: Array) -> float:
    """Participation ratio of the covariance over images, at most the number of neurons."""
    centred = responses - responses.mean(axis=0)
    gram = centred @ centred.T
    square = float((gram * gram).sum())
    return float(np.trace(gram)) ** 2 / square if square else 0.0


def _sparseness(responses: Array) -> float:
    """1 - mean(|a|)^2 / mean(a^2), after Treves & Rolls 1991: 0 if all neurons are alike."""
    squares = float((responses**2).mean())
    return 1 - float(np.abs(responses).mean()) ** 2 / squares if squares else 0.0


def _rank(weights: Array) -> float:
    """Participation ratio of squared singular values, over the largest rank that is possible."""
    matrix = weights.reshape(len(weights), -1)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    total = float((squares**2).sum())
    return float(squares.sum()) ** 2 / total / min(matrix.shape) if total else 0.0


def accuracies(
    data: "pd.DataFrame", held: str, trees: int, seed: int = 0, deal: bool = False
) -> "pd.DataFrame":
    """Rule that a classifier names for each network, from those that differ in one respect.

    Parameters
    ----------
    data
        As of :func:`wide`, with the observables to use.
    held
        What differs between the networks learned from and those named: ``kind`` (of
        architecture), ``architecture``, ``objective`` or ``seed``.
    trees
        Of the random forest.
    seed
        Of the forest, and of the deal.
    deal
        Whether names of rules are dealt anew among the networks of an architecture and objective.

    Returns
    -------
    DataFrame
        ``architecture``, ``kind``, ``objective``, ``seed``, ``rule`` and ``named``.
    """
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier

    about = data.index.to_frame(index=False)
    about["kind"] = kinds(about["architecture"])
    values, truth = data.to_numpy(), about["rule"].to_numpy()
    if deal:
        draw = generator(seed, "deal")
        groups = about.groupby(["architecture", "objective"], sort=False).indices
        truth = truth.copy()
        for places in groups.values():
            truth[places] = truth[draw.permutation(places)]
    named = np.empty(len(truth), dtype=object)
    for one in about[held].unique():
        out = (about[held] == one).to_numpy()
        forest = RandomForestClassifier(
            trees, random_state=stream(seed, "forest") % 2**32, min_samples_leaf=2
        )
        named[out] = forest.fit(values[~out], truth[~out]).predict(values[out])
    return pd.DataFrame({**about.to_dict("list"), "rule": truth, "named": named})


def kinds(architectures: "pd.Series[str]") -> "pd.Series[str]":
    """Names without their options; with them if there is only one name."""
    names = architectures.str.partition("[")[0]
    return names if names.nunique() > 1 else architectures


def by_kind(found: "pd.DataFrame") -> Mapping[str, float]:
    """Share of networks named rightly, of each kind of architecture."""
    right: Any = found["rule"] == found["named"]
    return right.groupby(found["kind"]).mean().to_dict()


IDENTIFY_RULE = Study(
    name="identify_rule",
    summary="which rule it was, told from what an experimenter could observe",
    options=Options,
    keys=("architecture", "objective", "rule", "seed", "group", "observable"),
    jobs=jobs,
    report="plausibench.bench.studies.identify_rule.report:report",
)

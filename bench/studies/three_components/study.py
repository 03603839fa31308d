"""Performance and what it is due to: the objective, the architecture or the learning rule.

Richards et al. 2019 (Fig. 1) describe a network by three components. Here every combination of
four objectives, architectures and rules learns the digits, with a learning rate of its own: the
best of ``RATES`` on a quarter of the training set that was not trained on. The score is the
accuracy on the test set after a fixed number of steps.

**Decomposition.** With y the mean score of a combination over seeds, the sum of squares around the
grand mean falls into main effects of objective O, architecture A and rule R, their interactions in
pairs, and that of all three (a balanced analysis of variance with fixed effects). Seeds add noise
to each term: its expectation, the mean square of seeds within combinations times the degrees of
freedom, is taken off, so that a term without effect is zero on average, and may come out
negative. Seeds share initial weights and batches across combinations; what they have in common
(a seed is good for all) is a block of its own and no noise. Intervals: delete-one-seed jackknife.
All seeds share the digits, and each combination's learning rate from the one seed of the search: a
rate that was chosen badly by chance is no noise between seeds, and counts as interaction. So does
divergence, which is scored as guessing and recorded.

**Shares are of these levels.** One rule that learns more slowly than all others makes the rule
explain most, whatever else differs; so shares are given with every single level left out, too.

**Null.** The same on digits whose labels are dealt anew, once for all seeds: there the components
explain nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.shared.altered import Altered, answered
from plausibench.bench.studies.study import Study
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import answers, trajectory
from plausibench.kernels.errors import Divergence, InputError, integer, refusal
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd


Array = np.ndarray

OBJECTIVES = ("cross_entropy", "mean_squared_error", "expected_reward", "poisson")
ARCHITECTURES = ("mlp", "residual", "locally_connected", "convolutional")
RULES = ("backprop", "feedback_alignment", "direct_feedback_alignment", "node_perturbation")
TASK, HIDDEN, BATCH, STEPS = "digits", (32, 32), 32, 150
RATES = (0.01, 0.05, 0.2, 1.0)
SEARCH = 1000
"""Seed of the search for a learning rate; the scores use others."""
TERMS = ("O", "A", "R", "OA", "OR", "AR", "OAR")


@dataclass(frozen=True)
class Combination:
    """Three components, as selectors."""

    objective: str
    architecture: str
    rule: str


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    objectives, architectures, rules
        Selectors, at least two of each; every combination has to run.
    seeds, seed
        Number of seeds, at least 3, and the first.
    checkpoints
        The last one is the number of training steps.

    Raises
    ------
    InputError
        If a value is not allowed, or a combination cannot run.
    """

    objectives: tuple[str, ...] = OBJECTIVES
    architectures: tuple[str, ...] = ARCHITECTURES
    rules: tuple[str, ...] = RULES
    seeds: int = 5
    seed: int = 0
    checkpoints: tuple[int, ...] = (STEPS,)

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=3)
        integer("seed", self.seed, least=0)
        if not self.checkpoints:
            raise refusal("checkpoints", self.checkpoints, "a number of training steps")
        for step in self.checkpoints:
            integer("checkpoints", step, least=1)
        for combination in self.combinations:
            _check(combination)

    @property
    def combinations(self) -> list[Combination]:
        """All combinations of the three components."""
        listed: dict[str, list[str]] = {}
        for kind in ("objective", "architecture", "rule"):
            names = getattr(self, f"{kind}s")
            listed[kind] = list(dict.fromkeys(str(select(kind, name)) for name in names))
            if len(listed[kind]) < 2:
                raise InputError(f"{kind}s: to tell their effect takes at least two of them")
        return [Combination(*names) for names in product(*listed.values())]


def jobs(options: Options) -> list[Job]:
    """A job for each combination: the search for its learning rate, and all seeds.

    Each makes a row for each seed: ``rate``, ``parameters``, ``labels`` (true or shuffled),
    ``seed``, ``diverged`` and ``accuracy``, that of guessing if training diverged.
    """
    steps = max(options.checkpoints)
    return [
        Job(asdict(each), rows_of, (each, steps, options.seeds, options.seed))
        for each in options.combinations
    ]


def _task(**changes: bool) -> Altered:
    return Altered(select("task", TASK).make(), indicators=True, **changes)


def _check(combination: Combination) -> None:
    """Refuse a combination that cannot run, in the words of the component that refuses."""
    task = _task()
    network = build_network(combination.architecture, task, HIDDEN, 0)
    rule: Rule = select("rule", combination.rule).make()
    objective: Objective = select("objective", combination.objective).make()
    try:
        prepare(rule, network, objective, task.batch(2), None, 0)
    except InputError as error:
        raise InputError(
            f"{error}; allowed are components that all run together, as every combination is needed"
        ) from error


def rows_of(combination: Combination, steps: int, seeds: int, seed: int) -> Iterator[Row]:
    """Scores of one combination, with true and with shuffled labels.

    Raises
    ------
    Divergence
        After all rows, if a network diverged.
    """
    held = _task(held=True)
    searched = [(score(combination, held, steps, rate, SEARCH)[0], rate) for rate in RATES]
    rate = max(searched)[1]
    size = build_network(combination.architecture, _task(), HIDDEN, 0).size
    count = 0
    for labels in ("true", "shuffled"):
        task = _task(shuffled=labels == "shuffled")
        for replicate in range(seed, seed + seeds):
            accuracy, diverged = score(combination, task, steps, rate, replicate)
            count += diverged
            yield {
                "rate": rate,
                "parameters": size,
                "labels": labels,
                "seed": replicate,
                "diverged": diverged,
                "accuracy": accuracy,
            }
    if count:
        raise Divergence(f"{count} of {2 * seeds} networks diverged")


def score(
    combination: Combination, task: Altered, steps: int, rate: float, seed: int
) -> tuple[float, bool]:
    """Accuracy on the test set after training, or that of guessing, and whether it diverged."""
    network = build_network(combination.architecture, task, HIDDEN, seed)
    rule: Rule = select("rule", combination.rule).make()
    objective: Objective = select("objective", combination.objective).make()
    try:
        (last,) = trajectory(rule, rule, network, objective, task, Sgd(rate), (steps,), BATCH, seed)
        output = answers(rule, last.network, task.test.inputs)
    except Divergence:
        return 1 / task.outputs_size, True
    return answered(output, task.test), False


def decompose(scores: Array) -> dict[str, float]:
    """Variance of scores ``(O, A, R, seeds)`` by component, noise taken off.

    Returns
    -------
    dict
        Mean squared effect of each of ``TERMS``, ``noise``, that of seeds on one score, and
        ``total``, the sum of all terms.
    """
    shape, seeds = scores.shape[:3], scores.shape[3]
    block = scores.mean(axis=(0, 1, 2))
    mean = scores.mean(axis=3)
    rest = scores - block - (mean - scores.mean())[..., None]
    noise = float((rest**2).sum() / ((mean.size - 1) * (seeds - 1)))
    found: dict[str, float] = {}
    effects: dict[str, Array] = {}
    for term in ("", *TERMS):
        kept = ["OAR".index(letter) for letter in term]
        others = tuple(axis for axis in range(3) if axis not in kept)
        effect = mean.mean(axis=others, keepdims=True) if others else mean
        for smaller, part in effects.items():
            if set(smaller) < set(term):
                effect = effect - part
        effects[term] = effect
        if term:
            freedom = int(np.prod([shape[axis] - 1 for axis in kept]))
            square = float((np.broadcast_to(effect, shape) ** 2).mean())
            found[term] = square - freedom * noise / (seeds * mean.size)
    return {**found, "noise": noise, "total": sum(found.values())}


def grid(rows: "pd.DataFrame", labels: str) -> tuple[Array, dict[str, list[Any]]]:
    """Scores ``(O, A, R, seeds)``, and the names along each axis in order of appearance."""
    own = rows[rows["labels"] == labels]
    names = {
        column: list(dict.fromkeys(own[column]))
        for column in ("objective", "architecture", "rule", "seed")
    }
    placed = own.set_index(list(names))["accuracy"]
    shape = [len(listed) for listed in names.values()]
    scores = np.array([placed.loc[key] for key in product(*names.values())], dtype=float)
    return scores.reshape(shape), names


THREE_COMPONENTS = Study(
    name="three_components",
    summary="performance by objective, architecture and rule, and their interactions",
    options=Options,
    keys=("objective", "architecture", "rule", "labels", "seed"),
    jobs=jobs,
    report="plausibench.bench.studies.three_components.report:report",
)

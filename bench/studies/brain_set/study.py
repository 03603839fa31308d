"""A set of tasks of the kind that brains solve, and controls that no brain has to (the brain set).

Richards et al. 2019 argue that learning should be judged on what animals are good at, and that no
bias helps everywhere. Six domains have a task each, and two networks: one with a bias that should
help there, convolution that is pooled over space for images and recurrence for what comes in time,
and a dense one with as many weights that is shown all pixels, or all steps, at once.

- perception: digits at places where none was in training (see :class:`Field`); value: the same,
  known by the reward of one action (expected reward);
- memory: delayed match to sample; integration: the majority of cues;
- prediction: the next frame of a film; control: an unstable joystick (see :class:`Joystick`).

There are few examples to learn from, as a bias matters where data are few. **Skill** is 0 for the
best constant answer and 1 for none wrong: accuracy above that of the largest class, or explained
variance. Controls: inputs that have changed places (pixels of images, steps of sequences), where
the bias must not help, and targets dealt anew to the examples, where nothing must.

Seeds share the examples, the permutation and the deal of targets: they differ in initial weights,
batches and draws, and intervals say nothing about other data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.registry import make
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import runnable
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.shared.altered import Altered
from plausibench.bench.studies.shared.worlds import Field, Forecast, World
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Adam
from plausibench.bench.training.training import trajectory
from plausibench.kernels.errors import Divergence, integer, refusal
from plausibench.objectives.batch import Batch
from plausibench.rules.rule import Rule

Array = np.ndarray

STEPS, BATCH, RATE = 250, 32, 0.005
EXAMPLES = 400
"""Of training."""
CONTROLS = ("task", "permuted", "random targets")


@dataclass(frozen=True)
class Joystick(World):
    """The push that brings an unstable plant back, from the last places that were seen, with noise.

    A place x drifts as x(t+1) = 1.1 x(t) + v, with a constant wind v that is not seen; the target
    is the push -(0.1 x + v) that would hold it, which takes differences of successive places.
    """

    steps: ClassVar[int] = 8
    noise: ClassVar[float] = 0.2
    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    @property
    def inputs_size(self) -> int:
        return 1

    @property
    def outputs_size(self) -> int:
        return 1

    def load(self) -> tuple[Batch, Batch]:
        return self._trials("train", self.examples), self._trials("test", 1000)

    def _trials(self, part: str, trials: int) -> Batch:
        draw = self.draw(part)
        place, wind = 0.5 * draw.standard_normal((2, trials, 1))
        seen = np.zeros((trials, self.steps, 1))
        for step in range(self.steps):
            place = 1.1 * place + 0.5 * wind if step else place
            seen[:, step] = place
        push = -(0.1 * place + 0.5 * wind)
        return Batch(seen + self.noise * draw.standard_normal(seen.shape), push)


@dataclass(frozen=True)
class Item:
    """One domain.

    Attributes
    ----------
    domain
        What it asks of a brain.
    task
        Registry name and options, or a world of this study.
    objective
        What is minimised.
    biased, plain
        What is called what, and its architecture with options; sizes follow from the task.
    """

    domain: str
    task: str | World
    objective: str
    biased: tuple[str, str]
    plain: tuple[str, str]


_IMAGES = (("convolutional", "what_where"), ("dense", "mlp"))
_TIME = (("recurrent", "rate_rnn"), ("dense", "mlp"))
ITEMS = (
    Item("perception", Field(EXAMPLES), "cross_entropy", *_IMAGES),
    Item("value", Field(EXAMPLES), "expected_reward", *_IMAGES),
    Item("memory", "delayed_match[trials=800,dt=100,noise=0.3]", "cross_entropy", *_TIME),
    Item(
        "integration", "evidence_accumulation[trials=800,dt=50,noise=1.0]", "cross_entropy", *_TIME
    ),
    Item("prediction", Forecast(EXAMPLES), "mean_squared_error", *_TIME),
    Item("control", Joystick(EXAMPLES), "mean_squared_error", *_TIME),
)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    seeds, seed
        Number of seeds, at least 2, and the first.
    rules
        Rules that run on every network of the set, with and without time.
    checkpoints
        The last one is the number of training steps.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule cannot run on a network of the set.
    """

    seeds: int = 3
    seed: int = 0
    rules: tuple[str, ...] = ("backprop",)
    checkpoints: tuple[int, ...] = (STEPS,)

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for step in self.checkpoints:
            integer("checkpoints", step, least=1)
        if not self.checkpoints:
            raise refusal("checkpoints", [], "a list of at least one training step")
        _check(self.rules)


def jobs(options: Options) -> list[Job]:
    """A job for each network; its row has ``network``, ``parameters`` and ``skill``.

    The skill of a network that diverged is NaN.
    """
    steps, rules = max(options.checkpoints), [str(select("rule", name)) for name in options.rules]
    return [
        Job(
            {
                "domain": item.domain,
                "biased": biased,
                "control": control,
                "rule": rule,
                "seed": seed,
            },
            rows_of,
            (place, biased, control, rule, steps, seed),
        )
        for place, item in enumerate(ITEMS)
        for biased in (True, False)
        for control in CONTROLS
        for rule in rules
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def _check(rules: Sequence[str]) -> None:
    """Refuse a rule that cannot run on all networks of the set."""
    for item in ITEMS:
        objective = make("objective", item.objective)
        for _, architecture in (item.biased, item.plain):
            task = altered(item, architecture, CONTROLS[0])
            network = build(item, architecture, task, 0)
            for rule in rules:
                runnable(rule, network, objective)


def rows_of(
    place: int, biased: bool, control: str, rule: str, steps: int, seed: int
) -> Iterator[Row]:
    """Skill of one network."""
    item = ITEMS[place]
    called, architecture = item.biased if biased else item.plain
    task = altered(item, architecture, control)
    network = build(item, architecture, task, seed)
    made: Rule = select("rule", rule).make()
    objective = make("objective", item.objective)
    row: Row = {"network": called, "parameters": network.size}
    try:
        (last,) = trajectory(
            made, made, network, objective, task, Adam(RATE), (steps,), BATCH, seed
        )
        reached = skill(last.network, task)
    except Divergence:
        yield {**row, "skill": float("nan")}
        raise
    yield {**row, "skill": reached}


def altered(item: Item, architecture: str, control: str) -> Altered:
    """The task of a domain as a network and a control take it."""
    task: Task = item.task if isinstance(item.task, World) else select("task", item.task).make()
    in_time = task.train.inputs.ndim == 3
    return Altered(
        task,
        shuffled=control == "random targets",
        permuted=control == "permuted",
        flat=in_time and architecture == "mlp",
        first=EXAMPLES,
    )


def build(item: Item, architecture: str, task: Task, seed: int) -> Network:
    """A network of an item; the dense one has as many weights as the one with the bias."""
    inputs, outputs = task.inputs_size, task.outputs_size
    options: dict[str, Any] = {"sizes": (inputs, 32, outputs)}
    if architecture == "what_where":
        options = {
            "shape": (Field.side, Field.side),
            "channels": (12, 32),
            "stride": 2,
            "readout": "fixed_mask",
            "width": 100.0,
            "outputs": outputs,
        }
    if architecture == "mlp":
        biased = build(item, item.biased[1], altered(item, item.biased[1], CONTROLS[0]), 0)
        options = {"sizes": (inputs, max(4, biased.size // (inputs + outputs + 1)), outputs)}
    network: Network = make("architecture", architecture, seed=seed, **options)
    return network


def skill(network: Network, task: Task) -> float:
    """0 for the best constant answer, 1 for no error, on the test set."""
    test = task.test
    # Of the last step, where there are several: there all has been seen.
    answers = network.forward(test.inputs).output[-test.size :]
    if task.kind == "classification":
        constant = np.bincount(test.targets).max() / test.size
        return float(((answers.argmax(axis=1) == test.targets).mean() - constant) / (1 - constant))
    rest = ((answers - test.targets) ** 2).sum()
    return 1 - float(rest / ((test.targets - test.targets.mean(axis=0)) ** 2).sum())


BRAIN_SET = Study(
    name="brain_set",
    summary="skill on tasks that brains solve, and on controls that none has to",
    options=Options,
    keys=("domain", "biased", "control", "rule", "seed"),
    jobs=jobs,
    report="plausibench.bench.studies.brain_set.report:report",
)

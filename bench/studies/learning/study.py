"""Does it learn? Accuracy of every rule above that of its network with frozen hidden layers.

On digits (64-32-32-10, plain descent) and on MNIST-1D (40-32-32-10, Adam) every rule is tuned by
the common search (``bench/studies/tuning/study.py``), in the setting of its paper if it declares
one, and then trained anew on the whole training set with seeds that the search does not use. Beside
it stands its null: the same network with the same seed of which the output layer alone learns, by
the exact gradient, at the best of three rates. What a rule has above that is what it
teaches hidden layers; the interval is that of differences paired over seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plausibench.bench.running.job import Job
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.studies.figure2.study import specification
from plausibench.bench.studies.study import Stage, Stages, Study
from plausibench.bench.studies.train.study import TRAIN, curve, training_jobs
from plausibench.bench.studies.tuning.study import TUNING, tuned
from plausibench.kernels.errors import InputError, choose, integer

TASKS = ("digits", "mnist_1d")
"""Settings of ``figure2`` of the same names."""


@dataclass(frozen=True)
class Options:
    """What is to learn what.

    Parameters
    ----------
    rules
        Selectors; by default every rule that there is, and variants.
    tasks
        Among ``digits`` and ``mnist_1d``.
    steps
        Of every training, also in the search; 0 for 500 on digits and 1000 on MNIST-1D.
    seeds, seed
        Number of seeds after the search, and the first.

    Raises
    ------
    InputError
        If a name is unknown or a value is not allowed.
    """

    rules: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    steps: int = 0
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        integer("steps", self.steps, least=0)
        if not self.tasks:
            raise InputError(f"tasks: the list is empty; allowed are {', '.join(TASKS)}")
        for task in self.tasks:
            choose("tasks", task, TASKS)
            self.spec(task)  # checks all else

    def spec(self, task: str) -> Spec:
        """The specification on a task before it is tuned."""
        spec = specification(task, everything=True)
        return spec.with_values(
            rules=self.rules or spec.rules,
            checkpoints=(self.steps or max(spec.checkpoints),),
            protocols=("own",),
            seeds=self.seeds,
            seed=self.seed,
        )


def stages(options: Options) -> Stages:
    """On each task the search, and then training with what was found."""
    for task in options.tasks:
        spec = options.spec(task)
        search = yield Stage(f"{task}/tuning", TUNING, spec)
        yield Stage(f"{task}/learned", LEARNED, tuned(spec, search.frame))


def jobs(spec: Spec) -> list[Job]:
    """A job for each rule and seed, then those of the nulls."""
    return training_jobs(spec, max(1, *spec.checkpoints), learned)


def learned(unit: Unit, hidden: tuple[int, ...], how: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a rule has reached at the end of its training, with its learning rate.

    Raises
    ------
    Divergence
        If it diverged.
    """
    for row in curve(unit, hidden, how):
        if row["step"] == how["steps"]:
            yield row
            if row["quantity"] == "test_accuracy":
                yield {**row, "quantity": "learning_rate", "value": how["learning_rate"]}


LEARNED = Study(
    name="learned",
    summary="accuracy of rules above that of frozen hidden layers, at rates that are given",
    options=Spec,
    keys=TRAIN.keys,
    jobs=jobs,
    report="plausibench.bench.studies.learning.report:report",
)
LEARNING = Study(
    name="learning",
    summary="which rules learn hidden layers: accuracy above readout only, every rule tuned alike",
    options=Options,
    keys=(),
    jobs=stages,
)

"""Training: learning curves of rules, each where it starts or where it is asked to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.studies.benchmark.spec import Spec, default_spec
from plausibench.bench.studies.benchmark.starts import completed
from plausibench.bench.studies.benchmark.study import alone, null_jobs, sources
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.study import Study
from plausibench.bench.training.optimisers import LayerRates
from plausibench.bench.training.training import train
from plausibench.kernels.errors import Divergence, integer


@dataclass(frozen=True)
class Options:
    """What to train, and how.

    Parameters
    ----------
    rules
        Selectors.
    tasks, architectures, objectives, hidden
        As of the benchmark; what is not chosen is where each rule starts.
    steps
        Number of updates.
    batch_size, optimiser, weight_decay, momentum, layer_rates
        Of the updates.
    learning_rate
        By default that of the benchmark.
    evaluate_every
        Updates between evaluations.
    seeds, seed
        Number of seeds, and the first: of weights, data and noise.
    nulls
        As of the benchmark.

    Raises
    ------
    InputError
        If a name is unknown or a value is not allowed.
    """

    rules: tuple[str, ...] = ("backprop",)
    tasks: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    hidden: tuple[int, ...] | None = None
    steps: int = 1000
    batch_size: int = 32
    optimiser: str = "sgd"
    learning_rate: float | None = None
    weight_decay: float = 0.0
    momentum: float = 0.0
    layer_rates: LayerRates = ()
    evaluate_every: int = 100
    seeds: int = 1
    seed: int = 0
    nulls: bool = True

    def __post_init__(self) -> None:
        integer("steps", self.steps, least=0)
        integer("evaluate_every", self.evaluate_every, least=1)
        _ = self.spec  # checks all else

    @cached_property
    def spec(self) -> Spec:
        """The specification with the same components."""
        asked = {
            "rules": self.rules,
            "tasks": self.tasks,
            "architectures": self.architectures,
            "objectives": self.objectives,
            "hidden": self.hidden,
            "protocols": ("own",),
            "seeds": self.seeds,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "training_batch_size": self.batch_size,
            "optimiser": self.optimiser,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "layer_rates": self.layer_rates,
            "checkpoints": sorted({*range(0, self.steps, self.evaluate_every), self.steps}),
            "nulls": self.nulls,
        }
        # No hidden layer is a choice; no task is none.
        given = {
            name: value
            for name, value in asked.items()
            if value is not None and (value != () or name == "hidden")
        }
        base = default_spec().with_values(tasks=Spec.tasks)
        spec = completed(base.with_values(**given), set(given))
        return spec if self.learning_rate is None else spec.with_values(learning_rates={})


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed, then those of the nulls."""
    return training_jobs(options.spec, options.evaluate_every, curve)


def training_jobs(spec: Spec, evaluate_every: int, work: Callable[..., Any]) -> list[Job]:
    """A job for each rule and seed of a specification, then those of the nulls.

    Parameters
    ----------
    spec
        What is trained, up to the last of its checkpoints.
    evaluate_every
        Updates between evaluations.
    work
        What trains: ``curve``, or what takes the same arguments.
    """
    training = units(spec)
    rules = [
        Job(
            about=unit.identity(),
            work=work,
            arguments=(
                unit,
                own.hidden,
                {
                    "steps": max(own.checkpoints),
                    "batch_size": own.training_batch_size,
                    "optimiser": own.optimiser,
                    "learning_rate": own.learning_rate,
                    "weight_decay": own.weight_decay,
                    "momentum": own.momentum,
                    "layer_rates": own.layer_rates,
                    "evaluate_every": evaluate_every,
                },
            ),
            depends=sources(unit, work),
            cost=max(own.checkpoints) * select("rule", unit.rule).make().card.forward_passes,
            reason=unit.reason or "",
        )
        for unit in training
        for own in [alone(unit, spec)]
    ]
    return rules + null_jobs(spec, training)


def curve(unit: Unit, hidden: tuple[int, ...], how: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Train a rule; yield its learning curve, in the columns of the benchmark.

    Parameters
    ----------
    unit
        What to train.
    hidden
        Hidden layers.
    how
        Arguments of :func:`plausibench.bench.training.training.train`.

    Raises
    ------
    Divergence
        If it diverged, after what came before.
    """
    task = select("task", unit.task).make()
    training = train(
        select("rule", unit.rule).make(),
        task,
        build_network(unit.architecture, task, hidden, unit.seed),
        select("objective", unit.objective).make(),
        seed=unit.seed,
        **how,
    )
    nan = float("nan")
    for row in training.rows:
        yield {
            "step": row["step"],
            "kind": "training",
            "projection": "all",
            "quantity": row["quantity"],
            "value": row["value"],
            "low": nan,
            "high": nan,
            "samples": 0,
            "redrawn": "nothing",
            "reference": "",
            "method": "exact",
            "effective_dimension": nan,
            "flag": "",
        }
    if training.diverged:
        raise Divergence(training.diverged)


TRAIN = Study(
    name="train",
    summary="learning curves: loss, accuracy and alignment along training",
    options=Options,
    keys=(
        *("task", "architecture", "objective", "rule", "seed", "protocol"),
        *("step", "kind", "projection", "quantity"),
    ),
    jobs=jobs,
    report="plausibench.bench.report.curves:report",
)

"""The same small search for every rule: its learning rate, and one option of its own if it has one.

Every rule gets 12 trials. One that declares ``searched`` tries its values of that option, each
with 12 / values learning rates; the others try 12 learning rates. A trial takes as many steps as
the training that is then measured: a rate that is best early may not last. It is scored by its
accuracy on a quarter of the training set that it does not learn from; the test set is never seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import sources
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.task import Image, Task
from plausibench.bench.training.optimisers import LayerRates
from plausibench.bench.training.training import train
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.batch import Batch
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd

TRIALS = 12
RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-3, 10**0.5, TRIALS))
"""Learning rates; a rule with an option of its own takes every second one, or so."""
SEED = 1000
"""Of the search; the benchmark uses others."""


@dataclass(frozen=True)
class Held(Task):
    """A task whose test set is the last quarter of the training set, which it does not train on.

    Parameters
    ----------
    task
        The task; its test set is not touched.
    """

    task: Task

    # What is a class variable of other tasks is here that of the task held.
    @property
    def kind(self) -> Any:  # type: ignore[override]
        return self.task.kind

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.task.name

    @property
    def idle(self) -> int | None:  # type: ignore[override]
        return self.task.idle

    @property
    def identity(self) -> tuple[Any, ...]:
        return (self.task.name, *self.task.identity)

    @property
    def inputs_size(self) -> int:
        return self.task.inputs_size

    @property
    def image(self) -> Image | None:
        return self.task.image

    @property
    def outputs_size(self) -> int:
        return self.task.outputs_size

    def load(self) -> tuple[Batch, Batch]:
        whole = self.task.train
        cut = whole.size - whole.size // 4
        return whole.take(np.arange(cut)), whole.take(np.arange(cut, whole.size))


def trials(selector: str) -> list[tuple[str, float]]:
    """Rules, as selectors with their options, and learning rates that a search tries."""
    asked = select("rule", selector)
    rule: Rule = asked.make()
    given = dict(asked.options)
    searched = {name: values for name, values in rule.searched.items() if name not in given}
    own = [dict(zip(searched, values, strict=True)) for values in product(*searched.values())]
    return [
        (str(select("rule", str(replace(asked, options=tuple({**given, **one}.items()))))), rate)
        for one in own
        for rate in RATES[:: len(own)]
    ]


@dataclass(frozen=True)
class Setting:
    """Where a rule is trained, and how; its learning rate apart."""

    task: str
    architecture: str
    objective: str
    hidden: tuple[int, ...]
    steps: int
    batch_size: int
    optimiser: str
    weight_decay: float
    momentum: float
    layer_rates: LayerRates


def jobs(spec: Spec) -> list[Job]:
    """A job for each trial of each rule: seeds and protocols come later."""
    todo = units(replace(spec, seeds=1, protocols=("own",)))
    return [
        Job(
            about={
                "task": unit.task,
                "architecture": unit.architecture,
                "objective": unit.objective,
                "rule": unit.rule,
                "tried": tried,
                "learning_rate": rate,
            },
            work=trial,
            arguments=(setting(unit, spec), tried, rate),
            depends=sources(unit, trial),
            cost=setting(unit, spec).steps * select("rule", tried).make().card.forward_passes,
            reason=unit.reason or "",
        )
        for unit in sorted(todo, key=lambda unit: spec.rules.index(unit.rule))
        for tried, rate in trials(unit.rule)
    ]


def setting(unit: Unit, spec: Spec) -> Setting:
    """How the rule of a unit is trained."""
    spec = spec.on(unit.task)
    return Setting(
        task=unit.task,
        architecture=unit.architecture,
        objective=unit.objective,
        hidden=spec.hidden_for(unit.architecture),
        steps=max(spec.checkpoints),
        batch_size=spec.training_batch_size,
        optimiser=spec.optimiser,
        weight_decay=spec.weight_decay,
        momentum=spec.momentum,
        layer_rates=spec.layer_rates,
    )


def trial(setting: Setting, tried: str, rate: float) -> Iterator[dict[str, Any]]:
    """Train a rule in one trial.

    Yields
    ------
    dict
        ``loss`` and, in classification, ``accuracy`` on the examples held out, NaN if it
        ``diverged``, with the reason.

    Raises
    ------
    Divergence
        If it diverged.
    """
    task = Held(select("task", setting.task).make())
    training = train(
        select("rule", tried).make(),
        task,
        build_network(setting.architecture, task, setting.hidden, SEED),
        select("objective", setting.objective).make(),
        steps=setting.steps,
        batch_size=setting.batch_size,
        optimiser=setting.optimiser,
        learning_rate=rate,
        weight_decay=setting.weight_decay,
        momentum=setting.momentum,
        layer_rates=setting.layer_rates,
        seed=SEED,
        evaluate_every=max(setting.steps, 1),
    )
    last = {row["quantity"]: row["value"] for row in training.rows if row["step"] == setting.steps}
    yield {
        "loss": last.get("test_loss", np.nan),
        "accuracy": last.get("test_accuracy", np.nan),
        "diverged": training.diverged,
    }
    if training.diverged:
        raise Divergence(training.diverged)


def best(rows: "pd.DataFrame") -> dict[str, Any]:
    """The trial with the most right classes among the examples held out, then the lowest loss.

    Losses alone would not do: rules that learn values or losses of their own do not descend the
    objective that they are measured on. Without classes the lowest loss decides; the lowest rate
    if no trial ended.
    """
    order = rows.assign(accuracy=-rows["accuracy"])
    # Stable, with what is not known last.
    chosen = order.sort_values(["accuracy", "loss"], kind="stable", na_position="last").index[0]
    trial: dict[str, Any] = rows.loc[chosen].to_dict()
    return trial


def tuned(spec: Spec, rows: "pd.DataFrame") -> Spec:
    """The specification with every rule at its best trial; those with none are left out.

    Raises
    ------
    InputError
        If no rule has a trial.
    """
    chosen = {}
    for rule in spec.rules:
        trials = rows[rows["rule"] == rule]
        if len(trials):
            trial = best(trials)
            chosen[trial["tried"]] = float(trial["learning_rate"])
    if not chosen:
        raise InputError(f"rules: no trial of {', '.join(spec.rules)} came to an end")
    # Shared weights come from objectives and networks for which no rate was searched.
    return spec.with_values(
        rules=tuple(chosen), learning_rates=chosen, shared_learning_rate=spec.rate("backprop")
    )


TUNING = Study(
    name="tuning",
    summary="the same small search of a learning rate, and of an option, for every rule",
    options=Spec,
    keys=("task", "architecture", "objective", "rule", "tried", "learning_rate"),
    jobs=jobs,
    report="plausibench.bench.studies.tuning.report:report",
)

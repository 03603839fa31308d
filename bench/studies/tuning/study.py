"""The same small search for every rule: its learning rate, and options of its own if it has some.

Every rule gets 12 trials. One that declares ``searched`` tries its values of these options, each
with 12 / values learning rates; the others try 12 learning rates. The range of rates goes with the
optimiser, or is that of the rule's paper. A trial takes as many steps as the training that is then
measured: a rate that is best early may not last. It is scored by its accuracy on a quarter of the
training set that it does not learn from; the test set is never seen. Which trials are trained with
how many seeds, and where the range is left, says ``bench/studies/tuning/search.py``.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import alone, sources
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.study import Study
from plausibench.bench.studies.tuning.search import Trial, chosen, rounded, scores_of, search
from plausibench.bench.tasks.task import Image, Task
from plausibench.bench.training.optimisers import LayerRates
from plausibench.bench.training.training import train
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd

TRIALS = 12
"""Of every rule, with the first seed."""
RANGES: Mapping[str, tuple[float, float]] = {"sgd": (1e-3, 10**0.5), "adam": (1e-4, 10**-0.5)}
"""Lowest and highest learning rate that is tried at first, by optimiser."""
FARTHER = (1e-2, 10.0)
"""Factors of the two beyond which a rate is not tried, wherever the best one is."""


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


def trials(selector: str, span: tuple[float, float]) -> list[Trial]:
    """Rules, as selectors with their options, and learning rates that a search tries at first.

    Parameters
    ----------
    selector
        The rule.
    span
        Lowest and highest learning rate.
    """
    asked = select("rule", selector)
    rule: Rule = asked.make()
    given = dict(asked.options)
    searched = {name: values for name, values in rule.searched.items() if name not in given}
    own = [dict(zip(searched, values, strict=True)) for values in product(*searched.values())]
    rates = [rounded(rate) for rate in np.geomspace(*span, TRIALS)]
    return [
        (str(select("rule", str(replace(asked, options=tuple({**given, **one}.items()))))), rate)
        for one in own
        for rate in rates[:: len(own)]
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
    """A job for each rule at each task: seeds and protocols come later."""
    todo = units(replace(spec, seeds=1, protocols=("own",)))
    return [
        Job(
            about={
                "task": unit.task,
                "architecture": unit.architecture,
                "objective": unit.objective,
                "rule": unit.rule,
            },
            work=searching,
            arguments=(setting(unit, spec), trials(unit.rule, span(unit, spec)), span(unit, spec)),
            depends=sources(unit, searching),
            cost=setting(unit, spec).steps * select("rule", unit.rule).make().card.forward_passes,
            reason=unit.reason or "",
        )
        for unit in sorted(todo, key=lambda unit: spec.rules.index(unit.rule))
    ]


def setting(unit: Unit, spec: Spec) -> Setting:
    """How the rule of a unit is trained."""
    spec = alone(unit, spec)
    return Setting(
        task=unit.task,
        architecture=unit.architecture,
        objective=unit.objective,
        hidden=spec.hidden,
        steps=max(spec.checkpoints),
        batch_size=spec.training_batch_size,
        optimiser=spec.optimiser,
        weight_decay=spec.weight_decay,
        momentum=spec.momentum,
        layer_rates=spec.layer_rates,
    )


def span(unit: Unit, spec: Spec) -> tuple[float, float]:
    """Lowest and highest learning rate that the search of a unit tries at first."""
    optimiser = spec.on(unit.task).optimiser
    own = spec.of_paper(unit.rule).get("learning_rates") if optimiser == "sgd" else None
    low, high = own or RANGES[optimiser]
    return low, high


def searching(
    setting: Setting, trials: Sequence[Trial], span: tuple[float, float]
) -> Generator[dict[str, Any], None, str]:
    """Search the best trial of a rule.

    Yields
    ------
    dict
        Of each training ``tried``, ``learning_rate``, ``seed``, ``loss`` and, in classification,
        ``accuracy`` on the examples held out, NaN if it ``diverged``, with the reason.

    Returns
    -------
    str
        What is to be said of the best.

    Raises
    ------
    Divergence
        If every trial diverged.
    """
    limits = (span[0] * FARTHER[0], span[1] * FARTHER[1])
    return (yield from search(partial(trained, setting), trials, limits))


def trained(setting: Setting, trial: Trial, seed: int) -> dict[str, Any]:
    """What a training reaches on the examples held out: ``loss``, ``accuracy``, ``diverged``."""
    tried, rate = trial
    task = Held(select("task", setting.task).make())
    training = train(
        select("rule", tried).make(),
        task,
        build_network(setting.architecture, task, setting.hidden, seed),
        select("objective", setting.objective).make(),
        steps=setting.steps,
        batch_size=setting.batch_size,
        optimiser=setting.optimiser,
        learning_rate=rate,
        weight_decay=setting.weight_decay,
        momentum=setting.momentum,
        layer_rates=setting.layer_rates,
        seed=seed,
        evaluate_every=max(setting.steps, 1),
    )
    last = {row["quantity"]: row["value"] for row in training.rows if row["step"] == setting.steps}
    return {
        "loss": last.get("test_loss", np.nan),
        "accuracy": last.get("test_accuracy", np.nan),
        "diverged": training.diverged,
    }


def best(rows: "pd.DataFrame") -> dict[str, Any]:
    """The best trial of a rule: ``tried`` and ``learning_rate``, with means over its seeds.

    Parameters
    ----------
    rows
        All trainings of the rule. If every trial diverged, the lowest rate stands.
    """
    tried, rate = chosen(scores_of(rows.to_dict("records")))
    own = rows[(rows["tried"] == tried) & (rows["learning_rate"] == rate)]
    means = {name: own[name].mean(skipna=False) for name in ("loss", "accuracy")}
    return {"tried": tried, "learning_rate": float(rate), **means}


def tuned(spec: Spec, rows: "pd.DataFrame") -> Spec:
    """The specification with every rule at its best trial; those with none are left out.

    Parameters
    ----------
    spec
        Of one task.
    rows
        Of the search with this specification.

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
            chosen[trial["tried"]] = trial["learning_rate"]
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
    keys=("task", "architecture", "objective", "rule", "tried", "learning_rate", "seed"),
    jobs=jobs,
    report="plausibench.bench.studies.tuning.report:report",
)

"""The benchmark: rules measured along trajectories; its options are the specification."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.running.provenance import digest
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.cell import ROW, measured
from plausibench.bench.studies.benchmark.cost import passes
from plausibench.bench.studies.benchmark.nulls import nulls, trained
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.nulls import NULL

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (*(field.name for field in fields(Unit) if field.name != "reason"), *ROW)
"""Of the table of results."""


NOT_MEASURED: Mapping[str, Any] = {
    "samples": 1,
    "marginal_samples": 1,
    "averaging_samples": 1,
    "batch_size": 1,
    "precision": 0.0,
}
"""Settings of measurements, on which a null does not depend."""


def jobs(spec: Spec) -> list[Job]:
    """A job for each trajectory with all its checkpoints, then those of the nulls."""
    measuring = units(spec)
    return _jobs(measured, measuring, spec) + null_jobs(spec, measuring)


def null_jobs(spec: Spec, beside: Collection[Unit]) -> list[Job]:
    """A job for each null of what is trained or measured."""
    return _jobs(trained, nulls(spec, beside), spec)


def _jobs(work: Callable[..., Any], some: Iterable[Unit], spec: Spec) -> list[Job]:
    return [
        Job(
            about=unit.identity(),
            work=work,
            arguments=(unit, alone(unit, spec)),
            depends=sources(unit, work),
            cost=passes(unit, spec.on(unit.task)),
            reason=unit.reason or "",
            stands_for=_named(unit, alone(unit, spec)),
        )
        for unit in some
    ]


def frame_of(run: Run) -> "pd.DataFrame":
    """Table of a run with all columns, though nothing may be measured yet; values are floats."""
    import pandas as pd

    frame = run.frame if len(run.frame) else pd.DataFrame(columns=list(COLUMNS))
    floats = ("value", "low", "high", "effective_dimension")
    return frame.astype(dict.fromkeys(floats, "float64"))


def alone(unit: Unit, spec: Spec) -> Spec:
    """The specification of one trajectory, whatever others there are beside it."""
    null = unit.protocol == NULL
    spec = spec.on(unit.task)
    paper = spec.of_paper(unit.trainer)
    momentum = paper.get("momentum") if spec.optimiser == "sgd" else None
    return replace(
        spec,
        tasks=(unit.task,),
        tasks_of={},
        architectures=(unit.architecture,),
        objectives=(unit.objective,),
        rules=(unit.rule,),
        pairing="first",
        hidden=spec.hidden_for(unit.architecture),
        hidden_of={},
        protocols=("own",) if null else (unit.protocol,),
        seeds=1,
        seed=unit.seed,
        samples_of={},
        learning_rate=spec.rate_for(unit.trainer, unit.protocol),
        learning_rates={},
        shared_learning_rate=0.0,
        momentum=spec.momentum if momentum is None else momentum,
        layer_rates=() if null else paper.get("layer_rates", spec.layer_rates),
        nulls=False,
        paper_settings=False,
        plugins=(),
        components=False,
        **(NOT_MEASURED if null else {"samples": spec.samples_for(unit.rule)}),
    )


def _named(unit: Unit, spec: Spec) -> dict[str, Any]:
    """What is measured, with the bare name of its task: which data it has, its sources say."""
    name = select("task", unit.task).name
    return {
        "unit": {**unit.identity(), "task": name},
        "settings": {**spec.as_dict(), "tasks": [name]},
    }


def sources(unit: Unit, work: Callable[..., Any]) -> str:
    """Digest of what works on a unit and of its components, and the identity of its data."""
    names = [(kind, select(kind, getattr(unit, kind)).name) for kind in registry.KINDS]
    names.append(("rule", select("rule", unit.trainer).name))
    components = [registry.find(kind, name) for kind, name in names]
    computing = digest(work.__module__, *(component.__module__ for component in components))
    task: Task = select("task", unit.task).make()
    written = [registry.digest(component) for component in components]
    return json.dumps([computing, written, task.identity], default=str)


BENCHMARK = Study(
    name="benchmark",
    summary="bias, variance and progress of learning rules",
    options=Spec,
    keys=tuple(name for name in COLUMNS if name not in ("value", "low", "high")),
    jobs=jobs,
    report="plausibench.bench.report.table:comparison",
)

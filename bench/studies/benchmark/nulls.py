"""Nulls of a run: what is trained beside its rules, without being asked for."""

from collections.abc import Collection, Iterator
from typing import Any

from plausibench.bench.components.networks import build_network, built
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import refused
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.nulls import FACTORS, LINEAR, NULL, READOUT, chance, linear, readout
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import evaluate, trajectory
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

NAN = float("nan")


def nulls(spec: Spec, units: Collection[Unit]) -> list[Unit]:
    """Nulls of all networks, tasks and objectives on which a rule is measured, for every seed.

    There are none where nothing is trained: what no training has changed is above nothing.

    Parameters
    ----------
    spec
        What is measured.
    units
        Its units of work.
    """
    if not spec.nulls:
        return []
    trains = {text: max(spec.on(text).checkpoints) > 0 for text in spec.every_task()}
    run = [unit for unit in units if unit.reason is None and trains[unit.task]]
    readout = [(unit.task, unit.architecture, unit.objective, READOUT) for unit in run]
    flat = [(unit.task, _linear(unit.task), unit.objective, LINEAR) for unit in run]
    return [
        Unit(*place, seed, NULL, reason)
        for place in dict.fromkeys([*readout, *flat])
        for reason in [_obstacle(*place, spec)]
        for seed in range(spec.seed, spec.seed + spec.seeds)
    ]


def _linear(task: str) -> str:
    return str(select("architecture", linear(select("task", task).make())))


def _obstacle(
    task_text: str, architecture: str, objective: str, rule_text: str, spec: Spec
) -> str | None:
    """Why a null cannot be trained; None if it can."""
    task: Task = select("task", task_text).make()
    network = built(architecture, task, spec.on(task_text).hidden_for(architecture))
    if isinstance(network, InputError):
        return str(network)
    rule: Rule = select("rule", rule_text).make()
    return refused(rule_text, rule, network, select("objective", objective).make(), task)


def trained(unit: Unit, spec: Spec) -> Iterator[dict[str, Any]]:
    """Train a null and yield its performance at every checkpoint, and chance beside it.

    It is trained at several learning rates, and the one with the lowest loss on the training set
    at the last checkpoint stands: a null that learns slowly would flatter the rules.

    Raises
    ------
    Divergence
        If it diverges at every rate.
    """
    task: Task = select("task", unit.task).make()
    objective: Objective = select("objective", unit.objective).make()
    level = chance(task, objective)
    courses: list[tuple[float, list[tuple[int, dict[str, float]]]]] = []
    reason = ""
    for rate in (factor * spec.learning_rate for factor in FACTORS):
        try:
            loss, reached = _course(unit, spec, task, objective, rate)
        except Divergence as error:
            reason = str(error)
        else:
            told = ({**values, **level, "learning_rate": rate} for values in reached)
            courses.append((loss, list(zip(spec.checkpoints, told, strict=True))))
    if not courses:
        raise Divergence(reason)
    _, best = min(courses, key=lambda course: course[0])
    for step, values in best:
        for name, value in values.items():
            yield _row(step, name, value)


def _course(
    unit: Unit, spec: Spec, task: Task, objective: Objective, rate: float
) -> tuple[float, list[dict[str, float]]]:
    """Loss on the training set at the end, and what is reached at every checkpoint."""
    network = build_network(unit.architecture, task, spec.hidden_for(unit.architecture), unit.seed)
    trainer = readout(network) if unit.rule == READOUT else unit.rule
    rule: Rule = select("rule", trainer).make()
    course = trajectory(
        rule,
        rule,
        network,
        objective,
        task,
        make_optimiser(spec.optimiser, rate, spec.weight_decay, spec.momentum),
        spec.checkpoints,
        spec.training_batch_size,
        unit.seed,
    )
    reached = [evaluate(checkpoint.network, objective, task, rule) for checkpoint in course]
    return reached[-1]["train_loss"], reached


def _row(step: int, quantity: str, value: float) -> dict[str, Any]:
    return {
        "step": step,
        "kind": "training",
        "projection": "all",
        "quantity": quantity,
        "value": value,
        "low": NAN,
        "high": NAN,
        "samples": 0,
        "redrawn": "nothing",
        "reference": "",
        "method": "exact",
        "effective_dimension": NAN,
        "flag": "",
    }

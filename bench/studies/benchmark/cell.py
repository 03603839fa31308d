"""Everything that is measured along one trajectory."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.averaging import averaging_rows
from plausibench.bench.measuring.draws import WITHIN, prepare, reference_of
from plausibench.bench.measuring.exact import closed_form, is_exact
from plausibench.bench.measuring.measurement import from_exact, is_blurred, measure
from plausibench.bench.measuring.statistics import NO_GRADIENT, UNDEFINED
from plausibench.bench.measuring.step import progress_rows, training_rows, training_sample
from plausibench.bench.measuring.variance_budget import SWEEP, budget_rows
from plausibench.bench.studies.benchmark.course import checkpoints
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.training import Checkpoint, alignment, evaluate
from plausibench.kernels.streams import stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

Rows = list[dict[str, Any]]

NAN = float("nan")


@dataclass(frozen=True)
class Cell:
    """A rule at one checkpoint."""

    rule: Rule
    task: Task
    objective: Objective
    batch: Batch
    checkpoint: Checkpoint
    unit: Unit
    spec: Spec


ROW = (
    *("step", "kind", "projection", "quantity", "value", "low", "high", "samples"),
    *("redrawn", "reference", "method", "effective_dimension", "flag"),
)
"""Columns of a row; those of the unit come before."""


def measured(unit: Unit, spec: Spec) -> Generator[dict[str, Any], None, str]:
    """Train and measure at every checkpoint; yield rows, and return what passes are unfit for."""
    remarks = dict[str, None]()
    for cell in cells(unit, spec):
        for kind, rows_of in KINDS.items():
            for row in rows_of(cell):
                whole = _complete(cell, kind, row)
                yield {name: whole[name] for name in ROW}
        remarks |= dict.fromkeys(_remarks(cell))
    return "; ".join(remarks)


def _remarks(cell: Cell) -> tuple[str, ...]:
    network, objective = cell.checkpoint.network, cell.objective.data
    found = network.remarks(cell.batch.inputs)
    clean = network.forward(cell.batch.inputs)
    if is_blurred(cell.rule, network, objective, cell.batch, clean):
        rounding = cell.rule.rounding(network, objective, cell.batch, clean)
        found += (f"errors at the output are so small that rounding blurs {rounding:.0%} of them",)
    return tuple(f"{remark} (step {cell.checkpoint.step})" for remark in found)


def cells(unit: Unit, spec: Spec) -> Iterator[Cell]:
    """The rule of a unit at every checkpoint of its trajectory."""
    task: Task = select("task", unit.task).make()
    objective: Objective = select("objective", unit.objective).make()
    rule: Rule = select("rule", unit.rule).make()
    batch = task.batch(spec.batch_size, seed=stream(unit.seed, "measured"))
    for checkpoint in checkpoints(unit, spec, rule):
        yield Cell(rule, task, objective, batch, checkpoint, unit, spec)


def _complete(cell: Cell, kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Fill in the columns that this kind of row has no value for."""
    blank = {
        "projection": "all",
        "low": NAN,
        "high": NAN,
        "samples": 0,
        "redrawn": "nothing",
        "reference": "",
        "method": "exact",
        "effective_dimension": NAN,
        "flag": "",
    }
    return {**blank, "step": cell.checkpoint.step, "kind": kind, **row}


def _training(cell: Cell) -> Rows:
    network, state = cell.checkpoint.network, cell.checkpoint.state
    trainer: Rule = select("rule", cell.unit.trainer).make()
    found = evaluate(network, cell.objective, cell.task, trainer)
    aligned = alignment(cell.rule, network, cell.objective, cell.batch, state, cell.unit.seed)
    sources = cell.rule.randomness() & WITHIN
    drawn = {"samples": 1, "redrawn": "+".join(sorted(sources)), "method": "sampled"}
    # The cosine with nothing.
    flag = {} if np.isfinite(aligned) else {"flag": UNDEFINED}
    return [
        *({"quantity": name, "value": value} for name, value in found.items()),
        {"quantity": "alignment", "value": aligned} | (drawn if sources else {}) | flag,
    ]


def _cost(cell: Cell) -> Rows:
    numbers = sum(array.size for array in cell.checkpoint.state.values())
    return [
        {"quantity": "forward_passes", "value": cell.rule.card.forward_passes},
        {"quantity": "state_size", "value": float(numbers)},
    ]


def _conditional(cell: Cell) -> Rows:
    rows = measure(
        cell.rule,
        cell.checkpoint.network,
        cell.objective,
        cell.batch,
        cell.spec.samples_for(cell.unit.rule),
        cell.unit.seed,
        state=cell.checkpoint.state,
        threads=1,
    ).rows
    return [_unresolved(row) if wider(row, cell.spec.precision) else row for row in rows]


def wider(row: dict[str, Any], precision: float) -> bool:
    """Whether a squared bias has a wider interval than was asked for; 0 asks for nothing.

    More draws would not help where there is no gradient to be relative to.
    """
    if not precision or row["quantity"] != "bias_squared" or NO_GRADIENT in row["flag"]:
        return False
    # An interval that is not known is not narrow enough.
    return not (row["high"] - row["low"]) / 2 <= precision


def _unresolved(row: dict[str, Any]) -> dict[str, Any]:
    flags = [flag for flag in row["flag"].split(", ") if flag not in ("", "unresolved")]
    return {**row, "flag": ", ".join([*flags, "unresolved"])}


def _marginal(cell: Cell) -> Rows:
    """Feedback redrawn at shared weights only: a rule's own training aligns the two."""
    if "feedback" not in cell.rule.randomness() or cell.unit.protocol != "shared":
        return []
    return measure(
        cell.rule,
        cell.checkpoint.network,
        cell.objective,
        cell.batch,
        cell.spec.marginal_samples,
        cell.unit.seed,
        redraw=WITHIN | {"feedback"},
        threads=1,
    ).rows


def _closed_form(cell: Cell) -> Rows:
    return _theory(cell, WITHIN, cell.checkpoint.state)


def _marginal_closed_form(cell: Cell) -> Rows:
    if "feedback" not in cell.rule.randomness() or cell.unit.protocol != "shared":
        return []
    return _theory(cell, WITHIN | {"feedback"}, None)


def _theory(cell: Cell, redraw: frozenset[str], state: State | None) -> Rows:
    """What the rule's closed form gives where sampling is what was measured, to set beside it."""
    if is_exact(cell.rule, redraw):
        return []
    network, seed = cell.checkpoint.network, cell.unit.seed
    setting = prepare(cell.rule, network, cell.objective, cell.batch, state, seed)
    answer = closed_form(setting, redraw)
    if answer is None:
        return []
    name, reference = reference_of(setting)
    redrawn = "+".join(sorted(cell.rule.randomness() & redraw))
    rows = from_exact(answer, reference, {"redrawn": redrawn, "reference": name}).rows
    return [row for row in rows if row["quantity"] in ("bias_squared", "variance")]


def _averaging(cell: Cell) -> Rows:
    rows = averaging_rows(
        cell.rule,
        cell.checkpoint.network,
        cell.objective,
        cell.batch,
        cell.spec.averaging_samples,
        cell.unit.seed,
        state=cell.checkpoint.state,
    )
    columns = ("low", "high", "redrawn", "reference", "flag")
    return [
        {
            "quantity": "cosine",
            "value": row["cosine"],
            "samples": row["averaged"],
            "method": "exact" if row["redrawn"] == "nothing" else "sampled",
            **{name: row[name] for name in columns},
        }
        for row in rows
    ]


def _budget(cell: Cell) -> Rows:
    if cell.unit.protocol != "shared":
        return []
    return budget_rows(
        cell.rule,
        cell.task,
        cell.checkpoint.network,
        cell.objective,
        feedbacks=SWEEP.feedbacks,
        batches=SWEEP.batches,
        samples=SWEEP.samples,
        batch_size=cell.spec.batch_size,
        seed=cell.unit.seed,
    )


def _progress(cell: Cell) -> Rows:
    parts = (cell.rule, cell.checkpoint.network, cell.objective)
    drawn: dict[str, Any] = {"seed": cell.unit.seed, "state": cell.checkpoint.state}
    rows = progress_rows(*parts, cell.batch, **drawn)
    if cell.spec.training_set:
        rows += training_rows(*parts, training_sample(cell.task), **drawn)
    return rows


KINDS: dict[str, Callable[[Cell], Rows]] = {
    "training": _training,
    "cost": _cost,
    "conditional": _conditional,
    "marginal": _marginal,
    "closed_form": _closed_form,
    "marginal_closed_form": _marginal_closed_form,
    "averaging": _averaging,
    "budget": _budget,
    "progress": _progress,
}

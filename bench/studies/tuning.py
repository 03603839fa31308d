"""The same small search for every rule: its learning rate, and one option of its own if it has one.

Every rule gets 12 trials. One that declares ``searched`` tries its values of that option, each
with 12 / values learning rates; the others try 12 learning rates. A trial takes as many steps as
the training that is then measured: a rate that is best early may not last. It is scored by its
accuracy on a quarter of the training set that it does not learn from; the test set is never seen.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from plausibench.bench import registry
from plausibench.bench.cost import in_turn
from plausibench.bench.experiments.parts import Part, Rows, collect
from plausibench.bench.provenance import engine_digest
from plausibench.bench.selectors import select
from plausibench.bench.spec import Spec
from plausibench.bench.sweep import units
from plausibench.bench.tasks.task import Image, Task
from plausibench.bench.training import train
from plausibench.bench.unit import Unit, build_network
from plausibench.objectives.batch import Batch
from plausibench.rules.rule import Rule

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


def search(unit: Unit, spec: Spec) -> Rows:
    """Train a rule in every trial.

    Returns
    -------
    list of dict
        ``rule`` as asked for, ``tried`` with its options, ``learning_rate``, ``loss`` and, in
        classification, ``accuracy`` on the examples held out, NaN if it ``diverged``.
    """
    task, steps = Held(select("task", unit.task).make()), max(spec.checkpoints)
    rows: Rows = []
    for tried, rate in trials(unit.rule):
        network = build_network(unit.architecture, task, spec.hidden_for(unit.architecture), SEED)
        training = train(
            select("rule", tried).make(),
            task,
            network,
            select("objective", unit.objective).make(),
            steps=steps,
            batch_size=spec.training_batch_size,
            optimiser=spec.optimiser,
            learning_rate=rate,
            weight_decay=spec.weight_decay,
            seed=SEED,
            evaluate_every=max(steps, 1),
        )
        last = {row["quantity"]: row["value"] for row in training.rows if row["step"] == steps}
        rows.append(
            {
                "task": unit.task,
                "architecture": unit.architecture,
                "objective": unit.objective,
                "rule": unit.rule,
                "tried": tried,
                "learning_rate": rate,
                "loss": last.get("test_loss", np.nan),
                "accuracy": last.get("test_accuracy", np.nan),
                "diverged": training.diverged,
            }
        )
    return rows


def best(rows: Rows) -> dict[str, Any]:
    """The trial with the most right classes among the examples held out, then the lowest loss.

    Losses alone would not do: rules that learn values or losses of their own do not descend the
    objective that they are measured on. Without classes the lowest loss decides; the lowest rate
    if no trial ended.
    """

    def rank(row: dict[str, Any]) -> tuple[float, float]:
        accuracy, loss = row["accuracy"], row["loss"]
        return np.inf if np.isnan(accuracy) else -accuracy, np.inf if np.isnan(loss) else loss

    return min(rows, key=rank)


def tuned(spec: Spec, rows: Rows) -> Spec:
    """The specification with every rule at its best trial."""
    chosen = {}
    for rule in spec.rules:
        found = best([row for row in rows if row["rule"] == rule])
        chosen[found["tried"]] = found["learning_rate"]
    # Shared weights come from objectives and networks for which no rate was searched.
    return spec.with_values(
        rules=tuple(chosen), learning_rates=chosen, shared_learning_rate=spec.rate("backprop")
    )


def tune(
    spec: Spec,
    path: Path,
    jobs: int = 1,
    on_done: Callable[[str, int, int], None] | None = None,
) -> Rows:
    """Search for every rule of a specification; what a file holds already is not searched again.

    Parameters
    ----------
    spec
        Rules, and where they are trained.
    path
        JSON lines, one for each rule, written as each is done.
    jobs
        Worker processes; the results are the same with any number.
    on_done
        Called after each rule with its name, the number done and the number in all.
    """
    # One search for each rule: seeds and protocols come later.
    todo = [u for u in units(spec.with_values(seeds=1, protocols=("own",))) if u.reason is None]
    parts = [
        Part(unit.rule, search, (unit, spec), _depends(unit, spec)) for unit in in_turn(todo, spec)
    ]
    rows = collect(parts, jobs, on_done, path, spec.plugins)
    return sorted(rows, key=lambda row: spec.rules.index(row["rule"]))


def _depends(unit: Unit, spec: Spec) -> str:
    """Everything that a search depends on."""
    chosen = {kind: getattr(unit, kind) for kind in registry.KINDS}
    depends = [
        *(chosen, max(spec.checkpoints), RATES, SEED, engine_digest()),
        *(spec.training_batch_size, spec.optimiser, spec.weight_decay),
        spec.hidden_for(unit.architecture),
        [registry.digest(registry.find(k, select(k, text).name)) for k, text in chosen.items()],
    ]
    return json.dumps(depends)

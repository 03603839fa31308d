"""Run a specification: one unit of work is a trajectory with all its checkpoints."""

import hashlib
import json
import sys
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plausibench.architectures.network import Network
from plausibench.bench import registry
from plausibench.bench.citations import cited
from plausibench.bench.cost import in_turn
from plausibench.bench.executor import Executor
from plausibench.bench.penalties import obstacle
from plausibench.bench.provenance import NUMERIC, engine_digest, libraries, provenance
from plausibench.bench.selectors import select
from plausibench.bench.shards import EVERYTHING, Shard
from plausibench.bench.spec import Spec
from plausibench.bench.store import SCHEMA, Record, Run, collect, shard_files
from plausibench.bench.tasks.task import Task
from plausibench.bench.unit import Unit, build_network
from plausibench.bench.workers import local
from plausibench.kernels.errors import InputError, integer
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

OnDone = Callable[[Record, int, int], None]

ROUND = 16
"""Units for each worker before a shard looks again at what others have done."""


def units(spec: Spec) -> list[Unit]:
    """Every unit of work of a specification, in order, with the reason for those that cannot run.

    Raises
    ------
    InputError
        If data or a plug-in are missing, or an architecture can be built for none of the tasks.
    """
    registry.load_plugins(spec.plugins)
    places: dict[str, Place] = {}
    for text in spec.every_task():
        task: Task = select("task", text).make()
        for size in ("batch_size", "training_batch_size"):
            if getattr(spec, size) > task.train.size:
                raise InputError(
                    f"{size}: {getattr(spec, size)} is more than the {task.train.size} training "
                    f"examples of task {text}"
                )
        networks = {name: built(name, task, spec.hidden_for(name)) for name in spec.architectures}
        places[text] = Place(task, networks)
    _refuse_unbuildable(spec, places.values())
    return [
        Unit(text, architecture, objective, rule, seed, protocol, reason)
        for text, place in places.items()
        for rule in spec.rules
        if text in spec.tasks_for(rule)
        for architecture, objective, reason in _pairs(spec, place, rule)
        for seed in range(spec.seed, spec.seed + spec.seeds)
        for protocol in spec.protocols
    ]


@dataclass(frozen=True)
class Place:
    """A task, and the network of each architecture for it, or why there is none."""

    task: Task
    networks: dict[str, Network | InputError]


def built(architecture: str, task: Task, hidden: tuple[int, ...]) -> Network | InputError:
    """The network of seed 0, or why there is none."""
    try:
        return build_network(architecture, task, hidden, seed=0)
    except InputError as error:
        return error
    except Exception as error:  # noqa: BLE001 -- whatever a plug-in raises is told of its cells
        return InputError(
            f"architecture {architecture}: building it raises {type(error).__name__}: {error}"
        )


def _refuse_unbuildable(spec: Spec, places: Collection[Place]) -> None:
    """Refuse an architecture that can be built for no task.

    Where all pairs are asked for, cells that stay empty are part of the answer, unless all do.
    """
    unbuilt = []
    for architecture in spec.architectures:
        tried = [place.networks[architecture] for place in places]
        reasons = [network for network in tried if isinstance(network, InputError)]
        unbuilt += reasons[:1] if len(reasons) == len(tried) else []
    if unbuilt and (spec.pairing == "first" or len(unbuilt) == len(spec.architectures)):
        raise unbuilt[0]


def _pairs(spec: Spec, place: Place, rule_text: str) -> list[tuple[str, str, str | None]]:
    """Architectures and objectives for a rule, with the reason where it cannot run."""
    rule: Rule = select("rule", rule_text).make()
    pairs: list[tuple[str, str, str | None]] = []
    for architecture, network in place.networks.items():
        for objective_text in spec.objectives:
            if isinstance(network, InputError):
                pairs.append((architecture, objective_text, str(network)))
                continue
            objective: Objective = select("objective", objective_text).make()
            reason = refused(rule_text, rule, network, objective, place.task)
            if spec.pairing == "first" and reason is None:
                return [(architecture, objective_text, None)]
            pairs.append((architecture, objective_text, reason))
    return pairs if spec.pairing == "all" else pairs[:1]


def refused(
    name: str, rule: Rule, network: Network, objective: Objective, task: Task
) -> str | None:
    """Why a rule cannot run on a network with an objective, on the targets of a task."""
    if rule.needs_classes and task.train.targets.dtype.kind != "i":
        return f"{name} needs integer classes as targets; those of task {task.name} are numbers"
    try:
        objective.check(task.train.targets, network.output.size)
    except InputError as error:
        return str(error)
    try:
        reason = obstacle(rule, network, objective)
    except Exception as error:
        raise InputError(
            f"rule {name}: unsupported raises {type(error).__name__}: {error}"
        ) from error
    if reason is not None and not isinstance(reason, str):
        raise InputError(
            f"rule {name}: unsupported returns {reason!r}; allowed are a reason and None"
        )
    return reason


def key(unit: Unit, spec: Spec) -> str:
    """Digest of everything the unit's result depends on."""
    settings = spec.as_dict()
    chosen = ("architectures", "objectives", "rules", "pairing", "protocols", "plugins")
    own = (
        *("tasks", "tasks_of"),
        *("learning_rate", "learning_rates", "shared_learning_rate"),
        *("samples", "samples_of"),
    )
    for name in (*chosen, "seeds", "seed", *own):
        del settings[name]
    components = [(kind, select(kind, getattr(unit, kind)).name) for kind in registry.KINDS]
    task: Task = select("task", unit.task).make()
    depends = {
        "schema": SCHEMA,
        # Where the data lie does not matter, and what they are stands below.
        "unit": {**unit.identity(), "task": task.name},
        "reason": unit.reason,
        "settings": settings,
        "data": task.identity,
        "rate": spec.rate_for(unit.trainer, unit.protocol),
        "samples": spec.samples_for(unit.rule),
        "engine": engine_digest(),
        "libraries": {name: libraries()[name] for name in NUMERIC},
        "components": [
            registry.digest(registry.find(kind, name))
            for kind, name in (*components, ("rule", unit.trainer.partition("[")[0]))
        ],
    }
    text = json.dumps(depends, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run(
    spec: Spec,
    out: Path | str,
    jobs: int = 1,
    on_done: OnDone | None = None,
    shard: Shard = EVERYTHING,
    executor: Executor | None = None,
) -> Run:
    """Run every unit that the directory does not hold yet.

    Parameters
    ----------
    spec
        What to measure.
    out
        Run directory; made if it is not there, resumed if it holds the same specification.
    jobs
        Worker processes; 1 computes in this one. The results are the same.
    on_done
        Called after each unit with its record, the number done and the number in all.
    shard
        Share of the units to compute; other processes write the others to the same directory.
    executor
        What computes, instead of worker processes of this machine.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If the specification cannot run at all, or the directory cannot be used.
    """
    jobs = integer("jobs", jobs, least=1)
    todo = units(spec)
    if all(unit.reason is not None for unit in todo):
        raise InputError(f"rules: nothing can run; {todo[0].rule} cannot because {todo[0].reason}")
    described = {**provenance(sys.argv), "jobs": jobs}
    directory = Run.create(out, spec, described, _sources(todo))
    with directory.writing(shard) as writer:
        keys = {unit: key(unit, spec) for unit in todo}
        share = shard.share(todo)
        have = {r["key"] for r in directory.records() if r["status"] != "failed"}
        missing = [unit for unit in share if keys[unit] not in have]
        _refuse_outdated(directory, shard, missing)
        if missing and shard == EVERYTHING:
            writer.describe(described)
        done = len(share) - len(missing)
        chosen = local(jobs, len(missing)) if executor is None else executor
        rounds = _rounds(missing, spec, shard, jobs) if executor is None else [missing]
        for part in rounds:
            now = _left(part, keys, directory, shard)
            done += len(part) - len(now)
            # Closed, so that an exception in this loop ends the workers at once.
            with closing(chosen.results(now, spec)) as found:
                for unit, (status, reason, rows, times), origin in found:
                    shared = {"key": keys[unit], "unit": unit.identity()}
                    record = {**shared, "status": status, "reason": reason, "rows": rows}
                    if origin is not None:
                        writer.come_from(origin)
                    writer.add(record, {**shared, "rows": times})
                    done += 1
                    if on_done is not None:
                        on_done(record, done, len(share))
    return Run(directory.path)


def _rounds(missing: list[Unit], spec: Spec, shard: Shard, jobs: int) -> list[list[Unit]]:
    """Units in portions, between which a shard looks at what others have done meanwhile."""
    if shard == EVERYTHING:
        return [missing]
    if jobs > 1:
        missing = in_turn(missing, spec)
    size = ROUND * jobs if jobs > 1 else 1
    return [missing[first : first + size] for first in range(0, len(missing), size)]


def _left(part: list[Unit], keys: dict[Unit, str], directory: Run, shard: Shard) -> list[Unit]:
    """Units that no other process has finished; shards of one number share none."""
    files = shard_files(directory.path / "results")
    if shard == EVERYTHING or all(file.stem.endswith(f"-of-{shard.of}") for file in files):
        return part
    have = {r["key"] for r in Run(directory.path).records() if r["status"] != "failed"}
    return [unit for unit in part if keys[unit] not in have]


def _sources(todo: list[Unit]) -> dict[str, Any]:
    """What readers of a run need of its components and data, which they do not load."""
    data = {}
    for text in dict.fromkeys(unit.task for unit in todo):
        task: Task = select("task", text).make()
        name = json.dumps([task.name, task.identity], default=str)
        data[text] = hashlib.sha256(name.encode()).hexdigest()
    return {"cites": cited(todo), "data": data}


def _refuse_outdated(directory: Run, shard: Shard, missing: list[Unit]) -> None:
    """Refuse to supersede what another shard holds: which of the two is newer could not be told."""
    identities = [unit.identity() for unit in missing]
    for record in collect([directory], besides=shard)[0]:
        if record["status"] != "failed" and record["unit"] in identities:
            raise InputError(
                f"out: {directory.path} has results of {record['unit']['rule']} in another shard, "
                "from sources that have changed since; run the same shards again or choose "
                "another folder"
            )

"""Run a specification: one unit of work is a trajectory with all its checkpoints."""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from plausibench.bench import registry
from plausibench.bench.cell import measure_unit
from plausibench.bench.provenance import component_digest, engine_digest, provenance
from plausibench.bench.selectors import select
from plausibench.bench.spec import Spec
from plausibench.bench.store import SCHEMA, Record, Run
from plausibench.bench.tasks.task import Task
from plausibench.bench.unit import Unit, build_network
from plausibench.kernels.errors import InputError, integer

OnDone = Callable[[Record, int, int], None]


def units(spec: Spec) -> list[Unit]:
    """Every unit of work of a specification, in order, with the reason for those that cannot run.

    Raises
    ------
    InputError
        If data are missing, or layer sizes do not match a task.
    """
    found = []
    for task_text in spec.tasks:
        task: Task = select("task", task_text).make()
        for size in ("batch_size", "training_batch_size"):
            integer(size, getattr(spec, size), least=1, most=task.train.size)
        for rule in spec.rules:
            for architecture, objective, reason in _pairs(spec, task, rule):
                for seed in range(spec.seed, spec.seed + spec.seeds):
                    found += [
                        Unit(task_text, architecture, objective, rule, seed, protocol, reason)
                        for protocol in spec.protocols
                    ]
    return found


def _pairs(spec: Spec, task: Task, rule_text: str) -> Iterator[tuple[str, str, str | None]]:
    """Architectures and objectives for a rule, with the reason where it cannot run."""
    rule = select("rule", rule_text).make()
    refused = []
    for architecture in spec.architectures:
        network = build_network(architecture, task, spec.hidden, seed=0)
        for objective_text in spec.objectives:
            objective = select("objective", objective_text).make()
            reason = rule.unsupported(network, objective)
            if reason is None:
                try:
                    objective.check(task.train.targets, network.output.size)
                except InputError as error:
                    reason = str(error)
            if spec.pairing == "first" and reason is None:
                yield architecture, objective_text, None
                return
            refused.append((architecture, objective_text, reason))
    yield from refused if spec.pairing == "all" else refused[:1]


def key(unit: Unit, spec: Spec) -> str:
    """Digest of everything the unit's result depends on."""
    settings = spec.as_dict()
    for name in (*(f"{kind}s" for kind in registry.KINDS), "plugins", "seeds", "seed"):
        del settings[name]
    del settings["protocols"], settings["pairing"], settings["learning_rates"]
    depends = {
        "schema": SCHEMA,
        "unit": unit.identity(),
        "settings": settings,
        "rates": [spec.rate(unit.rule), spec.rate("backprop")],
        "engine": engine_digest(),
        "components": [
            component_digest(kind, select(kind, getattr(unit, kind)).name)
            for kind in registry.KINDS
        ],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def run(
    spec: Spec,
    out: Path | str,
    jobs: int = 1,
    on_done: OnDone | None = None,
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

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If the specification cannot run at all, or the directory cannot be used.
    """
    integer("jobs", jobs, least=1)
    todo = units(spec)
    if all(unit.reason is not None for unit in todo):
        raise InputError(f"rules: nothing can run; {todo[0].rule} cannot because {todo[0].reason}")
    directory = Run.create(out, spec, provenance(sys.argv))
    with directory.writing() as writer:
        keys = {unit: key(unit, spec) for unit in todo}
        place = {unit: number for number, unit in enumerate(todo)}
        have = {r["key"] for r in directory.records() if r["status"] != "failed"}
        missing = [unit for unit in todo if keys[unit] not in have]
        done = len(todo) - len(missing)
        for unit, result in _results(missing, spec, jobs):
            status, reason, rows, times = result
            record = {
                "key": keys[unit],
                "order": place[unit],
                "unit": unit.identity(),
                "status": status,
                "reason": reason,
                "rows": rows,
            }
            timing = {"key": keys[unit], "unit": unit.identity(), "rows": times}
            writer.add(record, timing)
            done += 1
            if on_done is not None:
                on_done(record, done, len(todo))
    return Run(directory.path)


Result = tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]


def _results(todo: list[Unit], spec: Spec, jobs: int) -> Iterator[tuple[Unit, Result]]:
    if jobs == 1 or len(todo) <= 1:
        for unit in todo:
            yield unit, _one(unit, spec)
        return
    with _workers(min(jobs, len(todo)), spec) as pool:
        futures: dict[Future[Result], Unit] = {pool.submit(_one, u, spec): u for u in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _one(unit: Unit, spec: Spec) -> Result:
    """Compute a unit; whatever goes wrong in it is a recorded outcome."""
    if unit.reason is not None:
        return "unsupported", unit.reason, [], []
    return measure_unit(unit, spec)


@contextmanager
def _workers(jobs: int, spec: Spec) -> Iterator[Executor]:
    """Spawned processes with one thread each; they end with this process."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(dict.fromkeys(threads, "1"))
    pool = ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(), spec.plugins)
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker(driver: int, plugins: tuple[str, ...]) -> None:
    # Ctrl-C reaches the whole group of processes; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    for path in plugins:
        registry.load_plugin(path)


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(0.5)
    os._exit(1)

"""Compute units of work, in this process or in workers that end with it."""

import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from plausibench.bench import registry
from plausibench.bench.cell import Result, measure_unit
from plausibench.bench.spec import Spec
from plausibench.bench.unit import Unit
from plausibench.kernels.errors import InputError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
KILLED = "its process died, for example because memory ran out"


def results(todo: list[Unit], spec: Spec, jobs: int) -> Generator[tuple[Unit, Result], None, None]:
    """Compute units with a number of processes; yield each with its result when it is done.

    A unit whose process dies is a failed one.

    Raises
    ------
    InputError
        If no worker can be started.
    """
    if jobs == 1 or len(todo) <= 1:
        for unit in todo:
            yield unit, _compute(unit, spec)
        return
    left, processes = list(todo), jobs
    while left:
        try:
            with _workers(min(processes, len(left)), spec) as pool:
                futures: dict[Future[Result], Unit] = {
                    pool.submit(_compute, unit, spec): unit for unit in left
                }
                # One process computes in order, so that the first without a result took it down.
                for future in as_completed(futures) if processes > 1 else futures:
                    result = future.result()
                    left.remove(futures[future])
                    yield futures[future], result
        except BrokenProcessPool:
            if processes == 1:
                yield left.pop(0), ("failed", KILLED, [], [])
            processes = jobs if processes == 1 else 1


def _compute(unit: Unit, spec: Spec) -> Result:
    if unit.reason is not None:
        return "unsupported", unit.reason, [], []
    return measure_unit(unit, spec)


@contextmanager
def _workers(processes: int, spec: Spec) -> Iterator[Executor]:
    """Spawned processes with one thread each."""
    context = get_context("spawn")
    # Nothing is ever sent: when this process closes its end or is killed, the workers end.
    ours, theirs = context.Pipe()
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = ProcessPoolExecutor(
        processes, context, initializer=_start_worker, initargs=(theirs, spec.plugins)
    )
    try:
        _start(pool, processes)
        yield pool
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(pool: Executor, processes: int) -> None:
    # Ctrl-C reaches the whole group of processes, but the driver alone decides what it means: a
    # signal that is blocked here stays so in the processes that start now.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        started = [pool.submit(os.getpid) for _ in range(processes)]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        for future in started:
            future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "jobs: a worker process cannot start; a script that runs a sweep with more than one "
            "job does so under if __name__ == '__main__'"
        ) from error


def _start_worker(driver: Connection, plugins: tuple[str, ...]) -> None:
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    registry.load_plugins(plugins)


def _end_with(driver: Connection) -> None:
    try:
        driver.recv_bytes()
    finally:
        os._exit(1)

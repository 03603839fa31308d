"""Compute units of work, in this process or in workers that end with it."""

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from plausibench.bench import registry
from plausibench.bench.cell import Result, measure_unit
from plausibench.bench.cost import in_turn
from plausibench.bench.executor import Executor, Finished
from plausibench.bench.provenance import provenance
from plausibench.bench.spec import Spec
from plausibench.bench.unit import Unit
from plausibench.kernels.errors import InputError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
KILLED = "its process died, for example because memory ran out"


class CannotStart(BrokenProcessPool):
    """A worker process ended before it took work."""


class InProcess:
    """Computes in this process, in order."""

    def results(self, todo: list[Unit], spec: Spec) -> Generator[Finished, None, None]:
        """As :meth:`Executor.results`."""
        origin = provenance(sys.argv)
        for unit in todo:
            yield unit, compute(unit, spec), origin


@dataclass(frozen=True)
class Processes:
    """Computes in a number of processes of this machine, which end with this one."""

    jobs: int

    def results(self, todo: list[Unit], spec: Spec) -> Generator[Finished, None, None]:
        """As :meth:`Executor.results`; a unit whose process dies twice is a failed one."""
        origin = provenance(sys.argv)
        left, processes, refused = in_turn(todo, spec), self.jobs, False
        while left:
            try:
                with workers(min(processes, len(left)), spec.plugins) as pool:
                    futures: dict[Future[Result], Unit] = {
                        pool.submit(compute, unit, spec): unit for unit in left
                    }
                    # One process computes in order: the first without a result took it down.
                    for future in as_completed(futures) if processes > 1 else futures:
                        result = future.result()
                        left.remove(futures[future])
                        yield futures[future], result, origin
            except CannotStart as error:
                # A worker may have been killed while it started; twice in a row is no accident.
                if refused:
                    raise InputError(str(error)) from error
                refused = True
            except BrokenProcessPool:
                refused = False
                if processes == 1:
                    yield left.pop(0), ("failed", KILLED, [], []), None
                processes = self.jobs if processes == 1 else 1


def local(jobs: int, units: int) -> Executor:
    """Executor of this machine for a number of jobs and of units."""
    return InProcess() if jobs == 1 or units <= 1 else Processes(jobs)


def compute(unit: Unit, spec: Spec) -> Result:
    """Result of a unit, which may be that it cannot run."""
    if unit.reason is not None:
        return "unsupported", unit.reason, [], []
    return measure_unit(unit, spec)


@contextmanager
def reliable_workers(processes: int, plugins: tuple[str, ...] = ()) -> Iterator[Pool]:
    """Workers of which none may be lost.

    Raises
    ------
    InputError
        If one dies.
    """
    try:
        with workers(processes, plugins) as pool:
            yield pool
    except CannotStart as error:
        raise InputError(str(error)) from error
    except BrokenProcessPool as error:
        raise InputError(f"jobs: a worker is lost ({KILLED}); try fewer jobs") from error


@contextmanager
def workers(processes: int, plugins: tuple[str, ...] = ()) -> Iterator[Pool]:
    """Spawned processes with one thread each, which end with this one.

    Raises
    ------
    CannotStart
        If one ends before it takes work.
    """
    context = get_context("spawn")
    # Nothing is ever sent: when this process closes its end or is killed, the workers end.
    ours, theirs = context.Pipe()
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = ProcessPoolExecutor(
        processes, context, initializer=_start_worker, initargs=(theirs, plugins)
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


def _start(pool: Pool, processes: int) -> None:
    with _interrupts_blocked():
        started = [pool.submit(os.getpid) for _ in range(processes)]
    try:
        for future in started:
            future.result()
    except BrokenProcessPool as error:
        raise CannotStart(
            "jobs: a worker process cannot start; a script that runs a sweep with more than one "
            "job does so under if __name__ == '__main__'"
        ) from error


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole group of processes, but the driver alone decides what it means.

    A signal that is blocked here stays so in the processes that start now. Windows has no such
    masks: there a worker ignores it once it has started.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(driver: Connection, plugins: tuple[str, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    registry.load_plugins(plugins)


def _end_with(driver: Connection) -> None:
    try:
        driver.recv_bytes()
    finally:
        os._exit(1)

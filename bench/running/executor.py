"""What computes jobs: this process, or others of this machine that end with it."""

import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Protocol

from plausibench.bench.components import registry
from plausibench.bench.running.job import Job, Outcome, compute
from plausibench.kernels.errors import InputError, integer

Outcomes = Generator[tuple[Job, Outcome], None, None]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
KILLED = Outcome("failed", "its process died, for example because memory ran out")


class Executor(Protocol):
    """Computes jobs in any order, in any place; what becomes of them is the same."""

    def outcomes(self, todo: Iterable[Job], plugins: Sequence[str] = ()) -> Outcomes:
        """Compute jobs; yield each as it is done, with what became of it.

        Closing the generator ends the work.

        Parameters
        ----------
        todo
            The jobs; a generator may leave out what is no longer needed when it is asked.
        plugins
            Files that define what the jobs need.

        Raises
        ------
        InputError
            If there is nothing that can compute.
        """


class InProcess:
    """Computes in this process, in order; plug-ins are loaded here already."""

    def outcomes(self, todo: Iterable[Job], plugins: Sequence[str] = ()) -> Outcomes:
        """As :meth:`Executor.outcomes`."""
        for job in todo:
            yield job, compute(job)


IN_PROCESS = InProcess()


@dataclass(frozen=True)
class Processes:
    """Computes in a number of processes, with one thread each."""

    count: int

    def __post_init__(self) -> None:
        integer("jobs", self.count, least=1)

    def outcomes(self, todo: Iterable[Job], plugins: Sequence[str] = ()) -> Outcomes:
        """As :meth:`Executor.outcomes`; a job that takes a process of its own down has failed."""
        left, ahead = iter(todo), 2 * self.count
        while handed := list(islice(left, ahead)):
            try:
                with workers(min(self.count, len(handed)), plugins) as pool:
                    futures = {pool.submit(compute, job): job for job in handed}
                    while futures:
                        for future in wait(futures, return_when=FIRST_COMPLETED).done:
                            outcome = future.result()
                            job = futures.pop(future)
                            handed.remove(job)
                            yield job, outcome
                            for job in islice(left, 1):
                                handed.append(job)
                                futures[pool.submit(compute, job)] = job
            except BrokenProcessPool:
                # One of these took a process down, and all others with it.
                for job in handed:
                    yield job, _alone(job, plugins)


def _alone(job: Job, plugins: Sequence[str]) -> Outcome:
    """What becomes of a job in a process of its own."""
    try:
        with workers(1, plugins) as pool:
            return pool.submit(compute, job).result()
    except BrokenProcessPool:
        return KILLED


@contextmanager
def workers(count: int, plugins: Sequence[str] = ()) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one thread each, which end with this one.

    Raises
    ------
    InputError
        If they cannot start.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    context = get_context("spawn")
    # Nothing is ever sent: when this process closes its end or is killed, the workers end.
    ours, theirs = context.Pipe()
    try:
        pool = _started(count, context, (theirs, tuple(plugins)))
        try:
            yield pool
        except BaseException:
            ours.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        ours.close()
        theirs.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _started(
    count: int, context: SpawnContext, arguments: tuple[Connection, tuple[str, ...]]
) -> ProcessPoolExecutor:
    # A worker may have been killed while it started; twice in a row is no accident.
    for _ in range(2):
        pool = ProcessPoolExecutor(count, context, _start_worker, arguments)
        try:
            with _interrupts_blocked():
                futures = [pool.submit(os.getpid) for _ in range(count)]
            for future in futures:
                future.result()
        except BrokenProcessPool:
            pool.shutdown()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        else:
            return pool
    raise InputError(
        "jobs: a worker process cannot start; a script that runs a study with more than one job "
        "does so under if __name__ == '__main__'"
    )


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that start within do not heed Ctrl-C, where systems have such masks.

    It reaches the whole group of processes, but the driver alone decides what it means.
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
    load(plugins)


def _end_with(driver: Connection) -> None:
    try:
        driver.recv_bytes()
    finally:
        os._exit(1)


def load(plugins: Iterable[str | Path]) -> None:
    """Load plug-ins where jobs are computed, whether they define components or studies."""
    for file in plugins:
        registry.load_plugin(file, bare=True)

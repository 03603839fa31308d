"""Compute jobs on a Dask cluster, whatever started it."""

import pickle
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from plausibench.bench.running.executor import KILLED, Outcomes, load
from plausibench.bench.running.job import Job, Outcome, compute, origin
from plausibench.bench.running.provenance import NUMERIC
from plausibench.kernels.errors import InputError, refusal, show

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10
"""Seconds to wait for a scheduler to answer."""
RETRIES = 3
"""How often a job is begun again that could not be computed; lost workers are counted apart."""
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://.+:\d+")

# A process has one registry and one number of BLAS threads.
_ALONE = Lock()


@contextmanager
def connected(address: str, on_waiting: Callable[[], object] | None = None) -> Iterator["Cluster"]:
    """Executor of the cluster of a scheduler.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://127.0.0.1:8786``.
    on_waiting
        Called if it has no workers yet, for which the work will wait.

    Raises
    ------
    InputError
        If Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "scheduler: distributed is not installed; pip install 'plausibench[dask]'"
        ) from error
    if not ADDRESS.fullmatch(address):
        # Dask's client would be left half made, and complain when it is collected.
        raise refusal("scheduler", address, "an address such as tcp://127.0.0.1:8786")
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"scheduler: no Dask scheduler answers at {show(address)} ({type(error).__name__}); "
            "allowed is an address such as tcp://127.0.0.1:8786"
        ) from error
    with client:
        if on_waiting is not None and not client.scheduler_info()["workers"]:
            on_waiting()
        yield Cluster(client)


@dataclass(frozen=True)
class Cluster:
    """Computes on the workers of a Dask cluster, which may come and go."""

    client: "Client"

    def outcomes(self, todo: Iterable[Job], plugins: Sequence[str] = ()) -> Outcomes:
        """As :meth:`Executor.outcomes`; a job that takes several workers down has failed.

        Raises
        ------
        InputError
            If a worker cannot load a plug-in, has other sources of plausibench, or the
            scheduler is lost.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        sources = [(Path(file).name, Path(file).read_bytes()) for file in plugins]
        futures = {
            self.client.submit(
                _compute, pickle.dumps(job), sources, pure=False, retries=RETRIES
            ): job
            for job in todo
        }
        try:
            for future in as_completed(futures, loop=self.client.loop):
                job = futures.pop(future)
                try:
                    outcome = future.result()
                except KilledWorker:
                    yield job, KILLED
                    continue
                except (CancelledError, OSError) as error:
                    raise InputError(
                        "scheduler: the connection to the cluster was lost; what is done is kept, "
                        "and the same command goes on from there"
                    ) from error
                except (ImportError, InputError) as error:
                    raise InputError(f"scheduler: a worker cannot compute: {error}") from error
                if _versions(outcome.origin) != _versions(origin()):
                    raise InputError(
                        "scheduler: a worker has other sources of plausibench, or other versions "
                        f"of {', '.join(NUMERIC)}, than this process; install the same everywhere"
                    )
                yield job, outcome
        finally:
            self.client.cancel(list(futures))


def _versions(origin: Mapping[str, Any]) -> list[str]:
    """What the keys of jobs say of where they are computed."""
    return [origin["engine"], *(origin["libraries"][name] for name in NUMERIC)]


def _compute(packed: bytes, sources: list[tuple[str, bytes]]) -> Outcome:
    with _ALONE:
        _load(sources)
        # Not before: its function may be one of a plug-in.
        job: Job = pickle.loads(packed)
        return compute(job)


def _load(sources: list[tuple[str, bytes]]) -> None:
    """Load plug-ins from their text: the workers need not see the files of the driver."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (name, source) in enumerate(sources):
            path = Path(folder, str(number), name)
            path.parent.mkdir()
            path.write_bytes(source)
            paths.append(path)
        load(paths)

"""Compute units of work on a Dask cluster, whatever started it."""

import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from plausibench.bench import registry
from plausibench.bench.cell import Result
from plausibench.bench.cost import in_turn
from plausibench.bench.executor import Finished, Origin
from plausibench.bench.provenance import NUMERIC, provenance
from plausibench.bench.spec import Spec
from plausibench.bench.unit import Unit
from plausibench.bench.workers import KILLED, compute
from plausibench.kernels.errors import InputError, refusal, show

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10
"""Seconds to wait for a scheduler to answer."""

RETRIES = 3
"""How often a unit is begun again that could not be computed; lost workers are counted apart."""

Plugin = tuple[str, bytes]

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

    def results(self, todo: list[Unit], spec: Spec) -> Generator[Finished, None, None]:
        """As :meth:`Executor.results`; a unit that takes several workers down is a failed one.

        Raises
        ------
        InputError
            If a worker cannot load a plug-in, has other sources of plausibench, or the
            scheduler is lost.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        ours = _versions(provenance(sys.argv))
        plugins = [(Path(path).name, Path(path).read_bytes()) for path in spec.plugins]
        futures = {
            self.client.submit(
                _compute, unit, spec, plugins, sys.argv, pure=False, retries=RETRIES
            ): unit
            for unit in in_turn(todo, spec)
        }
        try:
            for future in as_completed(futures, loop=self.client.loop):
                unit = futures.pop(future)
                try:
                    result, origin = future.result()
                except KilledWorker:
                    yield unit, ("failed", KILLED, [], []), None
                    continue
                except (CancelledError, OSError) as error:
                    raise InputError(
                        "scheduler: the connection to the cluster was lost; what is done is kept, "
                        "and the same command goes on from there"
                    ) from error
                except (ImportError, InputError) as error:
                    raise InputError(f"scheduler: a worker cannot compute: {error}") from error
                if _versions(origin) != ours:
                    raise InputError(
                        "scheduler: a worker has other sources of plausibench, or other versions "
                        f"of {', '.join(NUMERIC)}, than this process; install the same everywhere"
                    )
                yield unit, result, origin
        finally:
            self.client.cancel(list(futures))


def _versions(origin: Origin) -> list[str]:
    """What the keys of records say of where they come from."""
    return [origin["engine"], *(origin["libraries"][name] for name in NUMERIC)]


def _compute(
    unit: Unit, spec: Spec, plugins: list[Plugin], command: list[str]
) -> tuple[Result, Origin]:
    with _ALONE:
        _load(plugins)
        return compute(unit, spec), provenance(command)


def _load(plugins: list[Plugin]) -> None:
    """Load plug-ins from their text: the workers need not see the files of the driver."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (name, source) in enumerate(plugins):
            path = Path(folder, str(number), name)
            path.parent.mkdir()
            path.write_bytes(source)
            paths.append(path)
        registry.load_plugins(paths)

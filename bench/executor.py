"""What computes units of work: this process, processes of this machine, or a cluster."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol

from plausibench.bench.cell import Result
from plausibench.bench.spec import Spec
from plausibench.bench.unit import Unit

Origin = Mapping[str, Any]
Finished = tuple[Unit, Result, Origin | None]


class Executor(Protocol):
    """Computes units in any order, in any place; the results are the same bits."""

    def results(self, todo: list[Unit], spec: Spec) -> Generator[Finished, None, None]:
        """Compute units; yield each as it finishes, with its result and where it was computed.

        The origin is None for a unit whose process died. Closing the generator ends the work.

        Raises
        ------
        InputError
            If there is nothing that can compute.
        """

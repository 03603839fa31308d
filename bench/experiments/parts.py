"""Independent parts of a study: computed in one process or in several, kept as they are done."""

import hashlib
import json
import os
from collections.abc import Callable, Generator
from concurrent.futures import Future, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plausibench.bench.folders import writing
from plausibench.bench.provenance import source_digest
from plausibench.bench.running.executor import workers
from plausibench.kernels.errors import InputError, integer

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """What to call, with its arguments; it returns rows of plain values.

    Parameters
    ----------
    label
        What progress calls it.
    work
        A function of a module; its result depends on the arguments alone.
    arguments
        Values, whose ``repr`` says all about them unless ``depends`` does.
    depends
        Text of everything that the rows depend on; by default the sources of the package, the
        function and its arguments.
    """

    label: str
    work: Callable[..., Rows]
    arguments: tuple[Any, ...] = ()
    depends: str = ""

    @property
    def key(self) -> str:
        """Digest of everything that the rows depend on."""
        called = f"{self.work.__module__}.{self.work.__qualname__}{self.arguments!r}"
        depends = self.depends or f"{source_digest()} {called}"
        return hashlib.sha256(depends.encode()).hexdigest()[:32]

    def rows(self) -> Rows:
        """Compute."""
        return self.work(*self.arguments)


def collect(
    todo: list[Part],
    jobs: int = 1,
    on_done: Callable[[str, int, int], None] | None = None,
    kept: Path | None = None,
    plugins: tuple[str, ...] = (),
) -> Rows:
    """Rows of all parts, in their order, whatever the number of processes.

    Parameters
    ----------
    todo
        The parts.
    jobs
        Processes.
    on_done
        Called with a label, the number of parts done and the number in all.
    kept
        JSON lines, one for each part, written as each is done; what stands there already is not
        computed again.
    plugins
        Plug-in files that the parts need.
    """
    jobs = integer("jobs", jobs, least=1)
    keys = [part.key for part in todo]
    found = {} if kept is None else _read(kept)
    missing = [part for part, key in zip(todo, keys, strict=True) if key not in found]
    done = len(todo) - len(missing)
    with closing(_computed(missing, jobs, plugins)) as results:
        for part, rows in results:
            found[part.key] = rows
            if kept is not None:
                _keep(kept, {"key": part.key, "rows": rows})
            done += 1
            if on_done is not None:
                on_done(part.label, done, len(todo))
    return [row for key in keys for row in found[key]]


def _read(path: Path) -> dict[str, Rows]:
    """Rows by key; a line that is none of ours, or was torn, is a part that is computed again."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"out: {path} cannot be read ({error.strerror})") from error
    found: dict[str, Rows] = {}
    for line in lines:
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
            if _is_part(record):
                found[record["key"]] = record["rows"]
    return found


def _is_part(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("key"), str)
        and isinstance(record.get("rows"), list)
        and all(isinstance(row, dict) for row in record["rows"])
    )


def _keep(path: Path, record: dict[str, Any]) -> None:
    # A line break in front ends a line that was torn.
    with writing(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n" + json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _computed(
    todo: list[Part], jobs: int, plugins: tuple[str, ...]
) -> Generator[tuple[Part, Rows], None, None]:
    """Each part with its rows, as it is done."""
    if jobs == 1 or len(todo) < 2:
        for part in todo:
            yield part, part.rows()
        return
    with workers(jobs, plugins) as pool:
        futures: dict[Future[Rows], Part] = {pool.submit(part.rows): part for part in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()

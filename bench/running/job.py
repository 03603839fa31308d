"""A job: a piece of independent work, and what becomes of it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from plausibench.bench.components import registry
from plausibench.bench.running.provenance import NUMERIC, digest, libraries, provenance
from plausibench.kernels.errors import Divergence, InputError, show
from plausibench.kernels.threads import one_blas_thread

Value = str | int | float | bool | None
Row = Mapping[str, Value]

SCHEMA = 2
"""Of what is kept of a job."""
STATUSES = ("done", "diverged", "failed", "unsupported")


@dataclass(frozen=True, eq=False)  # the key says whether two are the same
class Job:
    """What to call, and what tells its rows from those of other jobs.

    Parameters
    ----------
    about
        Identity: text, numbers or truth values, the first columns of its rows.
    work
        A function of a module. It yields rows of plain values; those that it yields before a
        network diverges are kept. What a generator returns is a remark on what is done.
    arguments
        Values, of which the rows depend on nothing but what they say: plain values, arrays,
        dataclasses, functions, and collections of them; of a path, on the content.
    depends
        Everything else that the rows depend on, besides the versions of numerical libraries: a
        digest of sources, the identity of data. By default the sources of the function, what they
        import, and all components with what these import.
    cost
        In any unit; jobs that cost more are computed first.
    reason
        Why it cannot run, if so.
    stands_for
        What the key holds in place of the identity and the arguments, where these name places of
        data that do not matter; by default those themselves.

    Raises
    ------
    InputError
        If a value of the identity is something else.
    """

    about: Row
    work: Callable[..., Iterable[Mapping[str, Any]]]
    arguments: tuple[Any, ...] = ()
    depends: str = ""
    cost: float = 0.0
    reason: str = ""
    stands_for: Any = None

    def __post_init__(self) -> None:
        about = plain(self.about)
        if None in about.values():
            raise InputError(f"job: {show(self.about)} is no identity; a value of it is not known")
        object.__setattr__(self, "about", about)

    @cached_property
    def key(self) -> str:
        """Digest of everything that the rows depend on.

        Raises
        ------
        InputError
            If it cannot be told what an argument says.
        """
        depends = {
            "schema": SCHEMA,
            "work": _told(self.work),
            "called": _told(self.stands_for or (self.about, self.arguments)),
            "depends": self.depends or _sources(self.work),
            "libraries": [libraries()[name] for name in NUMERIC],
            "reason": self.reason,
        }
        text = json.dumps(depends, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def label(self) -> str:
        """Its identity in a line."""
        return ", ".join(map(str, self.about.values()))


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    status
        One of ``STATUSES``.
    reason
        Why it is not done; of what is done, a remark or nothing.
    rows
        What was found, up to a divergence or a failure.
    seconds
        What it took.
    origin
        Versions and processor of the process that computed it; empty if that died.
    """

    status: str
    reason: str = ""
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    origin: Mapping[str, Any] = field(default_factory=dict)


def compute(job: Job) -> Outcome:
    """Do a job in this process.

    BLAS uses one thread, so that the last bits do not depend on their number. A network that
    diverges, and a component that raises, are outcomes.
    """
    if job.reason:
        return Outcome("unsupported", job.reason, origin=origin())
    rows: list[Row] = []
    status, started = "done", time.perf_counter()
    try:
        # On the way to divergence numbers overflow; that is looked for, not warned of.
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            reason = _collected(iter(job.work(*job.arguments)), rows)
    except Divergence as error:
        status, reason = "diverged", str(error)
    except InputError as error:  # says itself what is wrong
        status, reason = "failed", str(error)
    except Exception as error:  # noqa: BLE001 -- whatever a component raises is a result
        status, reason = "failed", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return Outcome(status, " ".join(reason.split()), rows, seconds, origin())


def _collected(found: Iterator[Mapping[str, Any]], rows: list[Row]) -> str:
    """Append what is found to the rows; return the remark at its end."""
    while True:
        try:
            rows.append(plain(next(found)))
        except StopIteration as end:
            return str(end.value or "")


def plain(row: Mapping[str, Any]) -> dict[str, Value]:
    """A row in types of the standard library; NaN and infinity are None, for nobody knows them.

    Raises
    ------
    InputError
        If a name is no text, or a value is neither text nor number nor truth value.
    """
    for name in row:
        if not isinstance(name, str):
            raise InputError(f"row: {show(name)} is not a text, as names of columns are")
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Real) and not math.isfinite(value):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise InputError(f"row: {name} is {show(value)}; allowed are text, numbers, true and false")


@cache
def origin() -> dict[str, Any]:
    """Versions, processor and sources of this process."""
    return {name: value for name, value in provenance([]).items() if name != "command"}


def _sources(work: Any) -> list[str]:
    try:
        return [registry.digest(work), digest(work.__module__, components=True)]
    except (AttributeError, KeyError, OSError) as error:
        raise InputError(
            f"job: the sources of {work.__qualname__} cannot be read; say by depends what its "
            "rows depend on"
        ) from error


def _told(value: Any) -> Any:
    """What a value says, for a digest: the same in every process and on every machine."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.generic):
        return _told(value.item())
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    # Everything else as an object with the name of its kind.
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = np.ascontiguousarray(value).tobytes()
        digest = hashlib.sha256(content).hexdigest()
        return {"array": [str(value.dtype), value.shape, digest]}
    if isinstance(value, Mapping):
        pairs = ([_told(name), _told(item)] for name, item in value.items())
        return {"mapping": sorted(pairs, key=json.dumps)}
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(_told, value), key=json.dumps)}
    if isinstance(value, Path):
        return {"content": _content(value)}
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: _told(getattr(value, f.name)) for f in fields(value)}
        return {"instance": [_told(type(value)), named]}
    if hasattr(value, "__qualname__") and "<" not in value.__qualname__:
        return {"name": f"{value.__module__}.{value.__qualname__}"}
    raise InputError(
        f"job: it cannot be told what the argument {show(value)} of type {type(value).__name__} "
        "says; allowed are plain values, arrays, paths, dataclasses, and functions of modules"
    )


def _content(path: Path) -> str:
    """Digest of a file, or of all files in a folder."""
    total = hashlib.sha256()
    try:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                name = file.relative_to(path).as_posix()
                total.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    except OSError as error:
        raise InputError(f"job: {file} cannot be read ({error.strerror})") from error
    return total.hexdigest()

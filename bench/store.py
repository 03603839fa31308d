"""A run directory: append-only records, one per finished unit of work.

``spec.toml`` says what was asked for, ``provenance.json`` where the results come from,
``results/*.jsonl`` hold the records and ``timings/*.jsonl`` what may differ between runs.
A record is written whole with one call and synced; a torn last line is dropped on reading.
Reading executes nothing that a file contains.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plausibench.bench.spec import Spec
from plausibench.kernels.errors import InputError, show

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number, or null."""
    if value is None:
        return True
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


Check = Callable[[Any], bool]
UNIT: dict[str, Check] = {
    "task": _is_text,
    "architecture": _is_text,
    "objective": _is_text,
    "rule": _is_text,
    "seed": _is_whole,
    "protocol": _is_text,
}
ROW: dict[str, Check] = {
    "step": _is_whole,
    "kind": _is_text,
    "projection": _is_text,
    "quantity": _is_text,
    "value": _is_number,
    "low": _is_number,
    "high": _is_number,
    "samples": _is_whole,
    "redrawn": _is_text,
    "reference": _is_text,
    "method": _is_text,
    "effective_dimension": _is_number,
    "flag": _is_text,
}
TIMING: dict[str, Check] = {"step": _is_whole, "seconds": _is_number}

IDENTITY = tuple(UNIT)
COLUMNS = (*UNIT, *ROW)
NUMBERS = tuple(name for name, check in ROW.items() if check is _is_number)
STATUSES = ("done", "diverged", "failed", "unsupported")

Record = dict[str, Any]


def encode(record: Mapping[str, Any]) -> bytes:
    """One line of canonical JSON; NaN and infinity become null."""
    text = json.dumps(_plain(record), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    """Types of the standard library: numbers may come from numpy."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return value


@dataclass(frozen=True)
class Run:
    """A run directory, read lazily."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """Open an existing run directory.

        Raises
        ------
        InputError
            If it is no run directory, is damaged, or was written by another version of the
            format.
        """
        path = Path(path)
        for name in ("spec.toml", "provenance.json"):
            if not os.path.isfile(path / name):
                raise InputError(f"run: {show(str(path))} is not a run directory; it lacks {name}")
        run = cls(path)
        found = run.provenance.get("schema")
        if found != SCHEMA:
            raise InputError(
                f"run: {path} has format {found!r}; this version reads format {SCHEMA}, so run it "
                "again in another folder"
            )
        return run

    @classmethod
    def create(cls, path: Path | str, spec: Spec, provenance: Mapping[str, Any]) -> "Run":
        """Make a run directory, or open one that holds the same specification.

        Raises
        ------
        InputError
            If the folder cannot be written, or holds something else.
        """
        path = Path(path)
        with _writable(path):
            if not os.path.exists(path / "spec.toml"):
                path.mkdir(parents=True, exist_ok=True)
                with _locked(path):
                    _fill(path, spec, provenance)
        run = cls.open(path)
        if run.spec != spec:
            raise InputError(
                f"out: {path} holds a run with another specification; choose another folder "
                "or delete it"
            )
        return run

    @cached_property
    def spec(self) -> Spec:
        """What was asked for; neither plug-ins nor other components are loaded."""
        return Spec.read(self.path / "spec.toml", components=False)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, processor, sources and command."""
        file = self.path / "provenance.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"run: {file} is damaged ({error})") from error
        if not isinstance(found, dict):
            raise InputError(f"run: {file} is damaged (not an object)")
        return found

    @cached_property
    def _records(self) -> list[Record]:
        found: dict[tuple[Any, ...], Record] = {}
        lines: dict[str, bytes] = {}
        for place, line, record in _lines(self.path / "results", _is_record):
            done = record["status"] != "failed"
            if done and lines.setdefault(record["key"], line) != line:
                raise InputError(
                    f"run: {place} has another result for a key that is already there; the "
                    "results come from different processors or versions"
                )
            found[_identity(record)] = record
        return sorted(found.values(), key=lambda record: record["order"])

    def records(self) -> list[Record]:
        """Finished records, one per unit of work, in the order of the specification.

        Of two records of a unit the later one counts: the earlier had failed, or came from
        sources that have changed since.

        Raises
        ------
        InputError
            If a line other than a torn last one is damaged, or one key has two contents.
        """
        return list(self._records)

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Tidy long table of every value, ordered by the specification."""
        import pandas as pd

        rows = [{**record["unit"], **row} for record in self._records for row in record["rows"]]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        for name in NUMBERS:
            frame[name] = frame[name].astype("float64")
        return frame

    @cached_property
    def units(self) -> "pd.DataFrame":
        """One row per unit of work: its identity, ``status`` and ``reason``."""
        import pandas as pd

        rows = [
            {**record["unit"], "status": record["status"], "reason": record["reason"]}
            for record in self._records
        ]
        return pd.DataFrame(rows, columns=[*UNIT, "status", "reason"])

    @cached_property
    def timings(self) -> "pd.DataFrame":
        """Wall seconds per unit and checkpoint; not part of the tables that reproduce."""
        import pandas as pd

        latest = {
            _identity(record): record for _, _, record in _lines(self.path / "timings", _is_timing)
        }
        rows = [{**record["unit"], **row} for record in latest.values() for row in record["rows"]]
        return pd.DataFrame(rows, columns=[*UNIT, *TIMING])

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Open the directory for appending, by one process at a time.

        Raises
        ------
        InputError
            If another process is writing to it, or it cannot be written.
        """
        with _locked(self.path):
            writer = Writer(self.path)
            try:
                yield writer
            finally:
                writer.close()


class Writer:
    """Appends to the shards of this process, from which a torn last line is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _writable(path):
            self.results = _shard(path / "results")
            self.timings = _shard(path / "timings")

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Say where the records that follow come from.

        Earlier ones that are kept agree in all that decides a result, or have another key.
        """
        with _writable(self.path):
            _publish(self.path / "provenance.json", _described(provenance))

    def add(self, record: Record, timing: Record) -> None:
        """Append a record and its timing, each whole and synced to disk.

        Raises
        ------
        InputError
            If the disk is full or the like.
        """
        with _writable(self.path):
            _append(self.results, encode(record))
            _append(self.timings, encode(timing))

    def close(self) -> None:
        """Close the shards."""
        os.close(self.results)
        os.close(self.timings)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"out: {show(str(path))} cannot be written ({reason})") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing; the system lifts the lock when this process ends."""
    import fcntl

    with _writable(path):
        lock = os.open(path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        with _writable(path):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"out: another process is writing to {path}; wait for it or choose another "
                    "folder"
                ) from error
        yield
    finally:
        os.close(lock)


def _fill(path: Path, spec: Spec, provenance: Mapping[str, Any]) -> None:
    """Make a folder a run directory, unless another process has done so meanwhile."""
    found = {name for name in os.listdir(path) if not name.startswith(".")}
    if "spec.toml" in found:
        return
    # What an interruption just here leaves behind is no hindrance.
    others = sorted(found - {"provenance.json"})
    if others:
        raise InputError(
            f"out: {path} is no run directory but holds {others[0]!r}; choose a new or an empty "
            "folder"
        )
    _publish(path / "provenance.json", _described(provenance))
    # The specification last: a folder that has it is complete.
    _publish(path / "spec.toml", spec.toml())


def _described(provenance: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **provenance}, indent=2) + "\n"


def _publish(file: Path, text: str) -> None:
    """Write a file that is either not there or whole, whenever the process is killed."""
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _shard(folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    file = folder / "driver.jsonl"
    handle = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.ftruncate(handle, file.read_bytes().rfind(b"\n") + 1)
    return handle


def _append(handle: int, line: bytes) -> None:
    written = os.write(handle, line)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes were written")
    os.fsync(handle)


def _lines(folder: Path, good: Callable[[Any], bool]) -> Iterator[tuple[str, bytes, Record]]:
    """Place, bytes and content of every line of a folder's shards."""
    for file in sorted(folder.glob("*.jsonl")):
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError as error:
            raise InputError(f"run: {file} cannot be read ({error.strerror})") from error
        # What follows the last line break is empty, or was torn by an interruption.
        for number, line in enumerate(lines[:-1], start=1):
            place = f"{file} line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"run: {place} is damaged ({error})") from error
            if not good(record):
                raise InputError(f"run: {place} is damaged (not a record of results)")
            yield place, line, record


def _identity(record: Record) -> tuple[Any, ...]:
    return tuple(record["unit"][name] for name in IDENTITY)


def _is_record(record: Any) -> bool:
    return (
        _is_of_unit(record, ROW)
        and record.get("status") in STATUSES
        and _is_text(record.get("reason"))
        and _is_whole(record.get("order"))
    )


def _is_timing(record: Any) -> bool:
    return _is_of_unit(record, TIMING)


def _is_of_unit(record: Any, columns: Mapping[str, Check]) -> bool:
    return (
        isinstance(record, dict)
        and _is_text(record.get("key"))
        and _has(record.get("unit"), UNIT)
        and isinstance(record.get("rows"), list)
        and all(_has(row, columns) for row in record["rows"])
    )


def _has(row: Any, columns: Mapping[str, Check]) -> bool:
    """Whether a row has exactly these columns, each with a value of its type."""
    return (
        isinstance(row, dict)
        and row.keys() == columns.keys()
        and all(check(row[name]) for name, check in columns.items())
    )

"""A run directory: append-only records, one per finished unit of work.

``spec.toml`` says what was asked for, ``provenance.json`` where the results come from,
``results/*.jsonl`` hold the records and ``timings/*.jsonl`` what may differ between runs.
A record is written whole with one call and synced; a torn last line is dropped on reading.
Reading executes nothing that a file contains.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plausibench.bench.spec import Spec
from plausibench.kernels.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

IDENTITY = ("task", "architecture", "objective", "rule", "seed", "protocol")
COLUMNS = (
    *IDENTITY,
    "step",
    "kind",
    "projection",
    "quantity",
    "value",
    "low",
    "high",
    "samples",
    "redrawn",
    "reference",
    "method",
    "effective_dimension",
    "flag",
)
NUMBERS = ("value", "low", "high", "effective_dimension")
STATUSES = ("done", "diverged", "failed", "unsupported")

Record = dict[str, Any]


def encode(record: Mapping[str, Any]) -> bytes:
    """One line of canonical JSON; NaN and infinity become null."""
    text = json.dumps(_plain(record), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
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
            If it is no run directory, or was written by another version of the format.
        """
        path = Path(path)
        if not (path / "spec.toml").is_file() or not (path / "provenance.json").is_file():
            raise InputError(
                f"run: {path} is not a run directory; it lacks spec.toml or provenance.json"
            )
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
        if (path / "spec.toml").exists():
            run = cls.open(path)
            if run.spec != spec:
                raise InputError(
                    f"out: {path} holds a run with another specification; choose another folder "
                    "or delete it"
                )
            return run
        try:
            for folder in ("results", "timings"):
                (path / folder).mkdir(parents=True, exist_ok=True)
            text = json.dumps({"schema": SCHEMA, **provenance}, indent=2) + "\n"
            (path / "provenance.json").write_text(text, encoding="utf-8")
            # The specification last: a folder that has it is complete.
            spec.write(path / "spec.toml")
        except OSError as error:
            raise InputError(f"out: {path} cannot be written ({error.strerror})") from error
        return cls(path)

    @cached_property
    def spec(self) -> Spec:
        """What was asked for."""
        return Spec.read(self.path / "spec.toml")

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, processor, sources and command."""
        file = self.path / "provenance.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"run: {file} is damaged ({error})") from error
        if not isinstance(found, dict):
            raise InputError(f"run: {file} is damaged (not an object)")
        return found

    def records(self) -> list[Record]:
        """Finished records, one per unit of work, in the order of the specification.

        Of two records of a unit the later one counts: the earlier had failed, or came from
        sources that have changed since.

        Raises
        ------
        InputError
            If a line other than a torn last one is damaged, or one key has two contents.
        """
        found: dict[tuple[Any, ...], Record] = {}
        lines: dict[str, bytes] = {}
        for file in sorted((self.path / "results").glob("*.jsonl")):
            for number, line, record in _lines(file):
                _check(record, file, number)
                done = record["status"] != "failed"
                if done and lines.setdefault(record["key"], line) != line:
                    raise InputError(
                        f"run: {file} line {number} has another result for a key that is already "
                        "there; the results come from different processors or versions"
                    )
                found[tuple(record["unit"][name] for name in IDENTITY)] = record
        return sorted(found.values(), key=lambda record: record["order"])

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Tidy long table of every value, ordered by the specification."""
        import pandas as pd

        rows = [
            {**{name: record["unit"][name] for name in IDENTITY}, **row}
            for record in self.records()
            for row in record["rows"]
        ]
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
            for record in self.records()
        ]
        return pd.DataFrame(rows, columns=[*IDENTITY, "status", "reason"])

    @cached_property
    def timings(self) -> "pd.DataFrame":
        """Wall seconds per unit and checkpoint; not part of the tables that reproduce."""
        import pandas as pd

        rows = [
            {**record["unit"], **row}
            for file in sorted((self.path / "timings").glob("*.jsonl"))
            for _, _, record in _lines(file)
            for row in record["rows"]
        ]
        return pd.DataFrame(rows)

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Open the directory for appending, by one process at a time.

        Raises
        ------
        InputError
            If another process is writing to it.
        """
        import fcntl

        lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    f"out: another process is writing to {self.path}; wait for it or choose "
                    "another folder"
                ) from error
            yield Writer(self.path)
        finally:
            os.close(lock)


class Writer:
    """Appends records to shards of its own process."""

    def __init__(self, path: Path) -> None:
        self.results = path / "results" / "driver.jsonl"
        self.timings = path / "timings" / "driver.jsonl"
        for file in (self.results, self.timings):
            _drop_torn_line(file)

    def add(self, record: Record, timing: Record) -> None:
        """Append a record and its timing, each whole and synced to disk."""
        _append(self.results, encode(record))
        _append(self.timings, encode(timing))


def _append(file: Path, line: bytes) -> None:
    handle = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    try:
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(f"{file}: only {written} of {len(line)} bytes were written")
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_torn_line(file: Path) -> None:
    with suppress(FileNotFoundError):
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)


def _lines(file: Path) -> Iterator[tuple[int, bytes, Record]]:
    content = file.read_bytes()
    lines = content.split(b"\n")
    # What follows the last line break is empty, or was torn by an interruption.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"run: {file} line {number} is damaged ({error})") from error
        yield number, line, record


def _check(record: Any, file: Path, number: int) -> None:
    good = (
        isinstance(record, dict)
        and isinstance(record.get("key"), str)
        and isinstance(record.get("unit"), dict)
        and set(IDENTITY) <= set(record["unit"])
        and record.get("status") in STATUSES
        and isinstance(record.get("reason"), str)
        and isinstance(record.get("order"), int)
        and isinstance(record.get("rows"), list)
        and all(isinstance(row, dict) for row in record["rows"])
    )
    if not good:
        raise InputError(f"run: {file} line {number} is damaged (not a record)")

"""A run directory: append-only records, one per finished unit of work.

``spec.toml`` says what was asked for, ``provenance.json`` where the results come from,
``sources.json`` what the components cite and the digest of each task's data,
``results/*.jsonl`` hold the records, ``timings/*.jsonl`` what may differ between runs, and
``origins/*.jsonl`` where the records of each file were computed. Each process writes files of its
own, locked by it where the system has such locks. A record is written whole with one call and
synced; a torn last line is dropped on reading. Files of other names are not read. Nothing depends
on a clock. Reading executes nothing that a file contains, and needs neither data nor plug-ins.
"""

import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plausibench.bench.folders import writing
from plausibench.bench.shards import EVERYTHING, Shard
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
SHARD_FILE = re.compile(r"(driver|shard-\d+-of-\d+)\.jsonl")
BINARY = getattr(os, "O_BINARY", 0)
"""Without it Windows would change the ends of lines."""
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
    def create(
        cls,
        path: Path | str,
        spec: Spec,
        provenance: Mapping[str, Any],
        sources: Mapping[str, Any] | None = None,
    ) -> "Run":
        """Make a run directory, or open one that holds the same specification.

        One that holds fewer seeds is extended, and plug-ins may lie elsewhere than before.

        Parameters
        ----------
        path
            Its folder.
        spec
            What is asked for.
        provenance
            Where the results come from.
        sources
            What readers need of components and data, as :attr:`sources` gives it.

        Raises
        ------
        InputError
            If the folder cannot be written, or holds something else.
        """
        path = Path(path)
        with writing(path):
            if not os.path.exists(path / "spec.toml"):
                path.mkdir(parents=True, exist_ok=True)
                # The tasks of a job array begin together: the first makes it, the others wait.
                with writing(path), _locked(path / ".lock", wait=True):
                    _fill(path, spec, provenance)
        run = cls.open(path)
        if run.spec != spec:
            with writing(path), _locked(path / ".lock", wait=True):
                run = cls.open(path)
                _refuse_other(run, spec)
                _publish(path / "spec.toml", spec.toml())
            run = cls.open(path)
        if sources is not None and run.sources != sources:
            with writing(path), _locked(path / ".lock", wait=True):
                _publish(path / "sources.json", json.dumps(sources, indent=2) + "\n")
        return run

    @cached_property
    def spec(self) -> Spec:
        """What was asked for; neither plug-ins nor other components are loaded."""
        return Spec.read(self.path / "spec.toml", components=False)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, processor, sources and command."""
        return _object(self.path / "provenance.json")

    @property
    def sources(self) -> dict[str, Any]:
        """``cites``, the sources that the components name, and ``data``, digests by task.

        Empty for a run of a version that did not keep them.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        file = self.path / "sources.json"
        if not os.path.isfile(file):
            return {}
        found = _object(file)
        cites, data = found.get("cites"), found.get("data")
        if not (
            isinstance(cites, list)
            and isinstance(data, dict)
            and all(map(_is_text, (*cites, *data.values())))
        ):
            raise InputError(f"run: {file} is damaged (not the sources of a run)")
        return {"cites": cites, "data": data}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that belong to whatever is shown of the run: what is missing or doubled.

        Raises
        ------
        InputError
            As :meth:`records`.
        """
        return (*self._missing(), *told(self._collected[1]))

    def _missing(self) -> Iterator[str]:
        spec, due = self.spec, trajectories(self.spec)
        have = [record["unit"]["rule"] for record in self._records]
        if len(have) >= due:
            return
        lost = [rule for rule in spec.rules if rule not in have]
        none = f", none of {', '.join(lost)}" if have and lost else ""
        yield (
            f"Incomplete: {len(have)} of {due} trajectories{none}. "
            f"plausibench run --resume {shlex.quote(str(self.path))} computes what is missing."
        )

    @cached_property
    def _collected(self) -> "tuple[list[Record], list[Double]]":
        return collect([self])

    @property
    def _records(self) -> list[Record]:
        return self._collected[0]

    def origins(self) -> list[dict[str, Any]]:
        """Where the records of each shard were computed: versions and processors.

        Raises
        ------
        InputError
            If a line other than a torn last one is damaged.
        """
        files = shard_files(self.path / "origins")
        return [origin for file in files for _, origin in _lines(file, _is_origin)]

    def records(self) -> list[Record]:
        """Finished records, one per unit of work, in the order of the specification.

        Of two records of a unit in one shard the later one counts: the earlier had failed, or
        came from sources that have changed since. Of two in different shards the one counts
        that has not failed, or else the first: on another processor the last bits differ, which
        :attr:`notes` tells.

        Raises
        ------
        InputError
            If a line other than a torn last one is damaged, or two shards have results of one
            unit from different sources.
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

    def timing_records(self) -> dict[str, Record]:
        """Latest timing of each unit of work, by the key of its record.

        Raises
        ------
        InputError
            If a line other than a torn last one is damaged.
        """
        latest = {
            _identity(record): record
            for file in shard_files(self.path / "timings")
            for _, record in _lines(file, _is_timing)
        }
        return {record["key"]: record for record in latest.values()}

    @cached_property
    def timings(self) -> "pd.DataFrame":
        """Wall seconds per unit and checkpoint; not part of the tables that reproduce."""
        import pandas as pd

        records = self.timing_records().values()
        rows = [{**record["unit"], **row} for record in records for row in record["rows"]]
        return pd.DataFrame(rows, columns=[*UNIT, *TIMING])

    @contextmanager
    def writing(self, shard: Shard = EVERYTHING) -> Iterator["Writer"]:
        """Open the directory for appending: one process for the whole, or one a shard.

        Raises
        ------
        InputError
            If another process is writing to it, or it cannot be written.
        """
        with ExitStack() as locks:
            for name, shared in _locks(shard):
                with writing(self.path):
                    lock = _locked(self.path / name, shared=shared)
                    try:
                        locks.enter_context(lock)
                    except BlockingIOError as error:
                        part = "" if shard.of == 1 or shared else f"shard {shard} of "
                        raise InputError(
                            f"out: another process is writing to {part}{self.path}; wait for it "
                            "or choose another folder"
                        ) from error
            writer = Writer(self.path, shard)
            try:
                yield writer
            finally:
                writer.close()


class Writer:
    """Appends to the files of a shard, from which a torn last line is dropped."""

    def __init__(self, path: Path, shard: Shard = EVERYTHING) -> None:
        self.path = path
        self.shard = shard
        self.known: set[bytes] = set()
        with writing(path):
            self.results = _shard(path / "results", shard.name)
            self.timings = _shard(path / "timings", shard.name)
            self.origins = _shard(path / "origins", shard.name)

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Say where the records that follow come from.

        Earlier ones that are kept agree in all that decides a result, or have another key.
        """
        with writing(self.path):
            _publish(self.path / "provenance.json", _described(provenance))

    def add(self, record: Record, timing: Record | None) -> None:
        """Append a record and its timing if that is known, each whole and synced to disk.

        Raises
        ------
        InputError
            If the disk is full or the like.
        """
        with writing(self.path):
            _append(self.results, encode(record))
            if timing is not None:
                _append(self.timings, encode(timing))

    def come_from(self, origin: Mapping[str, Any]) -> None:
        """Append where the records that follow were computed, once.

        Raises
        ------
        InputError
            If the disk is full or the like.
        """
        line = encode({"shard": str(self.shard), **origin})
        if line not in self.known:
            with writing(self.path):
                _append(self.origins, line)
            self.known.add(line)

    def close(self) -> None:
        """Close the files."""
        for handle in (self.results, self.timings, self.origins):
            os.close(handle)


Double = tuple[str, str, float]
"""Place of the result that counts, of another one, and how far they are apart."""


def trajectories(spec: Spec) -> int:
    """How many trajectories a specification asks for; nothing is loaded or looked up."""
    pairs = 1 if spec.pairing == "first" else len(spec.architectures) * len(spec.objectives)
    cells = sum(len(spec.tasks_for(rule)) for rule in spec.rules)
    return cells * pairs * len(spec.protocols) * spec.seeds


def shard_files(folder: Path) -> list[Path]:
    """Files of a run in a folder, by name; what else lies there is not ours."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"run: {folder} cannot be read ({error.strerror})") from error
    return [folder / name for name in sorted(names) if SHARD_FILE.fullmatch(name)]


def same_data(first: Run, other: Run) -> dict[str, str]:
    """Names that tasks of another run have in the first, where the data are the same.

    The files may lie elsewhere: the digests that both runs keep decide.
    """
    named = {digest: task for task, digest in first.sources.get("data", {}).items()}
    data: dict[str, str] = other.sources.get("data", {})
    tasks = first.spec.every_task()
    return {t: named[d] for t, d in data.items() if d in named and t not in tasks}


def collect(runs: Sequence[Run], besides: Shard | None = None) -> tuple[list[Record], list[Double]]:
    """Finished records of run directories, one per unit of work, in the order of the first.

    Those of the shard ``besides`` are left out. Second come the units with two results, of which
    the first counts.

    Raises
    ------
    InputError
        As :meth:`Run.records`, across the shards of all directories.
    """
    found: dict[tuple[Any, ...], tuple[str, Record]] = {}
    doubles: list[Double] = []
    for run in runs:
        names = {} if run is runs[0] else same_data(runs[0], run)
        for file in shard_files(run.path / "results"):
            if besides is not None and file.stem == besides.name:
                continue
            for identity, (place, record) in _latest(file, names, doubles).items():
                before = found.get(identity)
                if before is None or before[1]["status"] == "failed":
                    found[identity] = place, record
                elif record["status"] == "failed":
                    continue
                elif record["key"] == before[1]["key"]:
                    _note_double(before, (place, record), doubles)
                else:
                    raise InputError(
                        f"run: {place} has a result from other sources or versions than "
                        f"{before[0]}; put one of the two files aside, or run it again in another "
                        "folder"
                    )
    return sorted((record for _, record in found.values()), key=_places(runs[0].spec)), doubles


def _latest(
    file: Path, names: Mapping[str, str], doubles: list[Double]
) -> dict[tuple[Any, ...], tuple[str, Record]]:
    """The record of each unit in a file that counts, with its place; tasks are named anew."""
    latest: dict[tuple[Any, ...], tuple[str, Record]] = {}
    for place, record in _lines(file, _is_record):
        unit = record["unit"]
        entry = place, {**record, "unit": {**unit, "task": names.get(unit["task"], unit["task"])}}
        before = latest.setdefault(_identity(entry[1]), entry)
        finished = "failed" not in (record["status"], before[1]["status"])
        if finished and record["key"] == before[1]["key"]:
            _note_double(before, entry, doubles)
        else:
            latest[_identity(entry[1])] = entry
    return latest


def _note_double(
    before: tuple[str, Record], other: tuple[str, Record], doubles: list[Double]
) -> None:
    if _content(before[1]) != _content(other[1]):
        doubles.append((before[0], other[0], _apart(before[1], other[1])))


def _places(spec: Spec) -> Callable[[Record], Any]:
    """Where a record stands in the order of a specification."""
    lists = (spec.every_task(), spec.rules, spec.architectures, spec.objectives, spec.protocols)
    places = [{name: number for number, name in enumerate(names)} for names in lists]

    def place(record: Record) -> Any:
        unit = record["unit"]
        names = ("task", "rule", "architecture", "objective", "protocol")
        *before, protocol = (
            (known.get(unit[name], len(known)), unit[name])
            for known, name in zip(places, names, strict=True)
        )
        return (*before, unit["seed"], protocol)

    return place


def _content(record: Record) -> tuple[Any, ...]:
    return record["status"], record["reason"], record["rows"]


def _apart(one: Record, other: Record) -> float:
    """Largest relative difference of two results; infinite if they differ in more than values."""
    named = [
        [{**row, **dict.fromkeys(NUMBERS)} for row in record["rows"]] for record in (one, other)
    ]
    if named[0] != named[1] or one["status"] != other["status"]:
        return math.inf
    pairs = [(a["value"], b["value"]) for a, b in zip(one["rows"], other["rows"], strict=True)]
    if any((a is None) != (b is None) for a, b in pairs):
        return math.inf
    return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a != b), default=0.0)


def told(doubles: Sequence[Double]) -> Iterator[str]:
    """Tell of results that are there twice, and not the same: a sentence, or none."""
    if not doubles:
        return
    counts, other, _ = doubles[0]
    most = max(apart for *_, apart in doubles)
    how = "in more than values" if most == math.inf else f"by up to {most:.1e} of a value"
    many = "A trajectory has" if len(doubles) == 1 else f"{len(doubles)} trajectories have"
    yield (
        f"{many} two results, from different processors or versions, which differ {how}; the "
        f"first counts ({counts}, not {other})."
    )


def _refuse_other(run: Run, spec: Spec) -> None:
    """Refuse a specification unless it only has more seeds, or plug-ins that lie elsewhere."""
    before, after = run.spec.as_dict(), spec.as_dict()
    changed = [name for name in before if before[name] != after[name] and name != "plugins"]
    if changed == ["seeds"] and spec.seeds > run.spec.seeds:
        return
    for name in changed:
        raise InputError(
            f"out: {run.path} holds a run with another specification ({name} is "
            f"{show(before[name])}, not {show(after[name])}); choose another folder or delete it"
        )


def _locks(shard: Shard) -> list[tuple[str, bool]]:
    """Files to lock for a shard, each with whether other shards may lock it, too."""
    if shard.of == 1:
        return [(".lock-writers", False)]
    return [(".lock-writers", True), (f".lock-{shard.name}", False)]


@contextmanager
def _locked(file: Path, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Keep other processes out; the system lifts the lock when this process ends.

    Windows has no such locks: there nothing keeps others out.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(lock, mode if wait else mode | fcntl.LOCK_NB)
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
    with draft.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _shard(folder: Path, name: str) -> int:
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.jsonl"
    handle = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY | BINARY, 0o644)
    os.ftruncate(handle, file.read_bytes().rfind(b"\n") + 1)
    return handle


def _append(handle: int, line: bytes) -> None:
    written = os.write(handle, line)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes were written")
    os.fsync(handle)


def _object(file: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"run: {file} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"run: {file} is damaged (not an object)")
    return found


def _lines(file: Path, good: Callable[[Any], bool]) -> Iterator[tuple[str, Record]]:
    """Place and content of every line of a file."""
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
            raise InputError(f"run: {place} is damaged (not a record)")
        yield place, record


def _identity(record: Record) -> tuple[Any, ...]:
    return tuple(record["unit"][name] for name in IDENTITY)


def _is_record(record: Any) -> bool:
    return (
        _is_of_unit(record, ROW)
        and record.get("status") in STATUSES
        and _is_text(record.get("reason"))
    )


def _is_origin(origin: Any) -> bool:
    return (
        isinstance(origin, dict)
        and all(isinstance(origin.get(name), str) for name in ("python", "processor"))
        and isinstance(origin.get("libraries"), dict)
        and all(isinstance(version, str) for version in origin["libraries"].values())
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

"""A run directory: what is due, and one file for each job that is finished.

``study.toml`` names the study with its options, ``jobs.json`` lists the jobs that are due, in
order, and ``sources.json`` says what their components cite and which data they have.
``records/KEY.json`` is what became of a job, ``origins/KEY.json`` where it was computed and in how
long: what may differ when all else is the same. The key is a digest of everything that the rows
depend on. Every file is whole or not there, and two processes that do one job write the same
record: so nothing is locked, and to copy records is to merge. Nothing depends on a clock. Reading
executes nothing that a file contains, and opens no file but these.
"""

import os
import shlex
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plausibench.bench.running.files import decoded, encode, publish
from plausibench.bench.running.folders import writing
from plausibench.bench.running.job import SCHEMA, STATUSES, Job, Outcome, Row
from plausibench.kernels.errors import InputError, counted, show

if TYPE_CHECKING:
    import pandas as pd

STUDY, JOBS, SOURCES = "study.toml", "jobs.json", "sources.json"
RECORDS, ORIGINS = "records", "origins"
OUTDATED = {
    "spec.toml": "run {file}",
    "study.json": "run {study}",
    "replications.json": "replicate --all",
}
"""What makes a directory one of format 1, with the command that made it."""
NOTHING: dict[str, Any] = {"cites": [], "data": {}}
"""Sources of a run whose components cite nothing and have no data."""
SAID = 5
"""Values of a column that are named where no job is finished of them; runs in a folder."""


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
            If it is no run directory, is damaged, or has another version of the format.
        """
        run = cls(Path(path))
        if not os.path.isfile(run.path / STUDY):
            _refuse_outdated(run.path)
            raise InputError(
                f"run: {show(str(path))} is not a run directory; it lacks {STUDY}"
                f"{_runs_below(run.path)}"
            )
        schema = run._header.get("schema")
        if schema != SCHEMA:
            raise InputError(
                f"run: {path} has format {schema!r}; this version of plausibench reads and writes "
                f"format {SCHEMA}"
            )
        if [type(run._header.get(name)) for name in ("study", "options")] != [str, dict]:
            raise InputError(f"run: {run.path / STUDY} is damaged (no study with its options)")
        return run

    @classmethod
    def create(
        cls,
        path: Path | str,
        study: str,
        options: Any,
        due: Mapping[str, Row],
        plugins: Iterable[str] = (),
        sources: Mapping[str, Any] | None = None,
    ) -> "Run":
        """Make a run directory, or open one of the same study with the same options.

        One with fewer seeds gets the options with more.

        Parameters
        ----------
        path
            A new or an empty folder, or that of the run.
        study
            Name of the study.
        options
            A dataclass, or a mapping.
        due
            Jobs that are due, in order: identity by key.
        plugins
            Files that define components or the study; told, and not compared: they may lie
            elsewhere than before.
        sources
            As :attr:`sources` gives it.

        Raises
        ------
        InputError
            If the folder cannot be written, or holds something else.
        """
        path, values = Path(path), plain_options(options)
        files = [os.path.abspath(os.path.expanduser(file)) for file in plugins]
        header = {"schema": SCHEMA, "study": study, "plugins": files, "options": values}
        if not os.path.isfile(path / STUDY):
            _refuse_foreign(path)
            with writing(path):
                publish(path / JOBS, _listed(due))
                publish(path / SOURCES, encode(sources or NOTHING))
                # Last: a folder that has it is complete.
                publish(path / STUDY, _toml(header).encode())
        run = cls.open(path)
        grown = _has_more_seeds(values, run.options)
        kept = {**run.options, "seeds": values["seeds"]} if grown else run.options
        if difference := _difference(study, values, run.study, kept):
            raise InputError(f"out: {path} holds another run, {difference}; choose another folder")
        moved = bool(files) and run.plugins != tuple(files)
        if grown or moved:
            header["plugins"] = files or list(run.plugins)
            with writing(path):
                publish(path / STUDY, _toml(header).encode())
            run = cls.open(path)
        return run

    def differs(self, study: str, options: Mapping[str, Any]) -> str:
        """In what it differs from what is asked for, or nothing."""
        return _difference(study, options, self.study, self.options)

    @property
    def study(self) -> str:
        """Name of the study."""
        return self._header["study"]

    @property
    def options(self) -> dict[str, Any]:
        """Options of the study, as plain values; what is None is left out."""
        return self._header["options"]

    @property
    def plugins(self) -> tuple[str, ...]:
        """Plug-in files with which it was begun."""
        return tuple(map(str, self._header.get("plugins", ())))

    @cached_property
    def _header(self) -> dict[str, Any]:
        file = self.path / STUDY
        try:
            return tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"run: {file} is damaged ({error})") from error

    @cached_property
    def due(self) -> dict[str, Row]:
        """Jobs that are due, in order: identity by key.

        Raises
        ------
        InputError
            If the list is missing or damaged.
        """
        listed = decoded(self.path / JOBS, _is_list_of_jobs)
        if listed is None:
            raise InputError(f"run: {self.path} lacks {JOBS}; the command that made it mends it")
        return {job["key"]: job["about"] for job in listed}

    def expects(self, due: Mapping[str, Row]) -> bool:
        """Whether just these jobs are due."""
        try:
            return list(self.due.items()) == list(due.items())
        except InputError:
            return False

    def expecting(self, due: Mapping[str, Row], sources: Mapping[str, Any] | None = None) -> "Run":
        """The directory with these jobs due, in place of those of former sources."""
        with writing(self.path):
            publish(self.path / SOURCES, encode(sources or NOTHING))
            publish(self.path / JOBS, _listed(due))
        return Run(self.path)

    @cached_property
    def sources(self) -> dict[str, Any]:
        """``cites``, the sources that the components name, and ``data``, digests by task.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        kept: dict[str, Any] | None = decoded(self.path / SOURCES, _is_sources)
        return NOTHING if kept is None else kept

    @property
    def finished(self) -> int:
        """Number of jobs due of which there is a record, whatever their status."""
        try:
            names = os.listdir(self.path / RECORDS)
        except FileNotFoundError:
            return 0
        return len({f"{key}.json" for key in self.due}.intersection(names))

    def file(self, key: str, folder: str = RECORDS) -> Path:
        """Where the record of a job is, whether it is there or not; or its origin."""
        return self.path / folder / f"{key}.json"

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Write what became of a job, durably.

        Raises
        ------
        InputError
            If the disk is full or the like.
        """
        origin = {"seconds": outcome.seconds, "command": sys.argv, **outcome.origin}
        self.put(job.key, encode_record(job.key, job.about, outcome), encode(origin))

    def put(self, key: str, record: bytes, origin: bytes | None) -> None:
        """Write the files of a job."""
        with writing(self.path):
            if origin is not None:
                publish(self.file(key, ORIGINS), origin, durable=False)
            publish(self.file(key), record)

    def read(self, key: str) -> Outcome | None:
        """What became of a job that is due, its origin apart; None if it is not finished.

        Raises
        ------
        InputError
            If the record is damaged.
        """
        about = self.due[key]
        record = decoded(self.file(key), lambda content: _is_record(content, key, about))
        return record and Outcome(record["status"], record["reason"], record["rows"])

    @cached_property
    def records(self) -> dict[str, Outcome]:
        """Finished jobs by key, in the order in which they are due.

        Raises
        ------
        InputError
            If one is damaged.
        """
        return {key: record for key in self.due if (record := self.read(key)) is not None}

    @cached_property
    def origins(self) -> dict[str, dict[str, Any]]:
        """Where finished jobs were computed, and in how many ``seconds``, by key.

        One that is missing or damaged is not known: nothing depends on it.
        """
        found = {}
        for key in self.due:
            with suppress(InputError):
                found[key] = decoded(self.file(key, ORIGINS), lambda origin: type(origin) is dict)
        return {key: origin for key, origin in found.items() if origin is not None}

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Tidy long table: identity and row, job by job; what is not known is NaN."""
        rows = (
            {**self.due[key], **row} for key, record in self.records.items() for row in record.rows
        )
        return _frame(rows, self._identity)

    @cached_property
    def jobs(self) -> "pd.DataFrame":
        """One row for a job: identity, ``status`` (``due`` if it is not finished), ``reason``."""
        unfinished = Outcome("due")
        rows = (
            {**about, "status": outcome.status, "reason": outcome.reason}
            for key, about in self.due.items()
            for outcome in [self.records.get(key, unfinished)]
        )
        return _frame(rows, (*self._identity, "status", "reason"))

    @property
    def timings(self) -> "pd.DataFrame":
        """Identity of finished jobs and wall seconds; not part of the tables that reproduce."""
        rows = (
            {**self.due[key], "seconds": origin.get("seconds")}
            for key, origin in self.origins.items()
        )
        return _frame(rows, (*self._identity, "seconds"))

    @property
    def _identity(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for about in self.due.values() for name in about))

    def remarks(self) -> list[str]:
        """What whoever reads the results has to know: that some are missing or mixed."""
        return [*self._missing(), *filter(None, [differences(self.origins.values())])]

    def _missing(self) -> Iterator[str]:
        finished, due = self.finished, len(self.due)
        if finished < due:
            resume = f"plausibench run --resume {shlex.quote(str(self.path))}"
            yield (
                f"{finished} of {counted(due, 'job')} of {self.path} are finished{self._absent()}; "
                f"{resume} computes what is missing."
            )

    def _absent(self) -> str:
        """What no job is finished of, such as a rule, where some are of others."""
        there = [about for key, about in self.due.items() if self.file(key).exists()]
        said = []
        for name in self._identity if there else ():
            values = dict.fromkeys(about.get(name) for about in self.due.values())
            seen = {about.get(name) for about in there}
            lost = [value for value in values if isinstance(value, str) and value not in seen]
            said += [f"none with {name} {', '.join(lost[:SAID])}"] if lost else []
        return "".join(f", {part}" for part in said)


def encode_record(key: str, about: Row, outcome: Outcome) -> bytes:
    """What is kept of a job: all that is the same wherever it is computed, and a digest of it."""
    content = {
        "key": key,
        "about": about,
        "status": outcome.status,
        "reason": outcome.reason,
        "rows": outcome.rows,
    }
    return encode(signed(content))


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its digest, by which a changed letter or digit is known."""
    bare = {name: value for name, value in content.items() if name != "digest"}
    return {**bare, "digest": blake2b(encode(bare), digest_size=8).hexdigest()}


def differences(origins: Iterable[Mapping[str, Any]]) -> str:
    """One sentence on processors and versions that differ between origins; empty if none do."""
    values: dict[str, set[str]] = {}
    for origin in origins:
        libraries = origin.get("libraries")
        versions = libraries if isinstance(libraries, dict) else {}
        for name, value in {**origin, **versions}.items():
            if isinstance(value, str) and name in ("processor", "python", *versions):
                values.setdefault(name, set()).add(value)
    several = [f"{name} ({', '.join(sorted(v))})" for name, v in values.items() if len(v) > 1]
    if not several:
        return ""
    return (
        f"Results come from different {' and '.join(several)}: they may differ in the last bits "
        "from a run on one machine."
    )


def _difference(
    study: str, options: Mapping[str, Any], kept_study: str, kept_options: Mapping[str, Any]
) -> str:
    """In what a study with options differs from the one that is kept, or nothing."""
    asked = {"study": study, **options}
    kept = {"study": kept_study, **kept_options}
    for name in dict.fromkeys([*asked, *kept]):
        if asked.get(name) != kept.get(name):
            return f"with {name} {show(kept.get(name))}, not {show(asked.get(name))}"
    return ""


def _has_more_seeds(options: Mapping[str, Any], former: Mapping[str, Any]) -> bool:
    before, after = former.get("seeds"), options.get("seeds")
    return isinstance(before, int) and isinstance(after, int) and before < after


def same_data(first: Run, other: Run) -> dict[str, str]:
    """Names that tasks of another run have in the first, where the data are the same.

    The files may lie elsewhere: the digests that both runs keep decide.
    """
    named = {digest: task for task, digest in first.sources["data"].items()}
    data: dict[str, str] = other.sources["data"]
    return {
        task: named[digest]
        for task, digest in data.items()
        if digest in named and task not in first.sources["data"]
    }


def plain_options(options: Any) -> dict[str, Any]:
    """Options as they come back from a file."""
    return tomllib.loads(_toml(_plain(options)))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _toml(values: Mapping[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(values)


def _listed(due: Mapping[str, Row]) -> bytes:
    """A job a line."""
    lines = [encode({"key": key, "about": about}).rstrip() for key, about in due.items()]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def _is_list_of_jobs(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(job, dict) and _is_key(job.get("key")) and _is_row(job.get("about"))
        for job in content
    )


def _is_key(content: Any) -> bool:
    """Whether it can be the key of a job, which names files."""
    return isinstance(content, str) and 0 < len(content) <= 64 and content.isalnum()


def _is_sources(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    cites, data = content.get("cites"), content.get("data")
    return (
        isinstance(cites, list)
        and isinstance(data, dict)
        and all(isinstance(text, str) for text in (*cites, *data.values()))
    )


def _is_record(content: Any, key: str, about: Row) -> bool:
    return (
        isinstance(content, dict)
        and content.get("key") == key
        and content.get("about") == about
        and content.get("status") in STATUSES
        and isinstance(content.get("reason"), str)
        and isinstance(content.get("rows"), list)
        and all(map(_is_row, content["rows"]))
        and content == signed(content)
    )


def _is_row(content: Any) -> bool:
    return isinstance(content, dict) and all(map(_is_value, content.values()))


def _is_value(content: Any) -> bool:
    """Whether it is text, a truth value, a finite number, or null."""
    if content is None or isinstance(content, str):
        return True
    return isinstance(content, int | float) and abs(content) <= sys.float_info.max


def _frame(rows: Iterable[Row], first: Iterable[str]) -> "pd.DataFrame":
    """Table with these columns first; what a row lacks or nobody knows is NaN."""
    import pandas as pd

    nan = float("nan")
    columns: dict[str, list[Any]] = {name: [] for name in first}
    for number, row in enumerate(rows):
        columns |= {name: [nan] * number for name in row if name not in columns}
        for name, column in columns.items():
            value = row.get(name)
            column.append(nan if value is None else value)
    return pd.DataFrame(columns)


def _runs_below(path: Path) -> str:
    """Which run directories lie in a folder, such as those of the stages of a study."""
    if not os.path.isdir(path):
        return ""
    files = [file for depth in ("*", "*/*") for file in sorted(path.glob(f"{depth}/{STUDY}"))]
    named = ", ".join(shlex.quote(str(file.parent)) for file in files[:SAID])
    return f"; there are {named}" if files else ""


def _refuse_outdated(path: Path) -> None:
    for name, command in OUTDATED.items():
        if os.path.isfile(path / name):
            file = path / name
            anew = command.format(file=shlex.quote(str(file)), study=_former_study(file))
            raise InputError(
                f"run: {path} has format 1, of an older version; compute it anew: plausibench "
                f"{anew} --out {shlex.quote(f'{path}-2')}"
            )


def _former_study(file: Path) -> str:
    """Name of the study in a file of format 1."""
    with suppress(InputError):
        if about := decoded(file, lambda content: isinstance(content, dict)):
            return shlex.quote(str(about.get("experiment", "STUDY")))
    return "STUDY"


def _refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds more than interruptions leave behind, and other runs."""
    _refuse_outdated(path)
    with writing(path):
        names = sorted(os.listdir(path)) if path.exists() else []
    for name in names:
        ours = name.startswith(".") or name in (JOBS, SOURCES)
        if not ours and not os.path.isfile(path / name / STUDY):
            raise InputError(
                f"out: {path} is no run directory but holds {name!r}; choose a new or an empty "
                "folder"
            )

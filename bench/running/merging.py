"""Merge run directories of one study: their records are copied."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plausibench.bench.running.store import ORIGINS, STUDY, Run, differences, encode_record
from plausibench.kernels.errors import InputError


def merge(paths: Sequence[Path], out: Path) -> tuple[Run, list[str]]:
    """Merge run directories of one study with the same options into a new one.

    Data that lie elsewhere, and are the same, are those of the first. Of two results of a job one
    that failed gives way. On another processor the last bits may differ: then the first counts,
    and it is told.

    Returns
    -------
    Run, list of str
        The new directory, and a sentence on each one of which results do not count.

    Raises
    ------
    InputError
        If a directory cannot be read, they do not have one study with the same options and
        sources, results differ that should be the same, or ``out`` already holds a run or cannot
        be written.
    """
    runs = [Run.open(path) for path in paths]
    first = runs[0]
    for run in runs[1:]:
        _refuse_other(run, first)
    if (out / STUDY).exists():
        raise InputError(f"out: {out} holds a run already; choose a new or an empty folder")
    chosen: dict[str, Run] = {}
    outvoted: Counter[tuple[Path, Path]] = Counter()
    for run in runs:
        for key, record in run.records.items():
            former = chosen.setdefault(key, run)
            other = former.records[key]
            if other.status == "failed":
                chosen[key] = run
            elif record != other and record.status != "failed":
                _refuse_unexplained(key, former, run)
                outvoted[run.path, former.path] += 1
    merged = Run.create(out, first.study, first.options, first.due, first.plugins, first.sources)
    for key, run in chosen.items():
        origin = run.file(key, ORIGINS)
        known = origin.read_bytes() if key in run.origins else None
        merged.put(key, encode_record(key, first.due[key], run.records[key]), known)
    return merged, [
        f"{count} of the results in {path} differ in the last bits; those in {former} count."
        for (path, former), count in outvoted.items()
    ]


def _refuse_other(run: Run, first: Run) -> None:
    # The keys say all that results depend on, and not where data and plug-ins lie.
    if run.study == first.study and list(run.due) == list(first.due):
        return
    if difference := run.differs(first.study, first.options):
        raise InputError(f"run: {run.path} is not of the run {first.path} but one {difference}")
    raise InputError(
        f"run: {run.path} was made with other sources, data or versions of libraries than "
        f"{first.path}; run the command of one of them again, and it is brought up to date"
    )


def _refuse_unexplained(key: str, one: Run, two: Run) -> None:
    """Refuse results that differ though they come from one processor and the same versions."""
    if not differences(run.origins.get(key, {}) for run in (one, two)):
        raise InputError(
            f"run: {two.file(key)} and {one.file(key)} are of one job and differ, and no "
            "processor or version explains it; delete the one that is wrong"
        )

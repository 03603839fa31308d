"""Merge run directories of one specification, and say where their results come from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plausibench.bench.store import Run, collect, same_data, told
from plausibench.kernels.errors import InputError, show


def merge(paths: Sequence[Path], out: Path, on_note: Callable[[str], object] | None = None) -> Run:
    """Merge run directories, each with any number of shards, into a new one.

    The records are written in the order of the specification: where all units are there, the
    file is that of a run of one process. Where each shard was computed is kept. Tasks whose data
    are the same have the names of the first directory; plug-ins may lie elsewhere.

    Parameters
    ----------
    paths
        The run directories; of two results for one unit the first counts.
    out
        The new one.
    on_note
        Called with a sentence on each thing that a reader must know: what is missing, and
        results that differ.

    Raises
    ------
    InputError
        If a directory cannot be read, they do not have one specification, or ``out`` already
        holds a run or cannot be written.
    """
    runs = [Run.open(path) for path in paths]
    for run in runs[1:]:
        _refuse_other(run, runs[0])
    records, doubles = collect(runs)
    timings = {key: record for run in runs for key, record in run.timing_records().items()}
    origins = [origin for run in runs for origin in run.origins()]
    if (out / "spec.toml").exists():
        raise InputError(f"out: {out} holds a run already; choose a new or an empty folder")
    merged = Run.create(out, runs[0].spec, runs[0].provenance, runs[0].sources or None)
    with merged.writing() as writer:
        for origin in origins:
            writer.come_from(origin)
        for record in records:
            timing = timings.get(record["key"])
            writer.add(record, None if timing is None else {**timing, "unit": record["unit"]})
    if on_note is not None:
        for note in (*told(doubles), differences(origins), *merged.notes):
            if note:
                on_note(note)
    return merged


def _refuse_other(run: Run, first: Run) -> None:
    names = same_data(first, run)
    one, other = first.spec.as_dict(), run.spec.as_dict()
    other["tasks"] = [names.get(task, task) for task in other["tasks"]]
    for name, value in one.items():
        # The keys of the records know the sources of plug-ins, wherever they lie.
        if other[name] != value and name != "plugins":
            raise InputError(
                f"run: {run.path} has another specification than {first.path}: {name} is "
                f"{show(other[name])}, not {show(value)}"
            )


def differences(origins: Iterable[Mapping[str, Any]]) -> str:
    """One sentence on processors and versions that differ between origins; empty if none do."""
    found: dict[str, set[str]] = {}
    for origin in origins:
        own = {name: origin[name] for name in ("processor", "python")}
        for name, value in {**own, **origin["libraries"]}.items():
            found.setdefault(name, set()).add(value)
    several = [
        f"{name} ({', '.join(sorted(values))})" for name, values in found.items() if len(values) > 1
    ]
    if not several:
        return ""
    return (
        f"Results come from different {' and '.join(several)}: they may differ in the last bits "
        "from a run on one machine."
    )

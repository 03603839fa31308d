"""``run`` of a study: its values, its tables and its pictures."""

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from plausibench.bench.cli.manners import resumable, shown, text_width

KEPT = "parts.jsonl"
"""What is kept of a study under way; a study that is complete has its values."""
OWN = {"values.csv", "study.json", "figures", KEPT}
"""What a study writes besides its tables."""


def run_study(
    name: str,
    given: Mapping[str, Any],
    folder: Path,
    jobs: int,
    formats: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Run the study ``name`` and write what it found to ``folder``.

    A study is a module of :mod:`plausibench.bench.experiments` with a function ``parts``, whose
    arguments are the options of ``run`` that it takes, a function ``report``, which makes tables
    and pictures of the rows of all parts, and ``TABLES``, the names of the tables.

    Raises
    ------
    InputError
        If an option is not one of a study, a value is not allowed, or the folder holds
        something else.
    """
    import importlib

    from plausibench.bench.cli.planning import taken_options
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.experiments.parts import collect
    from plausibench.bench.folders import check_folder, make_folder, refuse_others
    from plausibench.bench.provenance import provenance

    study = importlib.import_module(f"plausibench.bench.experiments.{name}")
    taken = [option for option in inspect.signature(study.parts).parameters if option in given]
    options = taken_options(name, given, taken)
    parts = study.parts(**options)
    check_folder(folder, tried=not dry_run)
    own = OWN | {f"{table}.{kind}" for table in study.TABLES for kind in ("md", "csv")}
    refuse_others(folder, own, f"an experiment {name}")
    if dry_run:
        click.echo(f"{len(parts)} parts of the experiment {name}. Would write to {folder}.")
        return
    make_folder(folder)
    with resumable(folder), progress(len(parts), "measuring") as advance:
        rows = collect(parts, jobs, advance, folder / KEPT)
    about = {**provenance(sys.argv), "experiment": name, "options": options}
    _write(study, rows, folder, formats, about)


def _write(
    study: Any,
    rows: list[dict[str, Any]],
    folder: Path,
    formats: tuple[str, ...],
    about: dict[str, Any],
) -> None:
    import pandas as pd

    from plausibench.bench.folders import write_text

    frame = pd.DataFrame(rows)
    tables, pictures = study.report(frame)
    write_text(folder / "values.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(folder / "study.json", json.dumps(about, indent=1) + "\n")
    for name, table in tables.items():
        write_text(folder / f"{name}.md", table.render("markdown"))
        write_text(folder / f"{name}.csv", table.render("csv"))
        with shown(folder):
            click.echo(table.render("text", text_width()))
    for picture in pictures if formats else ():
        picture.save(folder / "figures", formats)
    with shown(folder):
        click.echo(f"Results: {folder}")

"""``run figure2``: tune every rule alike, then measure it, in one setting after another."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import resumable, shown, tell_compiling, text_width

if TYPE_CHECKING:
    from plausibench.bench.spec import Spec

TAKEN = ("tasks", "rules", "seeds", "seed", "samples", "marginal_samples", "checkpoints", "plugins")
"""Options of ``run`` that replace values of the settings."""


def run_figure2(
    given: Mapping[str, Any],
    everything: bool,
    folder: Path,
    jobs: int,
    formats: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Run the settings, each in a folder of its own below ``folder``.

    Raises
    ------
    InputError
        If an option is not one of the experiment, or a value is not allowed.
    """
    from plausibench.bench import registry
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.cli.run import report
    from plausibench.bench.cli.running import executor, perform
    from plausibench.bench.folders import check_folder, make_folder
    from plausibench.bench.shards import EVERYTHING
    from plausibench.bench.studies.benchmark import BENCHMARK
    from plausibench.bench.tuning import TRIALS, tune, tuned

    registry.load_plugins(given.get("plugins") or ())
    settings = _settings(given, everything)
    check_folder(folder, tried=not dry_run)
    if dry_run:
        for name, spec in settings.items():
            click.echo(
                f"{name}: {len(spec.rules)} rules, {TRIALS} trials each, then {spec.seeds} seeds "
                f"at steps {', '.join(map(str, spec.checkpoints))}. Would write to {folder / name}."
            )
        return
    tell_compiling()
    for name, spec in settings.items():
        own = folder / name
        make_folder(own)
        with resumable(folder):
            with progress(len(spec.rules), f"{name}, tuning") as advance:
                rows = tune(spec, own / "tuning.jsonl", jobs, advance)
            _write(rows, own, formats)
            best = tuned(spec, rows)
            with executor(None, jobs) as chosen:
                (finished,) = perform(BENCHMARK, best, own / "run", chosen, EVERYTHING)
        with shown(own):
            click.echo(f"\n{name}")
        report(finished, formats)


def _settings(given: Mapping[str, Any], everything: bool) -> "dict[str, Spec]":
    from plausibench.bench.cli.planning import taken_options
    from plausibench.bench.experiments.figure2 import SETTINGS, specification
    from plausibench.bench.selectors import select
    from plausibench.kernels.errors import InputError

    options = taken_options("figure2", given, (*TAKEN, "all"))
    tasks = {str(select("task", text)) for text in options.pop("tasks", ())}
    found = {}
    for name in SETTINGS:
        spec = specification(name, everything)
        if not tasks or tasks & set(spec.tasks):
            found[name] = spec.with_values(**options)
    if not found:
        known = sorted({task for name in SETTINGS for task in specification(name, False).tasks})
        raise InputError(
            f"tasks: {', '.join(tasks)} is no setting; choose one of {', '.join(known)}"
        )
    return found


def _write(rows: list[dict[str, Any]], folder: Path, formats: tuple[str, ...]) -> None:
    from plausibench.bench.folders import write_text
    from plausibench.bench.report.sensitivity import sensitivity, sensitivity_picture

    table = sensitivity(rows)
    write_text(folder / "tuning.md", table.render("markdown"))
    write_text(folder / "tuning.csv", table.render("csv"))
    if formats:
        sensitivity_picture(rows).save(folder, formats)
    with shown(folder):
        click.echo(table.render("text", text_width()))

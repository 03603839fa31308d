"""``run figure2``: tune every rule alike, then measure it, in one setting after another."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import shown, tell_compiling, text_width

if TYPE_CHECKING:
    from plausibench.bench.running.store import Run


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
    from plausibench.bench.cli.planning import taken_options
    from plausibench.bench.cli.running import executor, perform
    from plausibench.bench.folders import check_folder
    from plausibench.bench.shards import EVERYTHING
    from plausibench.bench.studies.figure2 import FIGURE2, Options, settings
    from plausibench.bench.studies.study import load_plugins
    from plausibench.bench.studies.tuning import TRIALS

    plugins = tuple(given.get("plugins") or ())
    load_plugins(plugins)
    taken = [f.name for f in fields(Options)]
    values = taken_options("figure2", given, (*taken, "plugins"))
    values.pop("plugins", None)
    options = FIGURE2.choose({**values, "all": everything})
    check_folder(folder, tried=not dry_run)
    if dry_run:
        for name, spec in settings(options).items():
            click.echo(
                f"{name}: {len(spec.rules)} rules, {TRIALS} trials each, then {spec.seeds} seeds "
                f"at steps {', '.join(map(str, spec.checkpoints))}. Would write to {folder / name}."
            )
        return
    tell_compiling()
    with executor(None, jobs) as computing:
        runs = perform(FIGURE2, options, folder, computing, EVERYTHING, plugins)
    for finished in runs:
        with shown(folder):
            click.echo(f"\n{finished.path.relative_to(folder)}")
        _report(finished, formats)
    if any((finished.jobs["status"] == "failed").any() for finished in runs):
        raise click.exceptions.Exit(1)


def _report(run: "Run", formats: tuple[str, ...]) -> None:
    """Print the tables of a stage and keep them with its pictures; say what went wrong."""
    from plausibench.bench.cli.run import SUMMARY
    from plausibench.bench.folders import write_text
    from plausibench.bench.report import sensitivity
    from plausibench.bench.report.figures import save_all
    from plausibench.bench.report.table import comparison

    frame, jobs = run.frame, run.jobs
    if run.study == "tuning":
        tables, pictures = sensitivity.report(frame)
        for name, table in tables.items():
            write_text(run.path / f"{name}.md", table.render("markdown"))
            write_text(run.path / f"{name}.csv", table.render("csv"))
        for picture in pictures if formats else ():
            picture.save(run.path, formats)
    else:
        steps = [int(frame["step"].max())] if len(frame) else None
        tables = {"comparison": comparison(frame, jobs, columns=SUMMARY, steps=steps)}
        if formats:
            save_all(frame, jobs, run.path / "figures", formats)
    with shown(run.path):
        for table in tables.values():
            click.echo(table.render("text", text_width()))
        click.echo(f"Results: {run.path}")
    for _, job in jobs[jobs["status"] == "failed"].iterrows():
        click.echo(f"{job['rule']} failed: {job['reason']}", err=True)

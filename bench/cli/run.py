"""``run``: a study from its options to tables and pictures."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Place, columns, complete, shown, text_width
from plausibench.bench.cli.running import (
    dry_run_option,
    executor,
    jobs_option,
    nulls_option,
    out_option,
    perform,
    plugin_option,
    scheduler_option,
    shard_option,
    share,
    tell_failures,
    workers,
)

if TYPE_CHECKING:
    from plausibench.bench.cli.planning import Asked
    from plausibench.bench.report.render import Table
    from plausibench.bench.running.shards import Shard
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.benchmark.spec import Spec
    from plausibench.bench.studies.benchmark.units import Unit
    from plausibench.bench.studies.study import Study


SUMMARY = ("bias_squared", "variance", "scale_free_bias", "progress", "test_accuracy", "redrawn")
"""Columns that are printed after a run."""


@dataclass(frozen=True)
class How:
    """How a study is run, whatever it is: nothing that its results depend on."""

    jobs: int | None
    scheduler: str | None
    share: "Shard"
    dry_run: bool
    formats: tuple[str, ...]
    plugins: tuple[str, ...] = ()


def _studies(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from plausibench.bench.studies.study import names

    return [name for name in names() if name.startswith(incomplete)]


def _components(kind: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}s",
        f"--{kind}",
        f"{kind}s",
        multiple=True,
        metavar="SELECTOR",
        shell_complete=complete(kind),
        help=f"{kind.capitalize()}s; repeatable.",
    )


def _names(option: str, text: str) -> Callable[[Any], Any]:
    return click.option(option, multiple=True, metavar="NAME", help=f"{text}; repeatable.")


def _number(option: str, text: str) -> Callable[[Any], Any]:
    return click.option(option, type=int, help=text)


@click.command()
@click.argument("study", required=False, shell_complete=_studies)
@_components("task")
@_components("architecture")
@_components("objective")
@_components("rule")
@click.option(
    "--pairing",
    metavar="NAME",
    help="first: the first supported pair of each rule; all: every pair.",
)
@click.option("--hidden", metavar="SIZES", help="Sizes of hidden layers, such as 32-32.")
@_names("--protocols", "Weights to measure at: shared, own")
@click.option("--checkpoints", multiple=True, type=int, help="Training steps; repeatable.")
@_number("--seeds", "Number of seeds.")
@_number("--seed", "The first seed.")
@_number("--samples", "Draws of each estimator; of a study what it says.")
@_number("--neurons", "identification: the most neurons recorded together.")
@click.option("--precision", type=float, help="Half-width of relative bias^2; sets the draws.")
@click.option("--budget", metavar="TIME", help="What these draws may take on a core: 60s, 5m, 2h.")
@_number("--marginal-samples", "Draws with the feedback redrawn.")
@_number("--averaging-samples", "Draws for the averaging curve.")
@_number("--batch-size", "Examples at which bias and variance are measured.")
@_number("--training-batch-size", "Examples in a training step.")
@click.option("--optimiser", metavar="NAME", help="sgd or adam.")
@click.option("--learning-rate", type=float, help="Of rules that have no rate of their own.")
@click.option("--weight-decay", type=float, help="Share of each weight lost, times the rate.")
@click.option("--momentum", type=float, help="Share of the last change that stays, with sgd.")
@click.option(
    "--layer-rates",
    metavar="FACTORS",
    help="Of the rate, by layer, such as 1,0.5,0.1; one number is that of each over the last.",
)
@click.option("--learning-rates", multiple=True, metavar="RULE=RATE", help="Of a rule; repeatable.")
@nulls_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the study that has no flag here; the value as in TOML; repeatable.",
)
@plugin_option
@out_option("Run directory; by default one in results, named by the study and its options.")
@click.option(
    "--resume",
    type=Place(),
    metavar="DIR",
    help="Continue the run in this directory; with more --seeds it is extended.",
)
@shard_option
@jobs_option
@scheduler_option
@_names("--format", "Of pictures: png, svg, pdf")
@click.option("--no-pictures", is_flag=True, help="Draw nothing; plausibench plot does so later.")
@click.option("--all", "everything", is_flag=True, help="figure2: every rule that there is.")
@dry_run_option
def run(
    study: str | None,
    out: Path | None,
    resume: Path | None,
    shard: str | None,
    jobs: int | None,
    scheduler: str | None,
    format: tuple[str, ...],
    no_pictures: bool,
    dry_run: bool,
    budget: str | None,
    everything: bool,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    **given: Any,
) -> None:
    """Measure bias and variance; without arguments, the default benchmark on real digits.

    Of tasks, architectures, objectives and hidden layers that are not chosen, each rule gets the
    first with which it runs: plausibench show RULE says which.

    STUDY is a specification of the benchmark (TOML); options replace its values. Or it names a
    study of its own, such as tags: plausibench list studies names them all, and each takes the
    options that it has.

    A run that was interrupted continues where it stopped: run --resume DIR, or the same command
    again. On a cluster the tasks of a job array share one directory: each computes its --shard,
    and plausibench table reads them all.
    """
    from plausibench.bench.cli.planning import BENCHMARK, asked_for, setting

    given |= dict(setting(text) for text in settings)
    given |= {"budget": budget, "all": everything or None}
    workers(jobs)
    formats = () if no_pictures else _formats(format)
    how = How(jobs, scheduler, share(shard), dry_run, formats, plugins)
    asked = asked_for(study, resume, plugins)
    how = replace(how, plugins=asked.plugins)
    if asked.study == BENCHMARK:
        _run_benchmark(study, given, resume, out, how)
    else:
        _run_study(asked, given, resume, out, how)


def _run_study(
    asked: "Asked", given: Mapping[str, Any], resume: Path | None, out: Path | None, how: How
) -> None:
    """Run any study but the benchmark, and report each of its runs."""
    from plausibench.bench.cli.planning import options_of, run_folder
    from plausibench.bench.running.folders import check_folder
    from plausibench.bench.studies.study import find

    study = find(asked.study)
    options = options_of(study, asked.options, given)
    folder = run_folder(resume, out, study.name, options)
    check_folder(folder, tried=not how.dry_run)
    if how.dry_run:
        click.echo(_outline(study, options, folder))
        return
    if study.report:
        study.reporter()  # what cannot be shown is not computed
    report_runs(_perform(study, options, folder, how), how)


def _outline(study: "Study", options: Any, folder: Path) -> str:
    """What a study would do."""
    from collections.abc import Generator

    from plausibench.kernels.errors import counted

    work = study.work(options)
    if isinstance(work, Generator):
        stage = next(work)
        said = f"Stages of the study {study.name}, the first in {folder / stage.folder}."
    else:
        idle = Counter(job.reason for job in work if job.reason)
        said = f"{counted(len(work), 'job')} of the study {study.name}."
        said += "".join(f"\n{count} cannot run: {why}" for why, count in idle.items())
    return f"{said}\nWould write to {folder}."


def _perform(study: "Study", options: Any, folder: Path, how: How) -> "list[Run]":
    with executor(how.scheduler, how.jobs) as chosen:
        return perform(study, options, folder, chosen, how.share, how.plugins)


def report_runs(runs: "list[Run]", how: How) -> None:
    """Report runs, or say that a share of them is done; exit with 1 if a job has failed."""
    if how.share.of > 1:
        with shown(runs[-1].path):
            click.echo(f"Shard {how.share} is done: {runs[-1].path}")
        return
    reports = [report(run, how) for run in runs]
    if not all(reports):
        raise click.exceptions.Exit(1)


def _run_benchmark(
    named: str | None, given: dict[str, Any], resume: Path | None, out: Path | None, how: How
) -> None:
    from plausibench.bench.cli.planning import BENCHMARK, read_spec, refuse_idle, run_folder
    from plausibench.bench.cli.probe import probe_units
    from plausibench.bench.running.folders import check_folder
    from plausibench.bench.studies.benchmark.nulls import nulls
    from plausibench.bench.studies.benchmark.precision import seconds
    from plausibench.bench.studies.benchmark.spec import FINEST
    from plausibench.bench.studies.benchmark.units import units as units_of
    from plausibench.bench.studies.study import find
    from plausibench.kernels.errors import InputError, number

    if given.pop("all"):
        raise InputError("all: only the study figure2 places every rule; give --rules here")
    budget = given.pop("budget")
    spec = read_spec(named, resume, given, how.plugins)
    limit = None if budget is None else seconds(budget)
    units = units_of(spec)
    refuse_idle(units, spec)
    # Draws that were chosen are chosen: they are not replaced by those of a precision.
    asked = given["precision"] is not None or limit is not None
    if asked and resume is not None:
        raise InputError(f"precision: the run in {resume} has its draws; leave out what sets them")
    if limit is not None and how.share.of > 1:
        raise InputError(
            "budget: shards would each time their own machine and choose other draws; find the "
            "draws with --budget and --dry-run first, or give a precision alone"
        )
    if asked and given["samples"] is not None:
        raise InputError("samples: the draws follow from the precision; give one of the two")
    if asked:
        goal = FINEST if given["precision"] is None else given["precision"]
        number("precision", goal, least=FINEST)
        spec = spec.with_values(precision=goal, samples_of={})
    folder = run_folder(resume, out, BENCHMARK, spec)
    check_folder(folder, tried=not how.dry_run)
    probe_units(units, spec)
    if asked:
        found = _resolved(spec, limit, folder, how)
        if found is None:
            return
        spec = found
    if how.dry_run:
        click.echo(_plan([*units, *nulls(spec, units)], spec, folder))
        return
    report_runs(_perform(find(BENCHMARK), spec, folder, how), how)


def _resolved(spec: "Spec", limit: float | None, folder: Path, how: How) -> "Spec | None":
    """The specification with the draws that its precision takes, which are told.

    The pilot is kept in the folder of the run, but where nothing is to be written. None if other
    shares have not finished it.
    """
    from plausibench.bench.studies.benchmark.precision import resolve, resolved
    from plausibench.bench.studies.pilot.study import PILOT, Options, pilots_of

    if how.dry_run:
        found = resolve(spec, spec.precision, limit)
    else:
        options = Options.to(spec, timed=limit is not None)
        (pilot,) = _perform(PILOT, options, folder / "pilot", how)
        if pilot.finished < len(pilot.due):
            click.echo(
                f"Shard {how.share} of the pilot is done: {pilot.path}; give the same command "
                "again when the others are"
            )
            return None
        if tell_failures([pilot]):
            click.echo("Rules whose pilot failed get the usual number of draws.", err=True)
        found = resolved(spec, pilots_of(pilot.frame), limit)
    rows = [("rule", "draws"), *((rule, f"{n:,}") for rule, n in found.samples_of.items())]
    click.echo(f"Draws for a precision of {spec.precision:g}, by a pilot:\n{columns(rows)}\n")
    return found


def _formats(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ("png", "svg")
    from plausibench.bench.report.style import FORMATS
    from plausibench.kernels.errors import choose

    return tuple(choose("format", name, FORMATS) for name in names)


def _plan(units: "list[Unit]", spec: "Spec", folder: Path) -> str:
    """Table of what would run, with its cost."""
    from plausibench.bench.studies.benchmark.cost import passes, seconds

    seeds: Counter[tuple[str, ...]] = Counter()
    cost: Counter[tuple[str, ...]] = Counter()
    for unit in units:
        why = "" if unit.reason is None else f"cannot run: {unit.reason}"
        cell = (unit.task, unit.architecture, unit.objective, unit.rule, unit.protocol, why)
        seeds[cell] += 1
        cost[cell] += passes(unit, spec.on(unit.task))
    head = ("task", "architecture", "objective", "rule", "protocol", "seeds", "forward passes")
    rows = [(*cell[:-1], str(seeds[cell]), cell[-1] or f"{cost[cell]:,}") for cell in seeds]
    stops = {text: spec.on(text).checkpoints for text in spec.every_task()}
    steps = "; ".join(
        f"{', '.join(map(str, own))}{f' ({text})' if len(set(stops.values())) > 1 else ''}"
        for text, own in stops.items()
        if len(set(stops.values())) > 1 or text == next(iter(stops))
    )
    minutes = seconds(units, spec) / 60
    return (
        f"{columns([head, *rows])}\n\n"
        f"{len(units)} trajectories, measured at steps {steps}: about {cost.total():,} forward "
        f"passes of a batch, {minutes:.1f} minutes on one core.\n"
        f"Would write to {folder}."
    )


def noted(table: "Table", run: "Run") -> "Table":
    """A table with what must be known of its run below it."""
    return replace(table, notes=(*table.notes, *run.remarks()))


def report(run: "Run", how: How) -> bool:
    """Print the tables of a run, draw its pictures, and say what went wrong.

    Returns
    -------
    bool
        Whether no job has failed.
    """
    from plausibench.bench.cli.planning import BENCHMARK
    from plausibench.kernels.errors import counted

    if run.study == BENCHMARK:
        _report_benchmark(run, how)
    else:
        _report_study(run, how.formats)
    status = run.jobs["status"]
    for name in ("done", "diverged", "failed"):
        these = run.jobs[(status == name) & (run.jobs["reason"] != "")]
        # In the benchmark, trajectories of a rule.
        whose = these["rule"] if "rule" in these else [run.study] * len(these)
        counts = Counter(zip(whose, these["reason"], strict=True))
        for (who, reason), count in counts.items():
            every = int((run.jobs["rule"] == who).sum()) if "rule" in these else len(status)
            said = "done, but" if name == "done" else name
            click.echo(f"{who}: {count} of {counted(every, 'job')} {said}: {reason}", err=True)
    return not (status == "failed").any()


def _report_benchmark(run: "Run", how: How) -> None:
    from plausibench.bench.report.figures import save_all
    from plausibench.bench.report.nulls import ABOVE, beside
    from plausibench.bench.report.table import comparison
    from plausibench.bench.studies.benchmark.study import frame_of
    from plausibench.bench.training.nulls import READOUT

    frame = frame_of(run)
    # The last checkpoint that any trajectory reached; none did where the frame is empty.
    steps = [int(frame["step"].max())] if len(frame) else None
    above = [ABOVE[READOUT]] if (beside(frame)["quantity"] == ABOVE[READOUT]).any() else []
    columns = [*SUMMARY[:-1], *above, SUMMARY[-1]]
    summary = comparison(frame, run.jobs, columns=columns, steps=steps)
    with shown(run.path):
        click.echo(noted(summary, run).render("text", text_width()))
        click.echo(f"Results: {run.path}")
        where = shlex.quote(str(run.path))
        click.echo(f"All columns and checkpoints: plausibench table {where}")
    if how.formats:
        # A scheduler of other machines says nothing of this one.
        jobs = 1 if how.scheduler else workers(how.jobs)
        plugins = how.plugins
        _draw(run, lambda folder: save_all(frame, run.jobs, folder, how.formats, jobs, plugins))


def _report_study(run: "Run", formats: tuple[str, ...]) -> None:
    """Print the tables of a study, and keep them and its values beside the results."""
    from plausibench.bench.running.folders import write_text
    from plausibench.bench.studies.reading import reported
    from plausibench.kernels.errors import InputError

    try:
        tables, pictures = reported(run)
    except InputError as error:
        # What was computed is kept, whatever can be said of it.
        click.echo(str(error), err=True)
        click.echo(f"Results: {run.path}")
        return
    write_text(run.path / "values.csv", run.frame.to_csv(index=False, lineterminator="\n"))
    for name, table in tables.items():
        write_text(run.path / f"{name}.md", noted(table, run).render("markdown"))
        write_text(run.path / f"{name}.csv", table.render("csv"))
        with shown(run.path):
            click.echo(noted(table, run).render("text", text_width()))
    with shown(run.path):
        click.echo(f"Results: {run.path}")

    def save(folder: Path) -> None:
        for picture in pictures:
            picture.save(folder, formats)

    if formats and pictures:
        _draw(run, save)


def _draw(run: "Run", save: Callable[[Path], object]) -> None:
    from plausibench.kernels.errors import InputError

    folder = run.path / "figures"
    try:
        save(folder)
    except (OSError, InputError) as error:  # the results are kept, and can be drawn again
        click.echo(f"Pictures cannot be kept: {error}; plausibench plot draws them", err=True)
    else:
        with shown(run.path):
            click.echo(f"Pictures: {folder}")

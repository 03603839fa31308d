"""``run``: a benchmark from its specification to table and pictures."""

import shlex
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Interrupted, Place, columns, complete, shown, text_width

if TYPE_CHECKING:
    from plausibench.bench.executor import Executor
    from plausibench.bench.report.render import Table
    from plausibench.bench.shards import Shard
    from plausibench.bench.spec import Spec
    from plausibench.bench.store import Record, Run
    from plausibench.bench.unit import Unit


SUMMARY = ("bias_squared", "variance", "scale_free_bias", "progress", "test_accuracy", "redrawn")
"""Columns that are printed after a run."""


def _components(kind: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}s",
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
@click.argument("experiment", required=False)
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
@_number("--samples", "Draws of each estimator; identification: the most images shown.")
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
@click.option("--learning-rates", multiple=True, metavar="RULE=RATE", help="Of a rule; repeatable.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Python file that defines further components; repeatable.",
)
@click.option(
    "--out",
    type=Place(),
    metavar="DIR",
    help="Run directory, or folder of results.",
)
@click.option(
    "--resume",
    type=Place(),
    metavar="DIR",
    help="Continue the run in this directory; with more --seeds it is extended.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Compute the I-th of N shares, I from 1; by default that of a SLURM job array.",
)
@_number(
    "--jobs",
    "Worker processes; by default one a core that may be used. Results do not depend on it.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Dask scheduler to compute on, such as tcp://host:8786."
)
@_names("--format", "Of pictures: png, svg, pdf")
@click.option("--no-pictures", is_flag=True, help="Draw nothing; plausibench plot does so later.")
@click.option("--all", "everything", is_flag=True, help="figure2: every rule that there is.")
@click.option("--dry-run", is_flag=True, help="Print cells and estimated cost, and stop.")
def run(
    experiment: str | None,
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
    **given: Any,
) -> None:
    """Measure bias and variance; without arguments, the default benchmark on real digits.

    Of tasks, architectures, objectives and hidden layers that are not chosen, each rule gets the
    first with which it runs: plausibench show RULE says which.

    EXPERIMENT is a specification (TOML); options replace its values. A run that was
    interrupted continues where it stopped: run --resume DIR, or the same command again. Or it
    names a study of its own, such as figure2, the plane of Richards et al. 2019 with every rule
    tuned alike: plausibench list experiments names them all.

    On a cluster the tasks of a job array share one directory: each computes its --shard, and
    plausibench table reads them all.
    """
    from plausibench.bench.experiments import EXPERIMENTS
    from plausibench.kernels.errors import InputError

    if everything and experiment != "figure2":
        raise InputError("all: only the experiment figure2 places every rule; give --rules here")
    if experiment != "identification" and given.pop("neurons") is not None:
        raise InputError("neurons: only the experiment identification records neurons")
    if experiment in EXPERIMENTS:
        from plausibench.bench.cli.planning import RESULTS

        _refuse_array(experiment, shard)
        given |= {"budget": budget, "resume": resume, "scheduler": scheduler}
        pictures = () if no_pictures else _formats(format)
        own = RESULTS / experiment if out is None else out
        if experiment == "figure2":
            from plausibench.bench.cli.figure2 import run_figure2

            run_figure2(given, everything, own, workers(jobs), pictures, dry_run)
        else:
            from plausibench.bench.cli.experiment import run_study

            run_study(experiment, given, own, workers(jobs), pictures, dry_run)
        return
    from plausibench.bench import sweep
    from plausibench.bench.cli.planning import read_spec, refuse_idle, run_folder
    from plausibench.bench.cli.probe import probe_units
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.folders import check_folder
    from plausibench.bench.precision import seconds
    from plausibench.bench.spec import FINEST
    from plausibench.kernels.errors import number

    spec = read_spec(experiment, resume, given)
    processes, part = workers(jobs), _shard(shard)
    formats = () if no_pictures else _formats(format)
    limit = None if budget is None else seconds(budget)
    units = sweep.units(spec)
    refuse_idle(units, spec)
    # Draws that were chosen are chosen: they are not replaced by those of a precision.
    asked = given["precision"] is not None or limit is not None
    if asked and resume is not None:
        raise InputError(f"precision: the run in {resume} has its draws; leave out what sets them")
    if limit is not None and part.of > 1:
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
    folder = run_folder(resume, out, spec)
    check_folder(folder, tried=not dry_run)
    probe_units(units, spec)
    if asked:
        spec = _resolved(spec, limit)
        folder = run_folder(resume, out, spec)
    if dry_run:
        click.echo(_plan(units, spec, folder))
        return
    try:
        with (
            _executor(scheduler, jobs) as executor,
            progress(len(part.share(units)), "measuring") as advance,
        ):

            def on_done(record: "Record", done: int, total: int) -> None:
                advance(record["unit"]["rule"], done, total)

            finished = sweep.run(spec, folder, processes, on_done, part, executor)
    except KeyboardInterrupt as error:
        raise Interrupted(_how_to_resume(folder, len(units))) from error
    if part.of > 1:
        with shown(finished.path):
            click.echo(f"Shard {part} is done: {finished.path}")
        return
    report(finished, formats)


def _executor(scheduler: str | None, jobs: int | None) -> AbstractContextManager["Executor | None"]:
    """What computes instead of processes of this machine."""
    if scheduler is None:
        return nullcontext()
    from plausibench.bench.cluster import connected
    from plausibench.kernels.errors import InputError

    if jobs is not None:
        raise InputError("jobs: the scheduler decides on the number of workers; give one of them")
    waiting = "Waiting for workers: the Dask scheduler has none yet."
    return connected(scheduler, lambda: click.echo(waiting, err=True))


def _resolved(spec: "Spec", limit: float | None) -> "Spec":
    """The specification with the draws that its precision takes, which are told."""
    from plausibench.bench import sweep
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.precision import resolve

    with progress(len(sweep.units(spec)), "pilot") as advance:
        found = resolve(spec, spec.precision, limit, advance)
    rows = [("rule", "draws"), *((rule, f"{n:,}") for rule, n in found.samples_of.items())]
    click.echo(f"Draws for a precision of {spec.precision:g}, by a pilot:\n{columns(rows)}\n")
    return found


def workers(jobs: int | None) -> int:
    """Number of processes: what was asked for, or one a core that may be used."""
    from plausibench.kernels.cores import cores
    from plausibench.kernels.errors import integer

    return cores() if jobs is None else integer("jobs", jobs, least=1)


def _refuse_array(experiment: str, shard: str | None) -> None:
    """Refuse to compute a study in each task of a job array: it is not divided."""
    from plausibench.kernels.errors import InputError

    if _shard(shard).of > 1:
        raise InputError(
            f"shard: the experiment {experiment} is not divided over a job array; submit one task "
            "and give it --jobs N, or give --shard 1/1 if each task has options and --out of its "
            "own"
        )


def _shard(text: str | None) -> "Shard":
    import os

    from plausibench.bench.shards import Shard, shard_of_array

    return shard_of_array(os.environ) if text is None else Shard.parse(text)


def _formats(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ("png", "svg")
    from plausibench.bench.report.style import FORMATS
    from plausibench.kernels.errors import choose

    return tuple(choose("format", name, FORMATS) for name in names)


def _plan(units: "list[Unit]", spec: "Spec", folder: Path) -> str:
    """Table of what would run, with its cost."""
    from plausibench.bench.cost import passes, seconds

    seeds: Counter[tuple[str, ...]] = Counter()
    cost: Counter[tuple[str, ...]] = Counter()
    for unit in units:
        why = "" if unit.reason is None else f"cannot run: {unit.reason}"
        cell = (unit.task, unit.architecture, unit.objective, unit.rule, unit.protocol, why)
        seeds[cell] += 1
        cost[cell] += passes(unit, spec)
    head = ("task", "architecture", "objective", "rule", "protocol", "seeds", "forward passes")
    rows = [(*cell[:-1], str(seeds[cell]), cell[-1] or f"{cost[cell]:,}") for cell in seeds]
    steps = ", ".join(str(step) for step in spec.checkpoints)
    minutes = seconds(units, spec) / 60
    return (
        f"{columns([head, *rows])}\n\n"
        f"{len(units)} trajectories, measured at steps {steps}: about {cost.total():,} forward "
        f"passes of a batch, {minutes:.1f} minutes on one core.\n"
        f"Would write to {folder}."
    )


def _how_to_resume(folder: Path, total: int) -> str:
    from plausibench.bench.store import Run

    if not (folder / "spec.toml").is_file():
        return "Interrupted before anything was kept."
    kept = len(Run.open(folder).records())
    return (
        f"Interrupted: {kept} of {total} trajectories are kept in {folder}; "
        f"resume with: plausibench run --resume {shlex.quote(str(folder))}"
    )


def noted(table: "Table", run: "Run") -> "Table":
    """A table with what must be known of its run below it."""
    return replace(table, notes=(*table.notes, *run.notes))


def report(finished: "Run", formats: tuple[str, ...]) -> None:
    """Print the table, draw the pictures, and say what went wrong."""
    from plausibench.bench.report.table import comparison
    from plausibench.kernels.errors import InputError

    frame, units = finished.frame, finished.units
    # The last checkpoint that any trajectory reached; none did where the frame is empty.
    steps = [int(frame["step"].max())] if len(frame) else None
    summary = comparison(frame, units, columns=SUMMARY, steps=steps)
    with shown(finished.path):
        click.echo(noted(summary, finished).render("text", text_width()))
        click.echo(f"Results: {finished.path}")
        where = shlex.quote(str(finished.path))
        click.echo(f"All columns and checkpoints: plausibench table {where}")
    if formats:
        from plausibench.bench.report.figures import save_all

        folder = finished.path / "figures"
        try:
            save_all(frame, units, folder, formats)
        except (OSError, InputError) as error:  # the results are kept, and can be drawn again
            click.echo(f"Pictures cannot be kept: {error}; plausibench plot draws them", err=True)
        else:
            with shown(finished.path):
                click.echo(f"Pictures: {folder}")
    for status in ("done", "diverged", "failed"):
        these = units[(units["status"] == status) & (units["reason"] != "")]
        counts = Counter(zip(these["rule"], these["reason"], strict=True))
        for (rule, reason), count in counts.items():
            own = int((units["rule"] == rule).sum())
            said = "done, but" if status == "done" else status
            click.echo(f"{rule}: {count} of {own} trajectories {said}: {reason}", err=True)
    if (units["status"] == "failed").any():
        raise click.exceptions.Exit(1)

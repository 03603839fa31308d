"""``train``: learning curves of one or more rules."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import columns, complete, shown
from plausibench.bench.cli.running import (
    jobs_option,
    nulls_option,
    out_option,
    plugin_option,
    scheduler_option,
    shard_option,
)

if TYPE_CHECKING:
    import pandas as pd

    from plausibench.bench.running.store import Run


def _number(option: str, default: int, text: str) -> Callable[[Any], Any]:
    return click.option(option, type=int, default=default, show_default=True, help=text)


def _component(kind: str, text: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}",
        f"--{kind}s",
        kind,
        metavar="SELECTOR",
        shell_complete=complete(kind),
        help=text,
    )


@click.command()
@click.argument(
    "rules", nargs=-1, required=True, metavar="RULE...", shell_complete=complete("rule")
)
@_component("task", "What to learn; by default digits, for rules in time row by row.")
@_component("architecture", "By default the first on which the rule runs; see show RULE.")
@_component("objective", "By default the first with which the rule runs.")
@click.option(
    "--hidden",
    metavar="SIZES",
    help="Sizes of hidden layers, such as 32-32; by default those of the architecture.",
)
@_number("--steps", 1000, "Number of updates.")
@_number("--batch-size", 32, "Examples in an update.")
@click.option("--optimiser", default="sgd", show_default=True, metavar="NAME", help="sgd or adam.")
@click.option("--learning-rate", type=float, help="By default that of the benchmark.")
@click.option(
    "--weight-decay",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of each weight lost in an update, times the learning rate.",
)
@click.option(
    "--momentum",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of the last change that stays, with sgd.",
)
@click.option(
    "--layer-rates",
    metavar="FACTORS",
    help="Of the rate, by layer, such as 1,0.5,0.1; one number is that of each over the last.",
)
@_number("--evaluate-every", 100, "Updates between evaluations.")
@_number("--seed", 0, "Of weights, data and noise.")
@nulls_option
@plugin_option
@jobs_option
@scheduler_option
@shard_option
@out_option(
    "Run directory, with learning_curves.csv and its picture; by default one in results/ for "
    "these options."
)
def train(
    rules: tuple[str, ...],
    task: str | None,
    architecture: str | None,
    objective: str | None,
    hidden: str | None,
    steps: int,
    batch_size: int,
    optimiser: str,
    learning_rate: float | None,
    weight_decay: float,
    momentum: float,
    layer_rates: str | None,
    evaluate_every: int,
    seed: int,
    nulls: bool | None,
    plugins: tuple[str, ...],
    jobs: int | None,
    scheduler: str | None,
    shard: str | None,
    out: Path | None,
) -> None:
    """Train a network with each RULE, print how it ends and write the learning curves.

    What is not chosen is where each rule starts: plausibench show RULE says where that is. A rule
    that fails or diverges does not stop the others. What is done is kept: the same command goes
    on with it.
    """
    from plausibench.bench.cli.planning import factors, hidden_sizes, refuse_idle, run_folder
    from plausibench.bench.cli.probe import probe_units
    from plausibench.bench.cli.running import executor, perform, share
    from plausibench.bench.running.folders import check_folder
    from plausibench.bench.studies.benchmark.units import units as units_of
    from plausibench.bench.studies.train.study import TRAIN, Options

    options = Options(
        rules=rules,
        tasks=() if task is None else (task,),
        architectures=() if architecture is None else (architecture,),
        objectives=() if objective is None else (objective,),
        hidden=None if hidden is None else hidden_sizes(hidden),
        steps=steps,
        batch_size=batch_size,
        optimiser=optimiser,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        layer_rates=() if layer_rates is None else factors(layer_rates),
        evaluate_every=evaluate_every,
        seed=seed,
        nulls=nulls is not False,
    )
    part = share(shard)
    folder = run_folder(None, out, "train", options)
    check_folder(folder, tried=True)
    units = units_of(options.spec)
    refuse_idle(units, options.spec)
    probe_units(units, options.spec)
    if len(units) == 1 and scheduler is None:
        jobs = 1  # a process for one alone would only take time to start
    with executor(scheduler, jobs) as computing:
        (run,) = perform(TRAIN, options, folder, computing, part, plugins, "training")
    if part.of > 1:
        with shown(folder):
            click.echo(f"Shard {part} is done: {folder}")
    else:
        _tell(run)
    if (run.jobs["status"] == "failed").any():
        raise click.exceptions.Exit(1)


def _tell(run: "Run") -> None:
    """Print how each rule ends, and write the curves as a tidy table and as a picture."""
    from plausibench.bench.report import curves
    from plausibench.bench.report.nulls import absent
    from plausibench.bench.running.folders import write_text

    frame, jobs = run.frame, run.jobs
    if len(frame):
        with shown(run.path):
            click.echo(columns([("rule", "step", *curves.LAST), *_last(frame)]))
        tidy = frame.to_csv(index=False, lineterminator="\n")
        write_text(run.path / "learning_curves.csv", tidy)
        if frame.loc[frame["protocol"] == "own", "step"].nunique() > 1:
            curves.learning_curves(frame).save(run.path, ("png", "svg"))
    asked = jobs[jobs["protocol"] == "own"]  # why a null is not there is said below
    for status in ("diverged", "failed"):
        for _, job in asked[asked["status"] == status].iterrows():
            click.echo(f"{job['rule']} {status}: {job['reason']}", err=True)
    for said in absent(jobs):
        click.echo(f"\n{said}")
    if len(frame):
        with shown(run.path):
            click.echo(f"\nLearning curves: {run.path}")


def _last(frame: "pd.DataFrame") -> list[tuple[str, ...]]:
    """A line for each rule and null, with a dash for what it does not have."""
    from plausibench.bench.report.curves import LAST, last

    cells = last(frame).cells[["rule", "step", *LAST]].replace("–", "-")
    return [tuple(line) for line in cells.to_numpy()]

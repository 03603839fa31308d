"""``replicate``: published figures and ours beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from plausibench.bench.cli.manners import Place, columns, shown, text_width
from plausibench.bench.cli.running import (
    dry_run_option,
    jobs_option,
    out_option,
    scheduler_option,
    shard_option,
)

if TYPE_CHECKING:
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.replications.study import Options


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from plausibench.bench.studies.replications import REPLICATIONS

    return [name for name in REPLICATIONS if name.startswith(incomplete)]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_names)
@click.option("--all", "everything", is_flag=True, help="Every recipe that there is.")
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of seeds.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed.")
@jobs_option
@scheduler_option
@shard_option
@click.option(
    "--data",
    type=Place(),
    metavar="DIR",
    help="Folder with the four IDX files of MNIST.",
)
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    metavar="NAME",
    help="Of what is printed: text, markdown or csv.",
)
@out_option("Run directory; by default one in results/ for these options.")
@dry_run_option
def replicate(
    names: tuple[str, ...],
    everything: bool,
    seeds: int,
    seed: int,
    jobs: int | None,
    scheduler: str | None,
    shard: str | None,
    data: Path | None,
    form: str,
    out: Path | None,
    dry_run: bool,
) -> None:
    """Measure what papers report, and print it beside their figures.

    NAME is a recipe, such as werfel2005; --all takes every one. Each ends with a verdict, and
    every deviation from the published setting is named. A difference is a result, not an error.
    What is done is kept: the same command goes on with it.
    """
    from plausibench.bench.cli.planning import run_folder
    from plausibench.bench.cli.running import executor, perform, share, tell_failures
    from plausibench.bench.running.folders import check_folder
    from plausibench.bench.studies.replications import REPLICATIONS as RECIPES
    from plausibench.bench.studies.replications.study import REPLICATIONS, Options
    from plausibench.kernels.errors import InputError, choose

    if everything == bool(names):
        raise InputError(
            f"name: name recipes, or give --all, not both; there are {', '.join(RECIPES)}"
        )
    chosen = tuple(RECIPES) if everything else tuple(dict.fromkeys(names))
    choose("format", form, ("text", "markdown", "csv"))
    options = Options(chosen, None if data is None else str(data), seeds, seed)
    part = share(shard)
    folder = run_folder(None, out, "replications", options)
    check_folder(folder, tried=not dry_run)
    if dry_run:
        click.echo(_plan(options, folder))
        return
    with executor(scheduler, jobs) as computing:
        (run,) = perform(REPLICATIONS, options, folder, computing, part, what="replicating")
    if part.of > 1:
        with shown(folder):
            click.echo(f"Shard {part} is done: {folder}")
    else:
        _write(run, form)
    if tell_failures([run]):
        raise click.exceptions.Exit(1)


def _plan(options: "Options", folder: Path) -> str:
    from plausibench.bench.studies.replications.report import missing
    from plausibench.bench.studies.replications.run import find
    from plausibench.bench.studies.replications.study import jobs
    from plausibench.kernels.errors import counted

    recipes = {name: find(name) for name in options.names}
    settings = {name: one.setting(data=options.data is not None) for name, one in recipes.items()}
    rows = [
        (name, missing(recipes[name]) if setting is None else setting.description)
        for name, setting in settings.items()
    ]
    count = counted(sum(not job.reason for job in jobs(options)), "job")
    return f"{columns(rows, text_width())}\n\n{count}. Would write to {folder}."


def _write(run: "Run", form: str) -> None:
    """Print and keep the verdicts; of a recipe of which a seed failed there is none."""
    from plausibench.bench.running.folders import write_text
    from plausibench.bench.studies.replications.report import figures, summary
    from plausibench.bench.studies.replications.run import judged

    jobs = run.jobs
    failed = set(jobs.loc[jobs["status"] == "failed", "recipe"])
    found = judged([name for name in jobs["recipe"].unique() if name not in failed], run.frame)
    for name, table in (("figures", figures(found)), ("summary", summary(found))):
        write_text(run.path / f"{name}.md", table.render("markdown"))
        write_text(run.path / f"{name}.csv", table.render("csv"))
        if found and (form != "csv" or name == "figures"):
            with shown(run.path):
                click.echo(table.render(form, text_width()))
    with shown(run.path):
        click.echo(f"Results: {run.path}", err=form == "csv")

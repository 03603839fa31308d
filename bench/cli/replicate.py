"""``replicate``: published figures and ours beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from plausibench.bench.cli.manners import Place, columns, resumable, shown, text_width

if TYPE_CHECKING:
    from plausibench.bench.replications.run import Replication

KEPT = "parts.jsonl"
OWN = {
    KEPT,
    "replications.json",
    *(f"{table}.{kind}" for table in ("summary", "figures") for kind in ("md", "csv")),
}
"""What is written to the folder of results."""


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from plausibench.bench.replications import REPLICATIONS

    return [name for name in REPLICATIONS if name.startswith(incomplete)]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_names)
@click.option("--all", "everything", is_flag=True, help="Every recipe that there is.")
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of seeds.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--jobs", type=int, help="Worker processes; by default one a core.")
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
@click.option(
    "--out",
    type=Place(),
    metavar="DIR",
    help="Folder of results; by default results/replications.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be measured, and stop.")
def replicate(
    names: tuple[str, ...],
    everything: bool,
    seeds: int,
    seed: int,
    jobs: int | None,
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
    from plausibench.bench.cli.planning import RESULTS
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.cli.running import workers
    from plausibench.bench.experiments.parts import collect
    from plausibench.bench.folders import check_folder, make_folder, refuse_others
    from plausibench.bench.replications import REPLICATIONS
    from plausibench.bench.replications.run import judged, parts
    from plausibench.kernels.errors import InputError, choose

    if everything == bool(names):
        raise InputError(
            f"name: name recipes, or give --all, not both; there are {', '.join(REPLICATIONS)}"
        )
    chosen = list(REPLICATIONS) if everything else list(dict.fromkeys(names))
    choose("format", form, ("text", "markdown", "csv"))
    processes = workers(jobs)
    todo = parts(chosen, data, seeds, seed)
    folder = RESULTS / "replications" if out is None else out
    check_folder(folder, tried=not dry_run)
    refuse_others(folder, OWN, "replications")
    if dry_run:
        click.echo(_plan(chosen, data, len(todo), folder))
        return
    make_folder(folder)
    with resumable(folder), progress(len(todo), "replicating") as advance:
        rows = collect(todo, processes, advance, folder / KEPT)
    _write(judged(chosen, rows, given=data is not None), form, folder)


def _plan(names: list[str], data: Path | None, count: int, folder: Path) -> str:
    from plausibench.bench.replications.run import find
    from plausibench.bench.report.replications import missing

    recipes = {name: find(name) for name in names}
    settings = {name: recipe.setting(data=data is not None) for name, recipe in recipes.items()}
    rows = [
        (name, missing(recipes[name]) if setting is None else setting.description)
        for name, setting in settings.items()
    ]
    return f"{columns(rows, text_width())}\n\n{count} parts. Would write to {folder}."


def _write(found: "list[Replication]", form: str, folder: Path) -> None:
    import json
    import sys

    from plausibench.bench.folders import write_text
    from plausibench.bench.provenance import provenance
    from plausibench.bench.report.replications import figures, summary

    for name, table in (("figures", figures(found)), ("summary", summary(found))):
        write_text(folder / f"{name}.md", table.render("markdown"))
        write_text(folder / f"{name}.csv", table.render("csv"))
        if form != "csv" or name == "figures":
            with shown(folder):
                click.echo(table.render(form, text_width()))
    about = json.dumps(provenance(sys.argv), indent=1)
    write_text(folder / "replications.json", about + "\n")
    with shown(folder):
        click.echo(f"Results: {folder}", err=form == "csv")

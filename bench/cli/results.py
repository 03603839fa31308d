"""``table``, ``plot``, ``report``, ``cite``, ``compare``, ``merge``: what run directories say."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Place, text_width
from plausibench.bench.cli.running import jobs_option, plugin_option, workers

if TYPE_CHECKING:
    from plausibench.bench.report.render import Table
    from plausibench.bench.running.store import Run

PATH = Place()


def _run(name: str) -> Callable[[Any], Any]:
    return click.argument(name, type=PATH)


_FORMAT = click.option(
    "--format",
    default="text",
    show_default=True,
    metavar="NAME",
    help="text, markdown, latex, html or csv.",
)
_COLUMNS = click.option("--columns", metavar="NAMES", help="Columns, separated by commas.")
_PROJECTION = click.option(
    "--projection", default="all", metavar="NAME", help="A parameter instead of the whole net."
)
_OUT = click.option(
    "--out", type=PATH, metavar="FILE", help="File to write instead of standard output."
)


@click.command()
@_run("run")
@_FORMAT
@_COLUMNS
@click.option("--sort", metavar="NAME", help="Column to sort by; -NAME from large to small.")
@_PROJECTION
@plugin_option
@click.option("--protocols", multiple=True, metavar="NAME", help="shared, own; repeatable.")
@click.option("--steps", multiple=True, type=int, help="Checkpoints; repeatable.")
@_OUT
def table(
    run: Path,
    format: str,
    columns: str | None,
    sort: str | None,
    projection: str,
    protocols: tuple[str, ...],
    steps: tuple[int, ...],
    out: Path | None,
    plugins: tuple[str, ...],
) -> None:
    """Print the comparison table of a RUN directory, or the tables of its study."""
    from plausibench.bench.cli.planning import BENCHMARK
    from plausibench.bench.cli.run import noted
    from plausibench.bench.report.table import comparison
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.benchmark.study import frame_of
    from plausibench.bench.studies.reading import reported

    found = Run.open(run)
    if found.study != BENCHMARK:
        shaping = {"columns": columns, "sort": sort, "protocols": protocols, "steps": steps}
        _refuse_shaping(found, shaping | {"projection": projection})
        tables = [noted(table, found) for table in reported(found)[0].values()]
        _print("\n".join(_rendered(table, format, out) for table in tables), out)
        if format == "csv":
            _tell(found)
        return
    rows = comparison(
        frame_of(found),
        found.jobs,
        columns=_names(columns),
        sort=sort,
        projection=projection,
        protocols=protocols or None,
        steps=steps or None,
    )
    _table(noted(rows, found), format, out)
    if format == "csv":
        _tell(found)


@click.command()
@_run("run")
@click.option("--out", type=PATH, metavar="DIR", help="By default figures in the run directory.")
@click.option(
    "--format", "formats", multiple=True, metavar="NAME", help="png, svg, pdf; repeatable."
)
@jobs_option
@plugin_option
def plot(
    run: Path,
    out: Path | None,
    formats: tuple[str, ...],
    jobs: int | None,
    plugins: tuple[str, ...],
) -> None:
    """Draw every picture that a RUN directory has the data for."""
    from plausibench.bench.cli.planning import BENCHMARK
    from plausibench.bench.report.figures import save_all
    from plausibench.bench.report.style import FORMATS
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.benchmark.study import frame_of
    from plausibench.bench.studies.reading import reported
    from plausibench.kernels.errors import choose

    found = Run.open(run)
    folder = run / "figures" if out is None else out
    wanted = tuple(choose("format", name, FORMATS) for name in formats or ("png", "svg"))
    if found.study == BENCHMARK:
        parts = (frame_of(found), found.jobs)
        paths = save_all(*parts, folder, wanted, workers(jobs), plugins)
    else:
        paths = [path for one in reported(found)[1] for path in one.save(folder, wanted)]
    for path in paths:
        click.echo(str(path))
    _tell(found)


@click.command()
@_run("run")
@click.option("--out", type=PATH, metavar="FILE", help="By default report.html in the run.")
@click.option(
    "--no-certificates", is_flag=True, help="Leave out what each rule claims, which takes minutes."
)
@jobs_option
@plugin_option
def report(
    run: Path,
    out: Path | None,
    no_certificates: bool,
    jobs: int | None,
    plugins: tuple[str, ...],
) -> None:
    """Write one HTML page about a RUN directory: charts, tables, certificates, provenance.

    The page loads nothing from elsewhere. It needs the extra report. Rules of plug-ins are
    certified if --plugin names their files: a run directory executes nothing by itself.
    Certificates are kept in the run directory, and made once.
    """
    from plausibench.bench.cli.check import certificates_of
    from plausibench.bench.page import page
    from plausibench.bench.report.nulls import parted
    from plausibench.bench.running.folders import write_text
    from plausibench.bench.running.store import Run

    found = Run.open(run)
    due = parted(found.jobs)[0] if "protocol" in found.jobs else found.jobs
    rules = () if no_certificates or "rule" not in due else due["rule"]
    certificates = certificates_of(run, rules, jobs, plugins)
    target = run / "report.html" if out is None else out
    write_text(target, page(found, certificates))
    click.echo(f"Report: {target}")
    _tell(found)


@click.command()
@_run("run")
@_OUT
def cite(run: Path, out: Path | None) -> None:
    """Print the BibTeX of the rules, architectures, objectives and tasks of a RUN directory."""
    from plausibench.bench.components.citations import bibtex
    from plausibench.bench.running.store import Run

    found = Run.open(run)
    _print(bibtex(found.sources["cites"]), out)
    _tell(found)


@click.command()
@_run("run_a")
@_run("run_b")
@_FORMAT
@_COLUMNS
@_PROJECTION
@click.option(
    "--rate",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of false ones among the differences flagged.",
)
@click.option("--every", is_flag=True, help="Show what is not flagged, too.")
@plugin_option
@_OUT
def compare(
    run_a: Path,
    run_b: Path,
    format: str,
    columns: str | None,
    projection: str,
    rate: float,
    every: bool,
    out: Path | None,
    plugins: tuple[str, ...],
) -> None:
    """Compare two run directories; only differences that the statistics support are flagged."""
    from plausibench.bench.cli.planning import BENCHMARK
    from plausibench.bench.report.compare import compare as compared
    from plausibench.bench.report.compare import difference_table
    from plausibench.bench.report.differences import differences, table_of
    from plausibench.bench.running.store import Run, same_data
    from plausibench.bench.studies.benchmark.study import frame_of
    from plausibench.bench.studies.reading import results, study_of
    from plausibench.kernels.errors import InputError

    first, second = Run.open(run_a), Run.open(run_b)
    if first.study != second.study:
        raise InputError(
            f"run: {run_b} is of the study {second.study}, not {first.study} as {run_a} is"
        )
    for each in (first, second):
        results(each)
    names = (str(run_a), str(run_b))
    if first.study == BENCHMARK:
        # The same data may lie elsewhere, and have another name.
        other = frame_of(second)
        other["task"] = other["task"].replace(same_data(first, second))
        found = compared(
            frame_of(first), other, columns=_names(columns), projection=projection, rate=rate
        )
        table = difference_table(found, every=every, rate=rate, names=names)
    else:
        _refuse_shaping(first, {"columns": columns, "projection": projection})
        keys = study_of(first).keys
        found = differences(first.frame, second.frame, keys, rate=rate)
        table = table_of(found, every=every, rate=rate, names=names)
    notes = [f"{run.path}: {note}" for run in (first, second) for note in run.remarks()]
    _table(replace(table, notes=(*table.notes, *notes)), format, out)
    if format == "csv":
        _tell(first, second)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="New run directory.")
def merge(runs: tuple[Path, ...], out: Path) -> None:
    """Merge RUNS, run directories of one study with the same options, into one.

    Of results that are in several of them the first counts; they are the same, byte for byte,
    unless processors or versions differ, which is told.
    """
    from plausibench.bench.running.merging import merge as merged
    from plausibench.kernels.errors import counted

    found, notes = merged(runs, out)
    click.echo(f"{counted(found.finished, 'job')}: {out}")
    for note in (*notes, *found.remarks()):
        click.echo(note, err=True)


def _tell(*runs: "Run") -> None:
    """Say on standard error what must be known of runs, where no table can say it."""
    for run in runs:
        for note in run.remarks():
            click.echo(note if len(runs) == 1 else f"{run.path}: {note}", err=True)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _refuse_shaping(run: "Run", given: Mapping[str, Any]) -> None:
    """Refuse options that only the benchmark has a use for."""
    from plausibench.kernels.errors import InputError

    for name, value in given.items():
        if value not in (None, (), "all"):
            raise InputError(
                f"{name}: {run.path} is of the study {run.study}, whose tables are as they are; "
                "leave it out"
            )


def _rendered(table: "Table", form: str, out: Path | None) -> str:
    return table.render(form, text_width() if out is None else None)


def _table(table: "Table", form: str, out: Path | None) -> None:
    _print(_rendered(table, form, out), out)


def _print(text: str, out: Path | None) -> None:
    from plausibench.bench.running.folders import write_text

    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)

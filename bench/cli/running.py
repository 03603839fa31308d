"""What every command that runs a study shares: its options, and its work by the driver."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Interrupted, Place

if TYPE_CHECKING:
    from plausibench.bench.running.executor import Executor
    from plausibench.bench.running.shards import Shard
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.study import Study

Option = Callable[[Any], Any]


jobs_option: Option = click.option(
    "--jobs",
    type=int,
    help="Worker processes; by default one a core that may be used. Results do not depend on it.",
)
shard_option: Option = click.option(
    "--shard",
    metavar="I/N",
    help="Compute the I-th of N shares, I from 1; by default that of a SLURM job array.",
)
scheduler_option: Option = click.option(
    "--scheduler", metavar="ADDRESS", help="Dask scheduler to compute on, such as tcp://host:8786."
)
nulls_option: Option = click.option(
    "--nulls/--no-nulls",
    default=None,
    help="Whether to train what accuracies are compared with: readout only, linear. By default.",
)
dry_run_option: Option = click.option(
    "--dry-run", is_flag=True, help="Print what would be computed, and stop."
)


def out_option(text: str = "Run directory.") -> Option:
    """``--out DIR``, with a help text of the command's own."""
    return click.option("--out", type=Place(), metavar="DIR", help=text)


def _load(context: click.Context, parameter: click.Parameter, paths: tuple[str, ...]) -> Any:
    if paths and not context.resilient_parsing:
        from plausibench.bench.studies.study import load_plugins

        load_plugins(paths)
    return paths


# Eager: other options may name what the plug-in defines.
plugin_option: Option = click.option(
    "--plugin",
    "plugins",
    metavar="FILE",
    multiple=True,
    is_eager=True,
    callback=_load,
    type=click.Path(),
    help="Python file that defines further components or studies; repeatable.",
)


def workers(jobs: int | None) -> int:
    """Number of processes: what was asked for, or one a core that may be used.

    Raises
    ------
    InputError
        If it is not at least 1.
    """
    from plausibench.kernels.cores import cores
    from plausibench.kernels.errors import integer

    return cores() if jobs is None else integer("jobs", jobs, least=1)


@contextmanager
def executor(scheduler: str | None, jobs: int | None) -> "Iterator[Executor]":
    """What computes: the workers of a Dask scheduler, or so many processes of this machine.

    Raises
    ------
    InputError
        If both are given, no scheduler answers, or the number of processes is not at least 1.
    """
    from plausibench.bench.running.executor import IN_PROCESS, Processes

    if scheduler is None:
        count = workers(jobs)
        yield IN_PROCESS if count == 1 else Processes(count)
        return
    from plausibench.bench.running.dask import connected
    from plausibench.kernels.errors import InputError

    if jobs is not None:
        raise InputError("jobs: the scheduler decides on the number of workers; give one of them")
    waiting = "Waiting for workers: the Dask scheduler has none yet."
    with connected(scheduler, lambda: click.echo(waiting, err=True)) as cluster:
        yield cluster


def share(text: str | None) -> "Shard":
    """The share of a text such as ``3/8``; without one that of a SLURM job array, or all.

    Raises
    ------
    InputError
        If there is no such share.
    """
    import os

    from plausibench.bench.running.shards import Shard, shard_of_array

    return shard_of_array(os.environ) if text is None else Shard.parse(text)


def tell_failures(runs: "Sequence[Run]") -> bool:
    """Say which jobs failed, and why; whether there are any."""
    failed = [
        f"{', '.join(map(str, run.due[key].values()))} failed: {record.reason}"
        for run in runs
        for key, record in run.records.items()
        if record.status == "failed"
    ]
    for sentence in failed:
        click.echo(sentence, err=True)
    return bool(failed)


def perform(
    study: "Study",
    options: Any,
    out: Path,
    executor: "Executor",
    share: "Shard",
    plugins: Sequence[str] = (),
    what: str = "measuring",
) -> "list[Run]":
    """Run a study with a progress bar; on Ctrl-C it says what goes on with it.

    Returns
    -------
    list of Run
        As of :func:`plausibench.bench.studies.run.run`.

    Raises
    ------
    InputError
        As the driver.
    """
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.studies.run import run

    try:
        with progress(None, what) as advance:
            return run(
                study,
                options,
                out,
                executor=executor,
                share=share,
                plugins=plugins,
                on_done=lambda job, _, done, total: advance(job.label, done, total),
            )
    except KeyboardInterrupt as error:
        raise Interrupted(_how_to_resume(out)) from error


def _how_to_resume(folder: Path) -> str:
    from plausibench.bench.running.store import STUDY, Run
    from plausibench.kernels.errors import counted

    if (folder / STUDY).is_file():
        run = Run.open(folder)
        return (
            f"Interrupted: {run.finished} of {counted(len(run.due), 'job')} are kept in {folder}; "
            f"resume with: plausibench run --resume {shlex.quote(str(folder))}"
        )
    if not folder.is_dir():
        return "Interrupted before anything was kept."
    return f"Interrupted: what is done is kept in {folder}; the same command goes on with it."

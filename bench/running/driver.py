"""Do the jobs of a study, keep each as it is done, and go on where it stopped."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from plausibench.bench.running.executor import IN_PROCESS, Executor
from plausibench.bench.running.job import Job, Outcome, Row
from plausibench.bench.running.shards import EVERYTHING, Shard
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError, show

OnDone = Callable[[Job, Outcome, int, int], None]


def run(
    study: str,
    options: Any,
    jobs: Iterable[Job],
    out: Path | str,
    executor: Executor = IN_PROCESS,
    share: Shard = EVERYTHING,
    plugins: Sequence[str] = (),
    on_done: OnDone | None = None,
    sources: Mapping[str, Any] | None = None,
) -> Run:
    """Do every job that the directory has no result of yet.

    The results do not depend on the executor, on shares, or on interruptions.

    Parameters
    ----------
    study
        Name of the study.
    options
        What was asked for; a run is continued with the same options, or with more seeds.
    jobs
        What follows from the options, in the order of the table.
    out
        Run directory; made if it is not there.
    executor
        What computes; by default this process.
    share
        Share of the jobs to do; other processes do the others in the same directory.
    plugins
        Plug-in files that the jobs need.
    on_done
        Called after each job with it, what became of it, and the numbers done and in all.
    sources
        What the components cite and the digests of data, kept for readers.

    Raises
    ------
    InputError
        If nothing can run, or the directory cannot be used.
    """
    listed = list(jobs)
    _refuse_idle(listed)
    _refuse_doubles(listed)
    due = {job.key: job.about for job in listed}
    directory = Run.create(out, study, options, due, plugins, sources)
    if not directory.expects(due):
        _refuse_outdated(directory, due, share)
        directory = directory.expecting(due, sources)
    # The most expensive first, so that nobody is left with one when all else is done; those that
    # cost alike go to different shares.
    mine = share.share(sorted(listed, key=lambda job: -job.cost))
    missing = [job for job in mine if not _is_kept(directory, job)]
    done, total = len(mine) - len(missing), len(mine)

    def todo() -> Iterator[Job]:
        """What is missing still when it comes to it: other processes may have done it."""
        nonlocal done
        absent = {job.key for job in missing if not directory.file(job.key).exists()}
        for job in missing:
            if job.key in absent and directory.file(job.key).exists():
                done += 1
            else:
                yield job

    # Closed, so that an exception in this loop ends the work at once.
    with closing(executor.outcomes(todo(), plugins)) as outcomes:
        for job, outcome in outcomes:
            directory.keep(job, outcome)
            done += 1
            if on_done is not None:
                on_done(job, outcome, done, total)
    return Run(directory.path)


def _is_kept(directory: Run, job: Job) -> bool:
    """Whether there is a result; a failed job and a damaged record are none."""
    try:
        record = directory.read(job.key)
    except InputError:
        return False
    return record is not None and record.status != "failed"


def _refuse_idle(jobs: Sequence[Job]) -> None:
    if not jobs:
        raise InputError("jobs: there are none; the options leave nothing to do")
    if all(job.reason for job in jobs):
        raise InputError(f"jobs: nothing can run; {jobs[0].label} cannot because {jobs[0].reason}")


def _refuse_doubles(jobs: Sequence[Job]) -> None:
    seen = set()
    for job in jobs:
        identity = tuple(sorted(job.about.items()))
        if identity in seen:
            raise InputError(f"jobs: there are two about {show(job.about)}; each needs its own")
        seen.add(identity)


def _refuse_outdated(directory: Run, due: Mapping[str, Row], share: Shard) -> None:
    """Refuse that one share of several takes from what is due for all; seeds may be added."""
    if share.of > 1 and not directory.due.keys() <= due.keys():
        raise InputError(
            f"out: {directory.path} was begun with other sources, data or versions of libraries "
            f"than here, so share {share} does not fit the others; install the same everywhere, "
            "choose another folder, or run it once without shares"
        )

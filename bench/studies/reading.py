"""What the results of a study say: its tables and pictures."""

import shlex
from typing import TYPE_CHECKING

from plausibench.bench.running.store import Run
from plausibench.bench.studies.study import Study, find, names
from plausibench.kernels.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from plausibench.bench.report.render import Table
    from plausibench.bench.report.style import Picture


def study_of(run: Run) -> Study:
    """The study of a run.

    Raises
    ------
    InputError
        If it is not known here: reading a run loads no plug-in.
    """
    if run.study not in names():
        files = " ".join(f"--plugin {shlex.quote(file)}" for file in run.plugins) or "--plugin FILE"
        raise InputError(
            f"study: {run.path} is of {run.study!r}, which is not known here; if a plug-in defines "
            f"it, give {files}"
        )
    return find(run.study)


def results(run: Run) -> "pd.DataFrame":
    """Table of all results of a run.

    Raises
    ------
    InputError
        If there are none yet.
    """
    if run.frame.empty:
        raise InputError(f"run: {run.path} has no results yet")
    return run.frame


def reported(run: Run) -> "tuple[dict[str, Table], list[Picture]]":
    """Tables by name and pictures that the study of a run makes of its results.

    Raises
    ------
    InputError
        If the study is not known, or its report needs results that are not there.
    """
    study = study_of(run)
    frame, report = results(run), study.reporter()
    try:
        tables, pictures = report(frame)
    except Exception as error:
        if (run.jobs["status"] == "done").all():
            raise InputError(
                f"study {study.name}: its report raises {type(error).__name__}: {error}"
            ) from error
        said = (
            f"run: {run.path} lacks results that the report of the study {run.study} needs "
            f"({type(error).__name__}: {' '.join(str(error).split())})"
        )
        raise InputError("; ".join([said, *run.remarks()])) from error
    return tables, pictures

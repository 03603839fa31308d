"""Run a study: its jobs, or its stages one after another."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from plausibench.bench.running import driver
from plausibench.bench.running.store import Run
from plausibench.bench.studies.study import Stages, Study


def run(study: Study, options: Any, out: Path, **how: Any) -> list[Run]:
    """Run a study in a folder, with its stages in folders below.

    A stage begins when the one before is finished. Of several shares each ends where others are
    under way, and is to be run again when they are done.

    Parameters
    ----------
    study
        The study.
    options
        Its options.
    out
        Run directory, or the folder of those of the stages.
    **how
        As for :func:`plausibench.bench.running.driver.run`.

    Returns
    -------
    list of Run
        Those that were begun, in order.

    Raises
    ------
    InputError
        As the driver.
    """
    work = study.jobs(options)
    if not isinstance(work, Generator):
        return [driver.run(study.name, options, work, out, **how)]
    return _in_turn(work, out, how)


def _in_turn(stages: Stages, out: Path, how: dict[str, Any]) -> list[Run]:
    runs: list[Run] = []
    stage = next(stages, None)
    while stage is not None:
        runs += run(stage.study, stage.options, out / stage.folder, **how)
        if runs[-1].finished < len(runs[-1].due):
            break
        try:
            stage = stages.send(runs[-1])
        except StopIteration:
            break
    return runs

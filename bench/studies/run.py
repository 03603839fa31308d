"""Run a study: its jobs, or its stages one after another."""

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from plausibench.bench.components import registry
from plausibench.bench.components.citations import cited
from plausibench.bench.components.selectors import select
from plausibench.bench.running import driver
from plausibench.bench.running.job import Row
from plausibench.bench.running.store import Run
from plausibench.bench.studies.study import Stages, Study
from plausibench.kernels.errors import InputError


def run(
    study: Study, options: Any, out: Path, plugins: Sequence[str] = (), **how: Any
) -> list[Run]:
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
    plugins
        Plug-in files that the jobs need, besides those that the options name.
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
    work = study.work(options)
    if named := getattr(options, "plugins", ()):
        # Where they lie is none of the options with which a run is continued.
        options, plugins = replace(options, plugins=()), (*plugins, *named)
    if isinstance(work, Generator):
        return _in_turn(work, out, {**how, "plugins": plugins})
    sources = _sources(job.about for job in work)
    return [driver.run(study.name, options, work, out, plugins=plugins, sources=sources, **how)]


def _sources(jobs: Iterable[Row]) -> Mapping[str, Any]:
    """What readers of a run need of its components and data, which they do not load."""
    jobs = list(jobs)
    data = {}
    for text in dict.fromkeys(about.get("task") for about in jobs):
        if isinstance(text, str) and text.partition("[")[0] in registry.entries("task"):
            with suppress(InputError):  # a task by the name, whatever stands behind it
                task: Any = select("task", text).make()
                name = json.dumps([task.name, task.identity], default=str)
                data[text] = hashlib.sha256(name.encode()).hexdigest()
    return {"cites": cited(jobs), "data": data}


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

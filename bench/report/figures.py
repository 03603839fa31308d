"""All pictures of a run, as far as it has the data for them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from plausibench.bench.report import style
from plausibench.bench.report.aggregate import settings
from plausibench.bench.report.along import along_training
from plausibench.bench.report.averaging import averaging_curve
from plausibench.bench.report.budget import variance_budget
from plausibench.bench.report.curves import learning_curves
from plausibench.bench.report.families import MANY, families
from plausibench.bench.report.nulls import parted
from plausibench.bench.report.plane import AXES, plane
from plausibench.bench.report.style import Picture
from plausibench.bench.running.folders import make_folder
from plausibench.kernels.errors import choose


def pictures(frame: pd.DataFrame, units: pd.DataFrame | None = None) -> list[Picture]:
    """Draw every picture that a run has the data for, each setting apart.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.

    Returns
    -------
    list of Picture
        Names are those of the functions; with several settings, followed by the setting.
    """
    rules, nulls = parted(frame)
    looks = style.styles(rules["rule"])
    names = settings(rules)
    found = []
    for name in names.unique():
        measured = rules[names == name]
        places = measured[["task", "objective"]].drop_duplicates()
        part = pd.concat([measured, nulls.merge(places, on=["task", "objective"])])
        drawn = [draw(part, units, looks=looks) for draw in _drawable(part)]
        if measured["rule"].nunique() > MANY:
            drawn += [families(part, units, axis=axis) for axis in AXES]
        suffix = str(name) if names.nunique() > 1 else ""
        found += [replace(p, name=style.file_name(p.name, suffix)) for p in drawn]
    return found


def save_all(
    frame: pd.DataFrame,
    units: pd.DataFrame | None,
    folder: Path | str,
    formats: Iterable[str] = ("png", "svg"),
) -> list[Path]:
    """Write every picture that a run has the data for.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    folder
        Made if it is not there.
    formats
        Any of png, svg, pdf.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        If a format is unknown or the folder cannot be written.
    """
    wanted = [choose("format", kind, style.FORMATS) for kind in formats]
    make_folder(Path(folder))
    return [path for picture in pictures(frame, units) for path in picture.save(folder, wanted)]


def _drawable(frame: pd.DataFrame) -> Iterator[Callable[..., Picture]]:
    steps = frame.groupby("kind")["step"].nunique()
    if "conditional" in steps:
        yield plane
        yield partial(plane, axis="scale_free")
        if steps["conditional"] > 1:
            yield along_training
    if "budget" in steps:
        yield variance_budget
    if "averaging" in steps:
        yield averaging_curve
    own = frame[(frame["kind"] == "training") & (frame["protocol"] == "own")]
    if own["step"].nunique() > 1:
        yield learning_curves

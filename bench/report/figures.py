"""All pictures of a run, as far as it has the data for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
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
from plausibench.bench.report.overview import MOST, overview
from plausibench.bench.report.plane import AXES, plane
from plausibench.bench.report.style import Picture
from plausibench.bench.running.executor import workers
from plausibench.bench.running.folders import make_folder
from plausibench.kernels.errors import InputError, choose

WORTH = 4
"""Pictures that are worth a process, which has to import all that draws."""


def pictures(frame: pd.DataFrame, units: pd.DataFrame | None = None) -> list[Picture]:
    """Draw every picture that a run has the data for, each setting apart.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.

    Returns
    -------
    list of Picture
        Names are those of the functions; with several settings, followed by the setting. The first
        is an overview, in which a few settings stand below each other.
    """
    return [draw() for draw in _drawings(frame, units)]


def _drawings(frame: pd.DataFrame, units: pd.DataFrame | None) -> list[Callable[[], Picture]]:
    """What draws each of the pictures."""
    rules, nulls = parted(frame)
    looks = style.styles(rules["rule"])
    names = settings(rules)
    found: list[Callable[[], Picture]] = []
    named = _nameable(rules, names)
    if named and names.nunique() <= MOST:
        found.append(partial(overview, frame, units, looks=looks))
    for name in names.unique():
        measured = rules[names == name]
        places = measured[["task", "objective"]].drop_duplicates()
        part = pd.concat([measured, nulls.merge(places, on=["task", "objective"])])
        drawn = [partial(draw, part, units, looks=looks) for draw in _drawable(part)]
        if named and names.nunique() > MOST and (measured["kind"] == "conditional").any():
            drawn.insert(0, partial(overview, part, units, looks=looks))
        if measured["rule"].nunique() > MANY:
            drawn += [partial(families, part, units, axis=axis) for axis in AXES]
        suffix = str(name) if names.nunique() > 1 else ""
        found += [partial(_named, draw, suffix) for draw in drawn]
    return found


def _named(draw: Callable[[], Picture], suffix: str) -> Picture:
    picture = draw()
    return replace(picture, name=style.file_name(picture.name, suffix))


def save_all(
    frame: pd.DataFrame,
    units: pd.DataFrame | None,
    folder: Path | str,
    formats: Iterable[str] = ("png", "svg"),
    jobs: int = 1,
    plugins: Sequence[str] = (),
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
    jobs
        Processes that draw; the files are the same with any number.
    plugins
        Plug-in files of rules, for other processes.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        If a format is unknown, the folder cannot be written, or a process dies.
    """
    wanted = tuple(choose("format", kind, style.FORMATS) for kind in formats)
    make_folder(Path(folder))
    drawings = _drawings(frame, units)
    shares = max(1, min(jobs, len(drawings) // WORTH))
    if shares == 1:
        return [path for draw in drawings for path in draw().save(folder, wanted)]
    try:
        # This process draws too.
        with workers(shares - 1, plugins) as pool:
            rest = [
                pool.submit(_save_share, frame, units, folder, wanted, share, shares)
                for share in range(1, shares)
            ]
            drawn = _save_share(frame, units, folder, wanted, 0, shares)
            for other in rest:
                drawn |= other.result()
    except BrokenProcessPool as error:
        raise InputError(
            "pictures: a process that drew some died, for example because memory ran out"
        ) from error
    return [path for place in sorted(drawn) for path in drawn[place]]


def _save_share(
    frame: pd.DataFrame,
    units: pd.DataFrame | None,
    folder: Path | str,
    formats: tuple[str, ...],
    share: int,
    shares: int,
) -> dict[int, list[Path]]:
    """Write the pictures of one of several shares, by their place among all."""
    drawings = _drawings(frame, units)
    places = range(share, len(drawings), shares)
    return {place: drawings[place]().save(folder, formats) for place in places}


def _nameable(rules: pd.DataFrame, names: pd.Series) -> bool:
    """Whether bias and variance were measured of no more rules than have room for their names."""
    measured = rules["kind"] == "conditional"
    return bool(measured.any()) and bool(rules.groupby(names)["rule"].nunique().max() <= MANY)


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

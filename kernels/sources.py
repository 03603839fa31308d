"""Which files of the package others are made of: those that they import, and so on."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""Where the folders of the package lie."""
IMPORT = re.compile(r"^\s*from plausibench\.([\w.]+) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


def files(root: Path = ROOT) -> dict[str, bytes]:
    """Content of every source of the package by its name, such as ``kernels/sources.py``."""
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for package in root.glob("*/__init__.py")
        for file in package.parent.rglob("*.py")
    }


def reached(
    starts: Iterable[str],
    content: Mapping[str, bytes],
    followed: Callable[[str], bool] = lambda name: True,
) -> dict[str, bytes]:
    """Files that are named and all that they import, by name.

    Parameters
    ----------
    starts
        Names of files; those that are not there are left out.
    content
        Content of all files by name.
    followed
        Whether a file that is imported counts.
    """
    seen: dict[str, bytes] = {}
    waiting = [name for name in starts if name in content]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name] = content[name]
            waiting += filter(followed, imported(content[name].decode("utf-8"), content))
    return seen


def imported(text: str, content: Mapping[str, bytes]) -> list[str]:
    """Names of the files that a source imports from this package."""
    names = []
    for module, items in IMPORT.findall(text):
        place = module.replace(".", "/")
        inside = re.findall(r"\w+", items)
        names += [f"{place}.py", f"{place}/__init__.py", *(f"{place}/{n}.py" for n in inside)]
    return [name for name in names if name in content]

"""Where a result comes from: sources, versions, machine."""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plausibench.bench.components import registry
from plausibench.kernels import sources
from plausibench.kernels.cores import cores

COMPONENTS = ("objectives/", "architectures/", "rules/", "bench/tasks/")
COMPUTING = (
    *COMPONENTS,
    "kernels/",
    "bench/__init__.py",
    "bench/components/",
    "bench/measuring/",
    "bench/training/",
    "bench/identification/",
    "bench/conformance/",
    "bench/certificate/",
)
"""What results are computed by, besides the folders of studies; not how jobs are run and shown."""
NUMERIC = ("numpy", "numba", "scipy")
LIBRARIES = ("plausibench", *NUMERIC, "pandas", "seaborn", "matplotlib")


@cache
def digest(*modules: str, components: bool = False, root: Path = sources.ROOT) -> str:
    """Digest of the sources by which modules compute: theirs, and those that they import.

    Parameters
    ----------
    modules
        Names. Of one that is not of this package, what it imports from here counts.
    components
        Whether they may also use any component by its name.
    root : Path, optional
        Where the folders of the package lie.
    """
    content = _files(root)
    starts = [file for name in modules for file in _starts(name, content)]
    if components:
        starts += [name for name in content if name.startswith(COMPONENTS)]
    return _digest(sources.reached(starts, content, _computes))


def _starts(module: str, content: Mapping[str, bytes]) -> list[str]:
    """Names of the file of a module, or of those that it imports."""
    package, _, inner = module.partition(".")
    if package == "plausibench":
        place = inner.replace(".", "/")
        return [f"{place}.py", f"{place}/__init__.py"]
    return sources.imported(registry.text_of(module), content)


@cache
def engine() -> str:
    """Digest of all sources that compute anything."""
    content = _files(sources.ROOT)
    return _digest({name: content[name] for name in content if _computes(name)})


def _computes(name: str) -> bool:
    in_study = name.startswith("bench/studies/") and name.count("/") > 2
    return name.startswith(COMPUTING) or (in_study and not name.endswith("/report.py"))


@cache
def _files(root: Path) -> dict[str, bytes]:
    return sources.files(root)


def _digest(content: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(name.encode() + b"\0" + content[name] + b"\0")
    return total.hexdigest()


def provenance(command: list[str]) -> dict[str, Any]:
    """Versions, processor and sources of this process, as plain values."""
    return {
        "command": command,
        "engine": engine(),
        "python": platform.python_version(),
        "libraries": libraries(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
    }


@cache
def libraries() -> dict[str, str]:
    """Versions of the libraries in use; results depend on those of ``NUMERIC``."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()

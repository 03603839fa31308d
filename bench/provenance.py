"""Where a result comes from: sources, versions, machine."""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plausibench.bench import registry
from plausibench.kernels.cores import cores

ENGINE = ("kernels", "objectives", "architectures", "rules", "bench")
NOT_ENGINE = (
    "bench/citations.py",
    "bench/cli",
    "bench/conformance",
    "bench/cost.py",
    "bench/exponents.py",
    "bench/folders.py",
    "bench/precision.py",
    "bench/report",
    "bench/running/dask.py",
    "bench/running/driver.py",
    "bench/running/executor.py",
    "bench/running/files.py",
    "bench/running/merging.py",
    "bench/running/store.py",
    "bench/shards.py",
    "bench/studies",
    "bench/template",
)
NUMERIC = ("numpy", "numba", "scipy")
LIBRARIES = ("plausibench", *NUMERIC, "pandas", "seaborn", "matplotlib")


@cache
def engine_digest() -> str:
    """Digest of all sources that every result depends on: kernels and engine, no component."""
    root = Path(registry.__file__).parent.parent
    components = {
        _source(entry.target)
        for kind in registry.KINDS
        for entry in registry.entries(kind).values()
        if entry.origin == "built in" and isinstance(entry.target, str)
    }
    digest = hashlib.sha256()
    for folder in ENGINE:
        for file in sorted((root / folder).rglob("*.py")):
            name = file.relative_to(root).as_posix()
            if name not in components and not name.startswith(NOT_ENGINE):
                digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def source_digest() -> str:
    """Digest of all sources from which a study is computed, components included."""
    root = Path(registry.__file__).parent.parent
    digest = hashlib.sha256()
    for folder in ENGINE:
        for file in sorted((root / folder).rglob("*.py")):
            name = file.relative_to(root).as_posix()
            if not name.startswith(("bench/cli", "bench/conformance", "bench/report")):
                digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _source(target: str) -> str:
    return target.partition(":")[0].removeprefix("plausibench.").replace(".", "/") + ".py"


def provenance(command: list[str]) -> dict[str, Any]:
    """Versions, processor and sources of this process, as plain values."""
    return {
        "command": command,
        "engine": engine_digest(),
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

"""Where compiled code is kept between runs.

Numba recompiles a cached function when the file that defines it changes, but not when another
file does whose functions it calls. So the folder is named by a digest of the sources that compiled
functions are made of: changed ones look into another folder, and what is found there is never
stale. A change elsewhere, in a report say, compiles nothing anew.
"""

import os
import sys
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from plausibench.kernels import sources

VARIABLE = "NUMBA_CACHE_DIR"
MARK = b"plausibench.kernels.compiled import"
"""What every file with compiled functions says."""


def prepare() -> None:
    """Tell numba where to keep compiled code, unless the user has chosen a place.

    Numba is told through the environment, or directly if something imported it before. A choice
    that this package made in a parent process is made anew: the sources may be others here.
    Without a home for the user nothing is kept.
    """
    with suppress(RuntimeError):  # no home
        chosen = os.environ.get(VARIABLE)
        if chosen and Path(chosen).parent != home():
            return
        if "numba" not in sys.modules:
            os.environ[VARIABLE] = str(home() / digest())
        elif not sys.modules["numba"].config.CACHE_DIR:
            sys.modules["numba"].config.CACHE_DIR = str(home() / digest())


def compiled() -> bool:
    """Whether compiled code of these sources is at hand, so that nothing has to be compiled."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and any(Path(folder).rglob("*.nbi"))


def home() -> Path:
    """Folder that holds one folder of compiled code for each version of the sources.

    Raises
    ------
    RuntimeError
        If the user has no home.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plausibench"


def digest(root: Path = sources.ROOT) -> str:
    """Digest of what compiled code depends on: its sources and the versions that compile them.

    Parameters
    ----------
    root : Path, optional
        Where the folders of the package lie, by default beside this one.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    total = blake2b(digest_size=16)
    total.update(f"{version('numba')} {sys.version}".encode())
    for source, content in sorted(compiled_sources(root).items()):
        total.update(f"\n{source} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def compiled_sources(root: Path) -> dict[str, bytes]:
    """Files with compiled functions and all that they import, by name: what a kernel can call."""
    content = sources.files(root)
    return sources.reached([name for name, text in content.items() if MARK in text], content)

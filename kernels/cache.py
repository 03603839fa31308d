"""Where compiled code is kept between runs.

Numba recompiles a cached function when the file that defines it changes, but not when another
file does whose functions it calls. So the folder is named by a digest of all sources of the
package: changed sources look into another folder, and what is found there is never stale.
"""

import os
import sys
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

FOLDERS = ("kernels", "objectives", "architectures", "rules", "bench")
VARIABLE = "NUMBA_CACHE_DIR"


def prepare() -> None:
    """Tell numba to keep compiled code in `folder`, unless the user has chosen a place.

    Call it before numba is imported; later it reaches only functions not yet decorated. A choice
    that another version of this package made in the environment of a parent process is replaced.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen and Path(chosen).parent != home():
        return
    if "numba" not in sys.modules:
        os.environ[VARIABLE] = str(folder())
        return
    config = sys.modules["numba"].config
    if not config.CACHE_DIR:
        config.CACHE_DIR = str(folder())


def home() -> Path:
    """Folder that holds one folder of compiled code for each version of the sources."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plausibench"


def folder() -> Path:
    """Folder for the code compiled from the present sources."""
    return home() / digest()


def digest(root: Path | None = None) -> str:
    """Digest of all sources of the package and of the versions that compile them.

    Parameters
    ----------
    root : Path, optional
        Where the folders of the package lie, by default beside this one.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    root = root or Path(__file__).parent.parent
    total = blake2b(digest_size=16)
    total.update(f"{version('numba')} {sys.version}".encode())
    for name in FOLDERS:
        for source in sorted((root / name).rglob("*.py")):
            content = source.read_bytes()
            total.update(f"\0{source.relative_to(root).as_posix()} {len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()

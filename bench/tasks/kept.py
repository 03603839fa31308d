"""Data that take long to make, kept in the user's cache folder once they are made."""

import os
import secrets
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np

from plausibench.kernels.cache import home

Arrays = Mapping[str, np.ndarray]


def kept(name: str, identity: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays as ``make`` makes them, which is asked only where they are not kept already.

    They are made anew where what is kept cannot be read or is damaged, and nothing is kept where
    the user has no home or the disk does not take it.

    Parameters
    ----------
    name
        Beginning of the name of the file.
    identity
        Everything that decides the arrays, such as options and versions of libraries.
    make
        Makes the arrays.
    """
    try:
        file = home() / "data" / f"{name}-{blake2b(identity.encode(), digest_size=16).hexdigest()}"
    except RuntimeError:  # no home
        return make()
    # The archive has a check sum of each array.
    with (
        suppress(OSError, ValueError, EOFError, zipfile.BadZipFile),
        file.open("rb") as stream,
        np.load(stream) as archive,
    ):
        return {key: archive[key] for key in archive.files}
    made = make()
    with suppress(OSError):
        _write(file, made)
    return made


def _write(file: Path, arrays: Arrays) -> None:
    """Write a file beside its place and rename it, so that nobody reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)

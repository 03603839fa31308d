"""Folders and files of results: what cannot be written is refused in one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from plausibench.kernels.errors import InputError, show


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Writing to a place, which the system may refuse.

    Raises
    ------
    InputError
        If the folder is missing, is a file or not ours, the disk is full or the like.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"out: {show(str(path))} cannot be written ({reason})") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def check_folder(folder: Path, *, tried: bool) -> None:
    """Refuse a folder that cannot be written, before anything is computed.

    Parameters
    ----------
    folder
        It, or folders above it, need not be there yet, and are not made.
    tried
        Whether to write, for a moment, to the part of its path that exists.

    Raises
    ------
    InputError
        If that part is no folder or cannot be written.
    """
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not there.is_dir():
        raise InputError(f"out: {show(str(there))} is a file, not a folder")
    for name in folder.relative_to(there).parts:
        try:
            os.lstat(there / name)
        except FileNotFoundError:
            pass
        except OSError as error:  # such as a name that is too long
            raise InputError(
                f"out: {show(str(folder))} cannot be made ({error.strerror})"
            ) from error
    if tried:
        # The superuser has every permission, and yet a file system may take nothing.
        with writing(folder):
            TemporaryDirectory(dir=there).cleanup()


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with writing(path):
        path.write_text(text, encoding="utf-8", newline="\n")

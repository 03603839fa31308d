"""Reading the files in which CIFAR-10 and CIFAR-100 are distributed."""

import os
import tarfile
import zlib
from collections.abc import Set
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.images import Labelled, is_folder, read_arrays
from plausibench.bench.tasks.pickled import read_pickled
from plausibench.kernels.errors import InputError, refusal

SHAPE = (3, 32, 32)
"""Channels, rows and columns of an image in the files."""
PIXELS = 3 * 32 * 32
ARCHIVES = (".tar.gz", ".tgz", ".tar")


class Layout(NamedTuple):
    """Names of the files of one version.

    Attributes
    ----------
    folder : str
        The folder in which they are distributed.
    train, test : tuple of str
        Files of either set.
    """

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]


class Files(NamedTuple):
    """How one of the two data sets is distributed.

    Attributes
    ----------
    archive : str
        Name of the archive of the binary version.
    binary, pickled : Layout
        The binary version, and the one for Python.
    labels : int
        Bytes of labels before each image of the binary version.
    label : int
        Which of them is the class.
    key : str
        Name of the classes in the version for Python.
    """

    archive: str
    binary: Layout
    pickled: Layout
    labels: int
    label: int
    key: str


def read_cifar(source: Path, files: Files) -> list[Labelled]:
    """Training set and test set, images ``(B, 32, 32, 3)``.

    Parameters
    ----------
    source : Path
        A folder with the files of either version, or one above or with the archive; an archive of
        either version; or an .npz file.
    files : Files
        What to look for.

    Raises
    ------
    InputError
        If files are missing, damaged or of other contents.
    """
    if source.suffix.lower() == ".npz":
        return [(_channels_last(images), labels) for images, labels in read_arrays(source)]
    if is_folder(source):
        for layout in (files.binary, files.pickled):
            for home in (source, source / layout.folder):
                if all(os.path.isfile(home / name) for name in layout.train):
                    names = (*layout.train, *layout.test)
                    return _sets(files, layout, home, {n: _content(home / n) for n in names})
        source = source / files.archive
    if source.name.endswith(ARCHIVES) and os.path.isfile(source):
        layouts = (files.binary, files.pickled)
        members = _members(source, {name for each in layouts for name in each.train + each.test})
        for layout in layouts:
            if members.keys() >= {*layout.train, *layout.test}:
                return _sets(files, layout, source, members)
        raise InputError(
            f"path: {source} lacks some of {', '.join((*files.binary.train, *files.binary.test))}"
        )
    raise refusal(
        "path",
        str(source.parent if source.name == files.archive else source),
        f"a folder with {files.binary.folder} or {files.archive} in it, such an archive, or an "
        ".npz file",
    )


def _sets(files: Files, layout: Layout, source: Path, contents: dict[str, bytes]) -> list[Labelled]:
    read = _records if layout is files.binary else _batch
    sets = []
    for names in (layout.train, layout.test):
        parts = [read(files, source / name, contents[name]) for name in names]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        sets.append((_channels_last(images.reshape(-1, *SHAPE)), labels))
    return sets


def _records(files: Files, path: Path, content: bytes) -> Labelled:
    """Records of the binary version: bytes of labels, then red, green and blue, row by row."""
    width = files.labels + PIXELS
    if not content or len(content) % width:
        raise InputError(
            f"path: {path} has {len(content)} bytes, not records of {width} (labels and an image)"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, width)
    return records[:, files.labels :], records[:, files.label]


def _batch(files: Files, path: Path, content: bytes) -> Labelled:
    """A file of the version for Python: a table with images and classes."""
    instead = f"use the binary version, {files.archive}"
    table = read_pickled(content, path, instead)
    images, labels = table.get("data"), table.get(files.key)
    if (
        not isinstance(images, np.ndarray)
        or images.ndim != 2
        or images.shape[1] != PIXELS
        or not isinstance(labels, list)
        or len(labels) != len(images)
        or not all(type(label) is int for label in labels)
    ):
        raise InputError(
            f"path: {path} does not hold images of {PIXELS} bytes as data and a whole number for "
            f"each as {files.key}; {instead}"
        )
    return images, np.array(labels, dtype=np.int64)


def _channels_last(images: NDArray[Any]) -> NDArray[Any]:
    """Images with the channels of a pixel side by side."""
    if images.shape[1:] == SHAPE:
        return np.ascontiguousarray(np.moveaxis(images, 1, -1))
    return images


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"path: {path} cannot be read ({error.strerror})") from error


def _members(archive: Path, names: Set[str]) -> dict[str, bytes]:
    """Contents of files in an archive by their bare names; nothing is written to the disk."""
    contents = {}
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = PurePosixPath(member.name).name
                stream = members.extractfile(member) if name in names else None
                if stream is not None:
                    contents[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"path: {archive} cannot be read ({reason})") from error
    return contents

"""Reading .npz files, archives of arrays of numpy, without executing anything in them."""

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError, show


def read_npz(
    option: str, path: Path, layouts: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[NDArray[np.generic]]]:
    """Arrays of the first of several layouts that a file has.

    Parameters
    ----------
    option : str
        Name of the option that names the file, for errors.
    path : Path
        The file.
    layouts : sequence of sequences of str
        Names of arrays in lower case; in the file they may have capitals.

    Returns
    -------
    layout : sequence of str
        The names that were found.
    arrays : list of ndarray
        The arrays of these names, of any type but objects.

    Raises
    ------
    InputError
        If the file is damaged, has none of the layouts, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            members = {name.lower(): f"{name}.npy" for name in names}
            chosen = next((layout for layout in layouts if members.keys() >= set(layout)), ())
            # Whole members, because only then is their checksum looked at before their content.
            contents = [archive.read(members[name]) for name in chosen]
        arrays = [np.load(BytesIO(content), allow_pickle=False) for content in contents]
    except Exception as error:  # a damaged archive can raise almost anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        if "Object arrays" in reason:
            reason = (
                "it holds objects, which are not opened because that may execute what is in them; "
                "save numbers, or names as text"
            )
        raise InputError(f"{option}: {path} cannot be read ({reason})") from error
    if not chosen:
        raise InputError(
            f"{option}: {path} holds {show(sorted(names))}, not the arrays "
            f"{' or '.join(', '.join(layout) for layout in layouts)}"
        )
    return chosen, arrays

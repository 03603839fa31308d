"""Reading tables of numbers from text files, each bad value named by its line."""

import csv
from array import array
from collections.abc import Iterator, Sequence
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError, nearest, show

_SEPARATORS = "\t;,"
"""The first of them that a line has separates its columns: after it commas are those of numbers."""


class _Line(NamedTuple):
    number: int
    cells: list[str]


def read_table(path: Path, column: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Inputs and targets of a table with an example in each row.

    Columns are separated by commas, or by semicolons or tabs if the first line has any. A first
    line in which no input is a number holds the names of the columns.

    Parameters
    ----------
    path : Path
        The file, in UTF-8.
    column : str
        Name of the column of targets, or its place counted from 1; empty for the last one.

    Returns
    -------
    inputs : ndarray of float64, shape (B, N)
        All other columns.
    targets : ndarray, shape (B,)
        Numbers, or text if no value is a number.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold numbers in rows of equal length.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"file: {path} cannot be read ({error.strerror})") from error
    except ValueError as error:  # other bytes than UTF-8, or a name that no file can have
        raise InputError(f"file: {path} is no text in UTF-8 ({error})") from error
    lines = _lines(path, text)
    first = next(lines, None)
    if first is None:
        raise InputError(f"file: {path} is empty")
    if len(first.cells) < 2:
        raise InputError(
            f"file: {path} has one column; allowed are columns separated by commas, semicolons or "
            "tabs, of which one holds the targets"
        )
    place, headed = _target(path, first, column)
    names = [cell.strip() for cell in first.cells] if headed else []
    if headed and not names[0]:
        raise InputError(
            f"file: the first column of {path} has no name, like the row numbers that pandas "
            "writes; name it, or leave it out (index=False)"
        )
    values, targets, numbers = array("d"), [], []
    for line in lines if headed else (first, *lines):
        if len(line.cells) != len(first.cells):
            raise InputError(
                f"file: line {line.number} of {path} has {len(line.cells)} values, but the first "
                f"line has {len(first.cells)}"
            )
        for number, cell in enumerate(line.cells):
            if number == place:
                targets.append(cell.strip())
            else:
                values.append(_number(path, line, number, names))
        numbers.append(line.number)
    if not targets:
        raise InputError(f"file: {path} has no line below its names")
    inputs = np.array(values).reshape(len(targets), -1)
    return inputs, _column(path, targets, numbers)


def _lines(path: Path, text: str) -> Iterator[_Line]:
    """Lines that are not blank, with their numbers, counted from 1."""
    head = next((row for row in StringIO(text) if row.strip()), "")
    separator = next((sign for sign in _SEPARATORS if sign in head), ",")
    reader = csv.reader(StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _Line(reader.line_num, cells)
    except csv.Error as error:
        raise InputError(f"file: line {reader.line_num} of {path} cannot be read ({error})") from (
            error
        )


def _target(path: Path, first: _Line, column: str) -> tuple[int, bool]:
    """Place of the column of targets, and whether the first line holds names."""
    cells = [cell.strip() for cell in first.cells]
    if column in cells and not _is_number(column):
        return cells.index(column), True
    place = len(cells)
    if column:
        place = int(column) if column.isdecimal() else 0
    if not 1 <= place <= len(cells):
        near = nearest(column, cells)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(
            f"column: {path} has no column {show(column)}, but {show(cells)}; allowed is a name in "
            f"the first line or a place from 1 to {len(cells)}{hint}"
        )
    place -= 1
    inputs = [cell for number, cell in enumerate(cells) if number != place]
    return place, not any(map(_is_number, inputs))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(path: Path, line: _Line, place: int, names: Sequence[str]) -> float:
    cell = line.cells[place].strip()
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        where = f"column {place + 1}" + (f" ({names[place]})" if names else "")
        said = f"holds {show(cell)}, not a finite number" if cell else "holds nothing"
        hint = "; write decimals with a point" if _is_number(cell.replace(",", ".")) else ""
        raise InputError(f"file: line {line.number} of {path} {said} in {where}{hint}")
    return number


def _column(path: Path, cells: list[str], numbers: list[int]) -> NDArray[Any]:
    """Targets as numbers if all are numbers, and as text if none is."""
    numeric = [_is_number(cell) for cell in cells]
    odd = None
    if "" in cells:
        odd, said = cells.index(""), "holds no target"
    elif any(numeric) and not all(numeric):
        odd = numeric.index(not numeric[0])
        said = f"holds {show(cells[odd])} as target where others are "
        said += "numbers" if numeric[0] else "names"
    elif all(numeric):
        values = np.array([float(cell) for cell in cells])
        if np.isfinite(values).all():
            return values
        odd = int(np.argmin(np.isfinite(values)))
        said = f"holds {show(cells[odd])} as target, not a finite number"
    if odd is not None:
        raise InputError(f"file: line {numbers[odd]} of {path} {said}")
    return np.array(cells)

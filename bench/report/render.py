"""A table as text, Markdown, LaTeX, HTML or CSV."""

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import jinja2
import pandas as pd
from pandas.io.formats.style import Styler
from tabulate import tabulate

from plausibench.kernels.errors import choose

FORMATS = {"text": "txt", "markdown": "md", "latex": "tex", "html": "html", "csv": "csv"}
"""Formats, with the ending of their files."""

PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: bold; padding-bottom: .5em; }
th, td { text-align: left; padding: .2em .8em .2em 0; white-space: nowrap; }
thead th { border-top: 2px solid; border-bottom: 1px solid; }
tbody tr:last-child td { border-bottom: 2px solid; }
</style>
{{ table | safe }}
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}</html>
""",
    autoescape=True,
)

NARROW = 24
"""Cells of text are not wrapped to fewer characters."""

SYMBOLS = {
    "²": "$^2$",
    "ρ": r"$\rho$",
    "∇": r"$\nabla$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\to$",
    "†": r"$\dagger$",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
}
"""What LaTeX writes otherwise."""


@dataclass(frozen=True)
class Table:
    """A table before it is laid out.

    Attributes
    ----------
    title
        One line, plain text.
    cells
        Text of every cell, plain; the columns are the headings.
    best
        Which cells to mark, with the shape of ``cells``.
    raw
        What CSV holds: full numbers, a column for each end of an interval.
    keys
        How many columns of ``cells``, from the left, say what a row is.
    notes
        Sentences below the table, plain text.
    """

    title: str
    cells: pd.DataFrame
    best: pd.DataFrame
    raw: pd.DataFrame
    keys: int
    notes: tuple[str, ...] = ()

    def render(self, form: str = "text", width: int | None = None) -> str:
        """Lay the table out.

        Parameters
        ----------
        form
            ``text``, ``markdown``, ``latex``, ``html`` or ``csv``.
        width
            Characters in a line of text; a wider table is continued below itself.

        Returns
        -------
        str

        Raises
        ------
        InputError
            If the format is unknown.
        """
        choose("format", form, FORMATS)
        if form == "csv":
            return self.raw.to_csv(index=False, lineterminator="\n")
        if form == "html":
            return self._html()
        if form == "latex":
            return self._latex()
        return self._markdown() if form == "markdown" else self._text(width)

    def _text(self, width: int | None) -> str:
        marked = self.cells.where(~self.best, self.cells + " *")
        notes: Sequence[str] = self.notes
        if width is not None:
            notes = [fill(note, width) for note in self.notes]
            room = width - sum(_widths(marked)[: self.keys])
            shown = marked.iloc[:, self.keys :].map(lambda text: fill(text, max(room, NARROW)))
            marked = pd.concat([marked.iloc[:, : self.keys], shown], axis=1)
        parts = [_tabulate(part, "simple") for part in _parts(marked, self.keys, width)]
        return "\n\n".join([self.title, *parts, *notes]) + "\n"

    def _markdown(self) -> str:
        escaped = self.cells.map(_markdown)
        marked = escaped.where(~self.best, "**" + escaped + "**")
        marked.columns = [_markdown(name) for name in marked.columns]
        title = f"**{_markdown(self.title)}**"
        parts = [title, _tabulate(marked, "pipe"), *map(_markdown, self.notes)]
        return "\n\n".join(parts) + "\n"

    def _latex(self) -> str:
        caption = " ".join([f"{self.title}.", *self.notes])
        laid = self._styled(_latex).to_latex(
            hrules=True,
            convert_css=True,
            caption=_latex(caption),
            position="tb",
            position_float="centering",
        )
        return "% needs \\usepackage{booktabs}\n" + laid

    def _html(self) -> str:
        styled = self._styled(html.escape).set_caption(html.escape(self.title))
        table = styled.set_uuid("plausibench").to_html()
        return PAGE.render(title=self.title, table=table, notes=self.notes) + "\n"

    def _styled(self, escape: Callable[[str], str]) -> Styler:
        cells = self.cells.map(escape)
        cells.columns = [escape(name) for name in cells.columns]
        bold = self.best.set_axis(cells.columns, axis=1).map(
            lambda best: "font-weight: bold" if best else ""
        )
        return cells.style.hide(axis="index").apply(lambda _: bold, axis=None)


def plain(
    title: str,
    cells: Sequence[Mapping[str, str]] | pd.DataFrame,
    raw: Sequence[Mapping[str, Any]] | pd.DataFrame,
    keys: int,
    notes: Sequence[str] = (),
) -> Table:
    """Table of which no cell is marked as best; a cell that a row lacks is a dash."""
    laid = pd.DataFrame(cells, dtype=object).fillna("–")
    best = pd.DataFrame(False, index=laid.index, columns=laid.columns)
    return Table(title, laid, best, pd.DataFrame(raw), keys, tuple(notes))


def _tabulate(cells: pd.DataFrame, form: str) -> str:
    rows, headers = cells.to_numpy().tolist(), list(cells.columns)
    return str(tabulate(rows, headers=headers, disable_numparse=True, tablefmt=form))


def _widths(cells: pd.DataFrame) -> list[int]:
    """Characters that each column takes, the gap to the next included."""
    return [
        # tabulate keeps a heading two characters narrower than its column.
        2 + max([len(str(name)) + 2, *(len(line) for t in column for line in t.split("\n"))])
        for name, column in cells.items()
    ]


def _parts(cells: pd.DataFrame, keys: int, width: int | None) -> Iterator[pd.DataFrame]:
    """Split off columns that do not fit into a line; each part begins with the keys."""
    widths = _widths(cells)
    room = (width or sum(widths)) - sum(widths[:keys])
    places: list[int] = []
    for place in range(keys, len(widths)):
        if places and sum(widths[p] for p in places) + widths[place] - 2 > room:
            yield cells.iloc[:, [*range(keys), *places]]
            places = []
        places.append(place)
    yield cells.iloc[:, [*range(keys), *places]]


def _markdown(text: str) -> str:
    """Plain text as Markdown that is read back as it stands."""
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"([\\`*|$~])", r"\\\1", text)
    # An underscore within a word is harmless, and so is a bracket that follows a space.
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    return re.sub(r"(?<=\S)\[|^\[", r"\\[", text)


def _latex(text: str) -> str:
    """Plain text as LaTeX."""
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
    }
    table = str.maketrans(special | SYMBOLS)
    text = " ".join(text.split()).translate(table)
    text = re.sub(r"(?<![^\s\[])-(?=\d)", "$-$", text)
    # A bracket after a line break would be read as an option of the break.
    return "{[}" + text[1:] if text.startswith("[") else text

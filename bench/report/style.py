"""One look for every picture: colours and markers of rules, labels, sizes, saving."""

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from plausibench.bench.components import registry
from plausibench.bench.running.folders import make_folder, writing
from plausibench.kernels.errors import choose
from plausibench.rules import BUILTIN
from plausibench.rules.rule import FAMILIES, OTHERS

COLUMN = 3.4
"""Width of a picture in one column of a paper, inches."""
PAGE = 7.0
"""Width of a picture across both columns, inches."""
SMALL = 7
"""Smallest size of type, points."""

CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}
FORMATS = tuple(CANVASES)

LOOKS: Mapping[str, str] = {
    "backpropagation": "k*",
    "fixed feedback": "0o 9s 9D 9X 0s",
    "learned feedback": "0^ 0v 0D 0P",
    "perturbation": "3^ 3s 1v 1D 1s 1P 1o",
    "random units and actions": "2D 4P 2P 3o 3D kD",
    "energies": "4o 4s 4^",
    "dendrites": "7p 7s 7^ 7v",
    "targets": "2^ 2v 2s",
    "through time": "ko ks 0X 8o 8s 8^",
    "aims of a layer": "6< 6> 6h 6d",
    "controls": "kH",
}
"""What the built-in rules of a family look like, in their order: colour and marker.

A colour is a place in seaborn's colour-blind palette, or k for ``INK``. Further rules of a family
take what is left of its colours with other markers.
"""
INK = "#1a1a1a"
MARKERS = "os^vDPXph<>d"
SPARE_COLOURS = ("#ca9161", "#006374", "#a23582", "#592f0d")
"""For rules of no family: what is left of the colour-blind palette, then of seaborn's dark one."""
SPARE_MARKERS = ("X", "h", "d", "<", ">", "8", "H")
SIZES = {"*": 7.0, "D": 4.3, "p": 5.6, "h": 5.6, "P": 5.6, "X": 5.6}
"""Points across, for markers that look larger or smaller than a circle of 5."""

LINES = {"shared": "shared weights", "own": "own training"}
"""What the protocols are called in pictures."""


LONGEST = 200
"""Characters of a file name, without the digest and the ending: file systems allow 255 bytes."""

SOLID, DASHED, DOTTED = (0.0, ()), (0.0, (4.0, 1.5)), (0.0, (1.0, 1.0))


@dataclass(frozen=True)
class Style:
    """How a rule is drawn; options change the marker and the dashes, never the colour."""

    colour: str
    marker: str
    dashes: tuple[float, tuple[float, ...]]
    label: str


@dataclass(frozen=True)
class Picture:
    """A figure with its name, a safe file name, and its caption in plain text."""

    name: str
    figure: Figure
    caption: str

    def save(self, folder: Path | str, formats: Iterable[str] = ("png", "svg")) -> list[Path]:
        """Write the figure, the same bytes every time.

        Parameters
        ----------
        folder
            Made if it is not there.
        formats
            Any of png, svg, pdf.

        Returns
        -------
        list of Path

        Raises
        ------
        InputError
            If a format is unknown or the folder cannot be written.
        """
        folder = Path(folder)
        make_folder(folder)
        undated: dict[str, dict[str, Any]] = {
            "png": {"Software": None},
            "svg": {"Date": None},
            "pdf": {"CreationDate": None},
        }
        paths = [folder / f"{self.name}.{choose('format', kind, FORMATS)}" for kind in formats]
        with writing(folder), theme():
            for path in paths:
                self._write(path, undated[path.suffix[1:]])
        return paths

    def _write(self, path: Path, metadata: dict[str, Any]) -> None:
        """As ``savefig`` does, which would draw twice: the layout is settled."""
        figure, kind = self.figure, path.suffix[1:]
        canvas, dpi = figure.canvas, figure.dpi
        try:
            figure.dpi = mpl.rcParams["savefig.dpi"]
            getattr(CANVASES[kind](figure), f"print_{kind}")(path, metadata=metadata)
        finally:
            figure.dpi = dpi
            figure.set_canvas(canvas)


def styles(rules: Iterable[str]) -> dict[str, Style]:
    """Style of each rule, by selector.

    Built-in rules always look the same; plug-ins take what is left of their family in the order of
    the alphabet. Give all rules of a run, so that they look the same in all its pictures.
    """
    selectors = sorted(set(rules))
    names = sorted({selector.partition("[")[0] for selector in selectors})
    taken = {look for listed in LOOKS.values() for look in _listed(listed)}
    queues = {family: _queue(listed, taken) for family, listed in LOOKS.items()}
    queues[OTHERS] = zip(cycle(SPARE_COLOURS), cycle(SPARE_MARKERS), strict=False)
    looks = {name: next(queues[family(name)]) for name in dict.fromkeys([*BUILTIN, *names])}
    found = {}
    for name in names:
        colour, marker = looks[name]
        variants = [s for s in selectors if s.partition("[")[0] == name]
        variants.sort(key=lambda s: s != name)
        others = [m for m in SPARE_MARKERS if m != marker]
        for number, selector in enumerate(variants):
            found[selector] = Style(
                colour,
                marker if number == 0 else others[(number - 1) % len(others)],
                (SOLID, DASHED, DOTTED)[min(number, 2)],
                label(selector),
            )
    return {selector: found[selector] for selector in selectors}


def _queue(listed: str, taken: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Looks of a family in the order in which its rules take them, endless."""
    looks = _listed(listed)
    yield from looks
    colours = dict.fromkeys(colour for colour, _ in looks)
    for marker, colour in product(MARKERS, colours):
        if (colour, marker) not in taken:
            taken.add((colour, marker))
            yield colour, marker
    yield from cycle(looks)


def _listed(looks: str) -> list[tuple[str, str]]:
    palette: list[str] = sns.color_palette("colorblind").as_hex()
    return [(INK if look[0] == "k" else palette[int(look[0])], look[1]) for look in looks.split()]


def family(name: str) -> str:
    """Family on the card of a rule, by its name; ``others`` of one that is not known here."""
    entry = registry.entries("rule").get(name)
    rule: Any = entry and entry.load()
    return str(rule.card.family) if rule else OTHERS


def place(selector: str) -> tuple[int, int, str]:
    """Where a rule stands among others: by family, the built-in ones first, in their order."""
    name = selector.partition("[")[0]
    number = list(BUILTIN).index(name) if name in BUILTIN else len(BUILTIN)
    return FAMILIES.index(family(name)), number, selector


def label(selector: str, width: int = 34) -> str:
    """Readable name of a rule: ``a_b[c=1,d=word]`` becomes ``a b (c=1, word)``; long ones are cut.

    An option that is a word stands without its name.
    """
    name, bracket, options = selector.partition("[")
    text = name.replace("_", " ").strip()
    if bracket:
        parts = [part.partition("=") for part in options.removesuffix("]").split(",")]
        said = [
            value.replace("_", " ")
            if value.replace("_", "").isalpha() and value not in ("true", "false")
            else f"{key}{equals}{value}"
            for key, equals, value in parts
        ]
        text += f" ({', '.join(said)})"
    text = " ".join(text.split())
    if len(text) > width:
        text = f"{text[: width - 1]}…"
    return escape(text)


def theme() -> AbstractContextManager[None]:
    """Matplotlib settings of every picture, as a context."""
    return mpl.rc_context(
        {
            **sns.axes_style("ticks"),
            **sns.plotting_context("paper"),
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same everywhere
            "font.size": SMALL,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": SMALL,
            "ytick.labelsize": SMALL,
            "legend.fontsize": SMALL,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "xtick.minor.width": 0.5,
            "ytick.minor.width": 0.5,
            "xtick.minor.size": 1.7,
            "ytick.minor.size": 1.7,
            "lines.linewidth": 1.0,
            "lines.markersize": 5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "savefig.dpi": 300,
            "svg.hashsalt": "plausibench",
        }
    )


def canvas(
    width: float, height: float, entries: Sequence[Line2D], notes: Sequence[str]
) -> tuple[Figure, SubFigure]:
    """Figure with a legend and notes below, and a part above for the panels.

    Parameters
    ----------
    width, height
        Of the part for the panels, inches; the figure grows with legend and notes.
    entries
        Handles of the legend, with their labels.
    notes
        Sentences below the legend.

    Returns
    -------
    figure, panels
    """
    columns = _columns([str(entry.get_label()) for entry in entries], width)
    rows = -(-len(entries) // columns)
    lines = [line for note in notes for line in textwrap.wrap(note, int(width / 0.056))]
    lower = 0.137 * rows + 0.125 * len(lines) + 0.08
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
    figure = Figure(figsize=(width, height + lower), layout=layout)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, lower])
    panels, below = np.asarray(parts).flat
    below.legend(
        handles=list(entries),
        loc="upper center",
        ncols=columns,
        borderaxespad=0,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.1,
        labelspacing=0.35,
    )
    below.text(0.02, 0.02, "\n".join(map(escape, lines)), fontsize=SMALL, va="bottom", color="0.25")
    return figure, panels


def _columns(labels: Sequence[str], width: float) -> int:
    """The most columns of a legend, filled column by column, that fit a width in inches."""
    font = FontProperties(family="DejaVu Sans", size=SMALL)
    measure = TextToPath().get_text_width_height_descent
    widths = [measure(text, font, ismath=False)[0] / 72 + 0.33 for text in labels]
    for count in range(min(5, len(labels)), 1, -1):
        if sum(max(part) for part in np.array_split(widths, count)) <= width:
            return count
    return 1


def finished(name: str, figure: Figure, caption: str) -> Picture:
    """Picture whose layout is settled once, so that every format shows the same one."""
    with theme():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # The solver of the layout adds in an order that differs between drawings: the last bits go.
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6))
        axes.set_in_layout(True)
    for text in [text for part in (figure, *figure.subfigs) for text in part.texts]:
        x, y = text.get_position()
        text.set_position((round(x, 6), round(y, 6)))
    return Picture(name, figure, caption)


def handle(look: Style, *, line: bool = False) -> Line2D:
    """Legend entry of a rule."""
    return Line2D(
        [],
        [],
        color=look.colour,
        marker=look.marker,
        markersize=SIZES.get(look.marker, 5.0),
        markeredgecolor=look.colour,
        linestyle=look.dashes if line else "none",
        label=look.label,
    )


def escape(text: str) -> str:
    """Text that matplotlib draws as it stands, dollar signs included."""
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def file_name(*parts: str) -> str:
    """Name for a file from any texts: safe on every file system, different for different texts.

    A long one is cut to ``LONGEST``.
    """
    text = "-".join(part for part in parts if part)
    safe = re.sub(r"[^A-Za-z0-9.=_-]+", "_", text).strip("._")
    if safe == text and len(safe) <= LONGEST:
        return safe
    return f"{safe[:LONGEST]}-{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}"


def ordered(names: Iterable[str], looks: Mapping[str, Style]) -> list[str]:
    """Rules in the order of legends."""
    return sorted({name for name in names if name in looks}, key=place)

"""The page about a run: charts, tables, certificates, pictures and provenance in one HTML file."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
import tomli_w
from PIL import Image

from plausibench.bench.certificate.certify import Certificate
from plausibench.bench.certificate.page import COLUMNS, suite_row
from plausibench.bench.components import registry
from plausibench.bench.page.charts import charts, legend
from plausibench.bench.report import panels, style
from plausibench.bench.report.aggregate import CELL
from plausibench.bench.report.figures import pictures
from plausibench.bench.report.findings import findings
from plausibench.bench.report.nulls import parted
from plausibench.bench.report.render import Table
from plausibench.bench.report.style import Picture
from plausibench.bench.report.table import comparison
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.study import BENCHMARK, frame_of
from plausibench.bench.studies.reading import reported, results
from plausibench.kernels.errors import InputError, counted

if TYPE_CHECKING:
    from plausibench.rules.rule import RuleCard

FOLDER = files("plausibench.bench.page")
MOST_ROWS = 1500
"""Rows of the table beyond which checkpoints are left out."""
MOST_VECTORS = 400_000
"""Bytes of a picture in SVG beyond which it is shown as PNG."""


@dataclass(frozen=True)
class Drawn:
    """A picture as the page holds it: ``kind`` is svg or png, ``data`` in base64."""

    name: str
    caption: str
    kind: str
    data: str


@dataclass(frozen=True)
class Grid:
    """A table as the page holds it: the rule and cells of each row, copies of it, and its notes."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]
    notes: Sequence[str]
    markdown: str
    latex: str


def page(run: Run, certificates: Sequence[Certificate] = ()) -> str:
    """One self-contained HTML page about a run.

    Parameters
    ----------
    run
        A run directory; nothing in it is executed.
    certificates
        Of the rules of the run, as far as they were made.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.

    Raises
    ------
    InputError
        If the run has no results yet.
    """
    results(run)
    jobs = run.jobs
    measured = parted(jobs)[0] if "protocol" in jobs else jobs
    rules: Sequence[str] = measured["rule"].dropna().unique().tolist() if "rule" in jobs else []
    cards = {rule: card for rule in rules if (card := _card(rule)) is not None}
    if run.study == BENCHMARK.name:
        frame = frame_of(run)
        shown, (occasion, found) = charts(frame), findings(frame, jobs)
        tables, drawn = {"comparison": _compared(frame, jobs)}, pictures(frame, jobs)
        summary = _summary(frame, jobs)
    else:
        shown, occasion, found = [], "", []
        tables, drawn = reported(run)
        done = (jobs["status"] == "done").sum()
        summary = f"Study {run.study}; {done} of {counted(len(jobs), 'job')} done."
    abouts = {rule: card.summary for rule, card in cards.items()}
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        FOLDER.joinpath("page.html").read_text(encoding="utf-8")
    )
    return template.render(
        title=f"plausibench: {run.path.name or run.path}",
        style=FOLDER.joinpath("page.css").read_text(encoding="utf-8"),
        script=FOLDER.joinpath("page.js").read_text(encoding="utf-8"),
        drawing=FOLDER.joinpath("charts.js").read_text(encoding="utf-8"),
        occasion=occasion,
        findings=found,
        charts=shown,
        data=_json(
            {
                "rules": legend(style.styles(rules), abouts),
                "charts": {chart.name: chart.packed() for chart in shown},
            }
        ),
        tables=[_grid(name, table) for name, table in tables.items()],
        cards=[(style.label(rule), card) for rule, card in cards.items()],
        certificates=certificates,
        suite_head=COLUMNS,
        suite=[suite_row(certificate) for certificate in certificates],
        pictures=[_drawn(picture) for picture in drawn],
        troubles=[*run.remarks(), *_troubles(jobs)],
        provenance=_provenance(run),
        specification=tomli_w.dumps(run.options),
        summary=summary,
    )


def _card(rule: str) -> "RuleCard | None":
    """Card of a rule that is known here; a plug-in that is not loaded has none."""
    name = rule.partition("[")[0]
    try:
        found: Any = registry.find("rule", name)
    except InputError:
        return None
    card: RuleCard = found.card
    return card


def _json(value: dict[str, Any]) -> str:
    text = json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":"))
    # A closing tag in a string would end the script.
    return text.replace("<", "\\u003C")


def _compared(frame: pd.DataFrame, units: pd.DataFrame) -> Table:
    """The comparison table, of as many checkpoints as can be read."""
    steps = sorted(int(step) for step in frame["step"].unique())
    cells = len(parted(frame)[0][list(CELL)].drop_duplicates())
    shown = panels.few(steps, max(1, MOST_ROWS * len(steps) // cells))
    table = comparison(frame, units, steps=shown if len(shown) < len(steps) else None)
    if len(shown) == len(steps):
        return table
    note = f"{len(shown)} of {len(steps)} checkpoints; plausibench table gives all of them."
    return replace(table, notes=(*table.notes, note))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _grid(name: str, table: Table) -> Grid:
    """A number sorts as a number, whatever its interval says."""
    rules = table.cells["rule"] if "rule" in table.cells else [""] * len(table.cells)
    rows = [
        (
            str(rule),
            [
                (str(cell), _sorted_by(str(cell)), bool(best))
                for cell, best in zip(cells, marks, strict=True)
            ],
        )
        for rule, cells, marks in zip(
            rules, table.cells.to_numpy(), table.best.to_numpy(), strict=True
        )
    ]
    return Grid(
        name,
        table.title,
        [str(column) for column in table.cells.columns],
        rows,
        table.notes,
        table.render("markdown"),
        table.render("latex"),
    )


def _sorted_by(text: str) -> str:
    first = text.partition(" ")[0].replace(",", "").rstrip("†")
    try:
        return repr(float(first))
    except ValueError:
        return text


def _drawn(picture: Picture) -> Drawn:
    """A picture in one format: SVG, or PNG if it has very many marks, which is the smaller then."""
    file = BytesIO()
    with style.theme():
        picture.figure.savefig(file, format="svg", dpi=72, metadata={"Date": None})
        kind = "svg"
        if len(file.getvalue()) > MOST_VECTORS:
            kind, drawn, file = "png", BytesIO(), BytesIO()
            picture.figure.savefig(drawn, format="png", dpi=150, metadata={"Software": None})
            # Colours of the palette and their blends with white: 256 tell them all.
            few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(file, format="png", optimize=True)
    return Drawn(picture.name, picture.caption, kind, base64.b64encode(file.getvalue()).decode())


def _troubles(units: pd.DataFrame) -> list[str]:
    """Sentences about what did not end, or could not run."""
    bad = units[~units["status"].isin(["done", "due"])]
    told = [name for name in ("rule", "architecture", "objective") if name in units]
    groups = bad.groupby([*told, "status", "reason"], sort=False, dropna=False)
    return [
        f"{', '.join(map(str, [*about, counted(len(group), 'job')]))} {status}: {reason}"
        for (*about, status, reason), group in groups
    ]


def _summary(frame: pd.DataFrame, units: pd.DataFrame) -> str:
    rules = parted(units)[0]["rule"]
    parts = [
        counted(rules.nunique(), "rule"),
        f"task {', '.join(units['task'].unique())}",
        counted(units["seed"].nunique(), "seed"),
        f"steps {', '.join(str(step) for step in sorted(frame['step'].unique()))}",
        f"{(units['status'] == 'done').sum()} of {counted(len(units), 'job')} done",
    ]
    return "; ".join(parts) + "."


def _provenance(run: Run) -> list[tuple[str, str]]:
    found = next(iter(run.origins.values()), {})
    libraries = found.get("libraries", {})
    rows = [(str(name), _said(value)) for name, value in found.items() if name != "libraries"]
    if isinstance(libraries, dict):
        rows += [(str(name), _said(value)) for name, value in libraries.items()]
    return rows


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

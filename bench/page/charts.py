"""What the interactive charts of a page show: rows of numbers, which the page's script draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plausibench.bench.report import notation, nulls, panels, style
from plausibench.bench.report.aggregate import ROUNDING, aggregate, settings
from plausibench.bench.report.columns import QUANTITIES
from plausibench.bench.report.style import Style

SHAPES: Mapping[str, str] = {
    "o": "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "s": "M-.85,-.85H.85V.85H-.85Z",
    "D": "M0,-1.2L1.05,0L0,1.2L-1.05,0Z",
    "^": "M0,-1.1L1.1,.9L-1.1,.9Z",
    "v": "M0,1.1L1.1,-.9L-1.1,-.9Z",
    "<": "M-1.1,0L.9,-1.1L.9,1.1Z",
    ">": "M1.1,0L-.9,-1.1L-.9,1.1Z",
    "P": "M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "*": "M0,-1.4L.33,-.45L1.33,-.43L.53,.18L.83,1.13L0,.56L-.83,1.13L-.53,.18L-1.33,-.43"
    "L-.33,-.45Z",
    "X": "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "p": "M0,-1.1L1.05,-.34L.65,.89L-.65,.89L-1.05,-.34Z",
    "h": "M0,-1.1L.95,-.55L.95,.55L0,1.1L-.95,.55L-.95,-.55Z",
    "H": "M-.55,-.95L.55,-.95L1.1,0L.55,.95L-.55,.95L-1.1,0Z",
    "d": "M0,-1.2L.7,0L0,1.2L-.7,0Z",
    "8": "M-.4,-1L.4,-1L1,-.4L1,.4L.4,1L-.4,1L-1,.4L-1,-.4Z",
}
"""Outline of each of matplotlib's markers that rules have, about 1 in radius."""

PLACE = ["setting", "protocol", "step", "rule"]
MOST = 12_000
"""Rows of a chart beyond which checkpoints are left out: on a screen they would touch."""
LONGEST = 90
"""Characters of the name of a rule."""
DIGITS = 5
"""Of numbers that places in a chart are made from."""
PERFORMANCE = ("test_accuracy", *nulls.ABOVE.values(), "test_loss", "train_loss", "alignment")
WIDE = ("bias_squared", "variance", "progress", "scale_free_bias", "direction_bias")
"""Quantities of many orders of magnitude, which have a logarithmic axis."""
REALISED = ("realised_progress", "realised_progress_training")
SOURCES = {
    "variance_feedback": "feedback weights",
    "variance_data": "batches",
    "variance_within": "noise of rule and action",
    "variance_total": "all together",
}
"""What is redrawn, by the quantity of the variance budget."""


@dataclass(frozen=True)
class Chart:
    """A chart with its name, title, and what it shows, in plain text."""

    name: str
    title: str
    caption: str
    rows: pd.DataFrame

    def packed(self) -> dict[str, Any]:
        """Data by column; of texts each is there once, with its place in every row."""
        columns: dict[str, Any] = {}
        for name, column in self.rows.items():
            if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
                places, texts = pd.factorize(column)
                columns[str(name)] = {"texts": texts.tolist(), "places": places.tolist()}
            elif column.dtype == float:
                columns[str(name)] = [_short(value) for value in column.tolist()]
            else:
                columns[str(name)] = column.tolist()
        return columns


def charts(frame: pd.DataFrame) -> list[Chart]:
    """Every chart that a run has the data for.

    Parameters
    ----------
    frame : DataFrame
        Tidy long table of a run.
    """
    values = aggregate(nulls.beside(frame[frame["projection"] == "all"]))
    values["setting"] = settings(values)
    values["said"] = _said(values)
    made = [_plane(values), _training(values, _courses(frame, values))]
    made += [_budget(values), _frontier(values)]
    return [chart for chart in made if chart is not None]


def legend(looks: Mapping[str, Style], about: Mapping[str, str]) -> list[dict[str, str]]:
    """Rules in the order of legends: selector, label, one line about each, colour and outline."""
    return [
        {
            "rule": rule,
            "label": style.label(rule, LONGEST).replace(r"\$", "$"),
            "about": about.get(rule, ""),
            # Ink is the colour of the text, in the dark too.
            "colour": "" if looks[rule].colour == style.INK else looks[rule].colour,
            "outline": SHAPES[looks[rule].marker],
        }
        for rule in style.ordered(looks, looks)
    ]


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of as many checkpoints as a chart has room for, the first and the last among them."""
    steps = rows["step"].unique()
    room = max(2, MOST * len(steps) // len(rows)) if len(rows) else 0
    return rows[rows["step"].isin(panels.few(steps, room))].copy()


def _said(values: pd.DataFrame) -> list[str]:
    """Text of each value with its interval."""
    ends = [values[name].astype(float).tolist() for name in ("value", "low", "high")]
    exact, zero = (values["method"] == "exact").tolist(), (values["state"] == "zero").tolist()
    return [
        notation.number(value, low, high, exact=is_exact, least=ROUNDING if is_zero else 0.0)
        for value, low, high, is_exact, is_zero in zip(*ends, exact, zero, strict=True)
    ]


def _courses(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Performance of the nulls beside the rules of every protocol, as rows of the values."""
    rows = nulls.courses(frame)
    protocols = nulls.parted(frame)[0][["protocol"]].drop_duplicates()
    places = values[[*nulls.PLACE, "setting"]].drop_duplicates()
    rows = rows.drop(columns="protocol").assign(rule="null: " + rows["null"], said=_said(rows))
    return rows.merge(places, on=nulls.PLACE).merge(protocols, how="cross").assign(null=True)


def _plane(values: pd.DataFrame) -> Chart | None:
    held = values[values["kind"].isin(["conditional", "marginal"])]
    up = _placed(held[held["quantity"] == "variance"], "y")
    keys = [*PLACE, "kind", "architecture", "objective"]
    parts = []
    for axis, quantity in (("raw", "bias_squared"), ("scale-free", "scale_free_bias")):
        across = _placed(held[held["quantity"] == quantity], "x")
        columns = ["x", "x_low", "x_high", "x_said", "x_bound", "samples", "redrawn", "reference"]
        joined = across[[*keys, *columns]].merge(
            up[[*keys, "y", "y_low", "y_high", "y_said", "y_bound"]], on=keys
        )
        parts.append(joined.assign(axis=axis))
    rows = pd.concat(parts, ignore_index=True)
    if rows.empty:
        return None
    rows = thinned(_with_progress(rows, held, values))
    rows["feedback"] = rows["kind"].map({"conditional": "held", "marginal": "redrawn"})
    return _made(
        "plane",
        "The plane of bias and variance",
        "Left is unbiased, below is free of noise. A line leads from the start of training (dot) "
        "to the checkpoint that is shown. Bars are 95 % intervals; an arrow marks an upper bound, "
        "where the interval holds zero. Exact zeros stand in the strip at the lower end, side by "
        "side where they would hide each other; the axis of bias is shortened below 0.001.",
        rows,
        [
            *(*PLACE, "axis", "feedback", "progress", "realised"),
            *("redrawn", "samples", "reference", "architecture", "objective"),
        ],
    )


def _training(values: pd.DataFrame, courses: pd.DataFrame) -> Chart | None:
    wanted = {
        "training": PERFORMANCE,
        "null": PERFORMANCE,
        "conditional": WIDE,
        "progress": REALISED,
    }
    chosen = pd.concat(
        [
            values[(values["kind"] == kind) & values["quantity"].isin(names)]
            for kind, names in wanted.items()
        ]
    ).assign(null=False)
    rows = chosen if courses.empty else pd.concat([chosen, courses], ignore_index=True)
    # A probability or a loss has a place of its own; what spans orders of magnitude is placed.
    wide = rows["quantity"].isin(WIDE)
    plain = rows[~wide & rows["value"].notna()]
    plain = plain.assign(y=plain["value"], y_low=plain["low"], y_high=plain["high"])
    rows = pd.concat([plain.assign(wide=False), _placed(rows[wide], "y").assign(wide=True)])
    if rows["step"].nunique() < 2:
        return None
    order = [*PERFORMANCE, *WIDE, *REALISED]
    rows = thinned(rows.sort_values("quantity", key=lambda q: q.map(order.index), kind="stable"))
    rows["shown"] = rows["quantity"].map(lambda name: QUANTITIES[name][0])
    return _made(
        "training",
        "Along training",
        "Bars are 95 % intervals over seeds; a point is their geometric mean for variances and "
        "losses, the mean of logits for biases between 0 and 1, else the mean. Grey lines are "
        "nulls, with which accuracies are to be compared: the same network with its hidden layers "
        "left as they were drawn (dashed), one without hidden layers (solid), chance (dotted).",
        rows,
        [*PLACE, "architecture", "objective", "null", "shown", "wide", "said", "seeds"],
    )


def _budget(values: pd.DataFrame) -> Chart | None:
    parts = values[(values["kind"] == "budget") & values["quantity"].isin(list(SOURCES))]
    rows = _placed(parts, "x")
    if rows.empty:
        return None
    rows = thinned(rows.assign(source=rows["quantity"].map(SOURCES)))
    return _made(
        "budget",
        "Where the variance comes from",
        "What each source of randomness adds to the variance, one nested in the other. Parts are "
        "not stacked, as their unbiased estimates can be negative; such a part is not drawn.",
        rows,
        [*PLACE, "source"],
    )


def _frontier(values: pd.DataFrame) -> Chart | None:
    gained = values[(values["kind"] == "conditional") & (values["quantity"] == "progress")]
    spent = values[(values["kind"] == "cost") & (values["quantity"] == "forward_passes")]
    rows = _placed(gained, "y").merge(
        spent[[*PLACE, "value"]].rename(columns={"value": "x"}), on=PLACE
    )
    rows = rows[np.isfinite(rows["x"]) & (rows["x"] > 0)]
    if rows.empty:
        return None
    rows = thinned(rows)
    # The most that any rule reaches at a cost, and at any lower one.
    ordered = rows.sort_values("x", kind="stable")
    group = [ordered[name] for name in ("setting", "protocol", "step")]
    most = ordered.groupby(group)["y"].cummax()
    most = most.groupby([*group, ordered["x"]]).transform("max")
    rows["best"] = rows["y"] >= most.reindex(rows.index)
    return _made(
        "frontier",
        "Progress for its cost",
        "Share of the exact gradient's progress that one step makes, against what an estimate "
        "costs. The dashed line joins the rules that none surpasses at their cost. Marks that "
        "would hide each other stand side by side.",
        rows,
        [*PLACE, "best"],
    )


def _made(name: str, title: str, caption: str, rows: pd.DataFrame, fields: list[str]) -> Chart:
    placed = [name for name in map(str, rows) if name.startswith(("x", "y"))]
    return Chart(name, title, caption, rows[[*fields, *placed]].reset_index(drop=True))


def _short(value: float) -> float | None:
    """Number in few digits; what is not finite has no place."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _with_progress(rows: pd.DataFrame, held: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Rows with what is said of progress, which steps realise with the feedback held."""
    keys = [*PLACE, "kind"]
    said = held[held["quantity"] == "progress"][[*keys, "said"]]
    rows = rows.merge(said.rename(columns={"said": "progress"}), on=keys, how="left")
    steps = values[(values["kind"] == "progress") & (values["quantity"] == "realised_progress")]
    steps = steps[[*PLACE, "said"]].assign(kind="conditional").rename(columns={"said": "realised"})
    return rows.merge(steps, on=keys, how="left").fillna({"progress": "–", "realised": "–"})


def _placed(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Where values lie on an axis from 0, with their intervals; what lies below has no place."""
    shown = rows["value"].where(rows["state"] != "bounded", rows["bound"])
    place = shown.where(rows["state"] != "zero", 0.0)
    barred = (rows["state"] == "resolved") & rows["low"].notna() & rows["high"].notna()
    placed = rows.copy()
    placed[name] = place.where(place >= 0)
    placed[f"{name}_low"] = rows["low"].clip(lower=0.0).where(barred, place)
    placed[f"{name}_high"] = rows["high"].where(barred, place)
    placed[f"{name}_said"] = rows["said"]
    placed[f"{name}_bound"] = rows["state"] == "bounded"
    return placed[placed[name].notna()]

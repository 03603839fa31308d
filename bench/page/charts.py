"""Interactive charts of a run, as Vega-Lite specifications made by Altair."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from plausibench.bench.report import notation, nulls, panels, style
from plausibench.bench.report.aggregate import ROUNDING, aggregate
from plausibench.bench.report.columns import QUANTITIES
from plausibench.bench.report.style import Style

SHAPES: Mapping[str, str] = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "P": "cross",
    "*": "M0,-1.2L.28,-.38L1.14,-.37L.45,.15L.71,.97L0,.48L-.71,.97L-.45,.15L-1.14,-.37L-.28,-.38Z",
    "X": "M-.9,-.55L-.55,-.9L0,-.35L.55,-.9L.9,-.55L.35,0L.9,.55L.55,.9L0,.35L-.55,.9L-.9,.55"
    "L-.35,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
    "h": "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z",
    "H": "M-.5,-.87L.5,-.87L1,0L.5,.87L-.5,.87L-1,0Z",
    "d": "M0,-1L.6,0L0,1L-.6,0Z",
    "8": "M-.4,-1L.4,-1L1,-.4L1,.4L.4,1L-.4,1L-1,.4L-1,-.4Z",
}
"""Vega's shape for each of matplotlib's markers that rules have."""

CELL = ["task", "architecture", "objective", "protocol", "step", "label"]
WIDTH, HEIGHT = 620, 400
MOST = 12_000
"""Rows of a chart beyond which checkpoints are left out: on a screen they would touch."""
GREY, DASHES = "#8c8c8c", [[4, 3], [1, 0], [1, 2]]
"""Colour of nulls, and the dashes of their lines: readout only, linear, chance."""
DIGITS = 5
"""Of numbers that places in a chart are made from."""


@dataclass(frozen=True)
class Chart:
    """A chart with its name, title, and what it shows, in plain text.

    Its data stand apart from its specification, which calls them by the chart's name.
    """

    name: str
    title: str
    caption: str
    specification: dict[str, Any]
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


def charts(frame: pd.DataFrame, about: Mapping[str, str]) -> list[Chart]:
    """Every chart that a run has the data for.

    Parameters
    ----------
    frame : DataFrame
        Tidy long table of a run.
    about
        One line about each rule, by selector.
    """
    values = aggregate(nulls.beside(frame[frame["projection"] == "all"]))
    looks = style.styles(values["rule"])
    values["label"] = values["rule"].map(lambda rule: looks[rule].label)
    values["about"] = values["rule"].map(lambda rule: about.get(rule, ""))
    values["said"] = _said(values)
    made = [draw(values, looks) for draw in (_plane, _budget, _frontier)]
    made.insert(1, _training(values, looks, _courses(frame)))
    return [chart for chart in made if chart is not None]


def _said(values: pd.DataFrame) -> list[str]:
    """Text of each value with its interval."""
    ends = [values[name].astype(float).tolist() for name in ("value", "low", "high")]
    exact, zero = (values["method"] == "exact").tolist(), (values["state"] == "zero").tolist()
    return [
        notation.number(value, low, high, exact=is_exact, least=ROUNDING if is_zero else 0.0)
        for value, low, high, is_exact, is_zero in zip(*ends, exact, zero, strict=True)
    ]


def _courses(frame: pd.DataFrame) -> pd.DataFrame:
    """Performance of the nulls beside the rules of every protocol, as rows of the values."""
    rows = nulls.courses(frame)
    label = "null: " + rows["null"]
    protocols = nulls.parted(frame)[0][["protocol"]].drop_duplicates()
    rows = rows.drop(columns="protocol").assign(rule=label, label=label, said=_said(rows))
    return rows.merge(protocols, how="cross").assign(about="", null=True)


def _plane(values: pd.DataFrame, looks: dict[str, Style]) -> Chart | None:
    own = values[values["kind"].isin(["conditional", "marginal"])]
    up = _placed(own[own["quantity"] == "variance"], "y")
    parts = []
    for axis, quantity in (("raw", "bias_squared"), ("scale-free", "scale_free_bias")):
        across = _placed(own[own["quantity"] == quantity], "x")
        keys = [*CELL, "rule", "about", "kind"]
        columns = ["x", "x_low", "x_high", "x_said", "x_bound", "samples", "redrawn", "reference"]
        joined = across[[*keys, *columns]].merge(
            up[[*keys, "y", "y_low", "y_high", "y_said"]], on=keys
        )
        parts.append(joined.assign(axis=axis))
    rows = pd.concat(parts, ignore_index=True)
    if rows.empty:
        return None
    rows = thinned(_with_progress(rows, own, values))
    rows["feedback"] = rows["kind"].map({"conditional": "held", "marginal": "redrawn"})
    fields = ("axis", "task", "architecture", "objective", "protocol")
    choices = [*_choices(rows, "plane", fields), _checkpoint(rows, "plane")]
    picked = alt.selection_point(fields=["label"], bind="legend", name="plane_rule")
    x = alt.X("x:Q", title="squared bias / |g|²", scale=_log(rows, "x"), axis=_axis(rows, "x"))
    y = alt.Y("y:Q", title="variance / |g|²", scale=_log(rows, "y"), axis=_axis(rows, "y"))
    colour, shape = _look(rows, looks)
    seen = alt.condition(picked, alt.value(1.0), alt.value(0.12))
    tips = [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in (
            ("label", "rule"),
            ("about", "what it is"),
            ("x_said", "bias²"),
            ("y_said", "variance"),
            ("progress", "progress ρ²"),
            ("realised", "realised progress"),
            ("feedback", "feedback"),
            ("redrawn", "redrawn"),
            ("samples", "draws"),
            ("reference", "reference"),
            ("architecture", "architecture"),
            ("objective", "objective"),
        )
    ]
    base = _filtered(_named("plane"), choices)
    bars = base.encode(color=colour, opacity=seen)
    held = base.transform_filter(alt.datum.feedback == "held")
    open_ = base.transform_filter(alt.datum.feedback == "redrawn")
    marked = {"size": 110, "strokeWidth": 1.4}
    chart = alt.layer(
        bars.mark_rule(strokeWidth=1.3).encode(x="x_low:Q", x2="x_high:Q", y=y),
        bars.mark_rule(strokeWidth=1.3).encode(x=x, y="y_low:Q", y2="y_high:Q"),
        held.mark_point(filled=True, **marked).encode(
            x=x, y=y, color=colour, shape=shape, opacity=seen, tooltip=tips
        ),
        open_.mark_point(filled=False, **marked).encode(
            x=x, y=y, color=colour, shape=shape, opacity=seen, tooltip=tips
        ),
        bars.transform_filter(alt.datum.x_bound)
        .mark_text(text="←", dx=-13, fontSize=13)
        .encode(x=x, y=y),
    ).add_params(*choices, picked)
    return _made(
        "plane",
        "The plane of bias and variance",
        "Filled: feedback weights held; open: redrawn for each estimate. Bars are 95 % intervals; "
        "an arrow marks an upper bound, where the interval holds zero. What is exactly zero "
        "stands at the lower end of its axis. Click on a rule in the legend to single it out; "
        "hover over a mark for its numbers.",
        _specification(chart),
        rows,
        [
            *(*CELL, "axis", "about", "feedback", "progress", "realised"),
            *("redrawn", "samples", "reference"),
        ],
    )


def _training(values: pd.DataFrame, looks: dict[str, Style], courses: pd.DataFrame) -> Chart | None:
    wanted = ["test_accuracy", "test_loss", "train_loss", "alignment"]
    measured = ["bias_squared", "variance", "direction_bias", "scale_free_bias", "progress"]
    stepped = ["realised_progress", "realised_progress_training"]
    rows = values[
        ((values["kind"] == "training") & values["quantity"].isin(wanted))
        | ((values["kind"] == "conditional") & values["quantity"].isin(measured))
        | ((values["kind"] == "progress") & values["quantity"].isin(stepped))
        | (values["kind"] == "null")
    ].assign(null=False)
    rows = rows if courses.empty else pd.concat([rows, courses], ignore_index=True)
    rows = rows[rows["value"].notna()]
    if rows["step"].nunique() < 2:
        return None
    rows = thinned(rows)
    wanted[1:1] = nulls.ABOVE.values()
    order = [name for name in (*wanted, *measured, *stepped) if (rows["quantity"] == name).any()]
    rows["shown"] = rows["quantity"].map(lambda name: QUANTITIES[name][0])
    names = [QUANTITIES[name][0] for name in order]
    fields = ("task", "architecture", "objective", "protocol")
    choices = _choices(rows, "training", fields, "own")
    which = alt.selection_point(
        fields=["shown"],
        name="training_quantity",
        value=names[0],
        bind=alt.binding_select(options=names, name="quantity "),
    )
    picked = alt.selection_point(fields=["label"], bind="legend", name="training_rule")
    greys = {name: Style(GREY, "o", style.SOLID, name) for name in courses["rule"].unique()}
    colour, shape = _look(rows, looks | greys)
    seen = alt.condition(picked, alt.value(1.0), alt.value(0.1))
    base = _filtered(_named("training"), [*choices, which])
    x = alt.X("step:Q", title="training steps")
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    lines = base.encode(x=x, color=colour, opacity=seen)
    thin, thick = (lines.transform_filter(alt.datum.null == null) for null in (True, False))
    chart = alt.layer(
        thin.mark_line(strokeWidth=0.8).encode(
            y=y,
            detail=["architecture:N", "objective:N"],
            strokeDash=alt.StrokeDash(
                "label:N", scale=alt.Scale(domain=list(greys), range=DASHES), legend=None
            ),
        ),
        thick.mark_line(strokeWidth=1.5).encode(y=y),
        thick.mark_rule(strokeWidth=1.3).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True).encode(
            x=x,
            y=y,
            color=colour,
            shape=shape,
            opacity=seen,
            size=alt.condition(alt.datum.null, alt.value(12), alt.value(70)),
            tooltip=[
                alt.Tooltip("label:N", title="rule"),
                alt.Tooltip("said:N", title="value"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("seeds:Q"),
            ],
        ),
    ).add_params(*choices, which, picked)
    return _made(
        "training",
        "Along training",
        "Performance of every rule on its own trajectory, and its bias and variance at each "
        "checkpoint: choose the quantity. Bars are 95 % intervals over seeds; a point "
        "is their geometric mean for variances and losses, the mean of logits for biases between "
        "0 and 1, else the mean. Grey: nulls, with which accuracies are to be compared.",
        _specification(chart),
        rows,
        [*CELL, "null", "shown", "value", "low", "high", "said", "seeds"],
    )


def _budget(values: pd.DataFrame, looks: dict[str, Style]) -> Chart | None:
    sources = {
        "variance_feedback": "feedback",
        "variance_data": "data (batches)",
        "variance_within": "rule and action noise",
        "variance_total": "total",
    }
    own = values[(values["kind"] == "budget") & values["quantity"].isin(list(sources))]
    rows = _placed(own, "x")
    if rows.empty:
        return None
    rows = thinned(rows.assign(source=rows["quantity"].map(sources)))
    fields = ("task", "architecture", "objective", "protocol")
    choices = [*_choices(rows, "budget", fields), _checkpoint(rows, "budget")]
    palette = alt.Scale(
        domain=list(sources.values()), range=["#0173b2", "#de8f05", "#029e73", "#1a1a1a"]
    )
    base = _filtered(_named("budget"), choices)
    y = alt.Y(
        "label:N",
        title=None,
        sort=[looks[rule].label for rule in style.ordered(rows["rule"], looks)],
        axis=alt.Axis(labelLimit=260, grid=True),
    )
    offset = alt.YOffset("source:N", sort=list(sources.values()))
    colour = alt.Color("source:N", scale=palette, title="redrawn")
    x = alt.X("x:Q", title="variance / |g|²", scale=_log(rows, "x"), axis=_axis(rows, "x"))
    chart = alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(
            y=y, yOffset=offset, x="x_low:Q", x2="x_high:Q", color=colour
        ),
        base.mark_point(filled=True, size=45).encode(
            y=y,
            yOffset=offset,
            x=x,
            color=colour,
            tooltip=[
                alt.Tooltip("label:N", title="rule"),
                alt.Tooltip("source:N", title="redrawn"),
                alt.Tooltip("x_said:N", title="variance"),
            ],
        ),
    ).add_params(*choices)
    return _made(
        "budget",
        "Where the variance comes from",
        "What each source of randomness adds to the variance, one nested in the other: feedback "
        "weights, batches, noise of the rule. Components are not stacked, as their unbiased "
        "estimates can be negative.",
        _specification(chart, height=None),
        rows,
        [*CELL, "source"],
    )


def _frontier(values: pd.DataFrame, looks: dict[str, Style]) -> Chart | None:
    gained = values[(values["kind"] == "conditional") & (values["quantity"] == "progress")]
    spent = values[(values["kind"] == "cost") & (values["quantity"] == "forward_passes")]
    keys = [*CELL, "rule"]
    rows = _placed(gained, "y").merge(
        spent[[*keys, "value"]].rename(columns={"value": "x"}), on=keys
    )
    rows = rows[np.isfinite(rows["x"]) & (rows["x"] > 0)]
    if rows.empty:
        return None
    rows = thinned(rows)
    # The most that any rule reaches at a cost, and at any lower one.
    ordered = rows.sort_values("x", kind="stable")
    group = [ordered[name] for name in ("task", "protocol", "step")]
    most = ordered.groupby(group)["y"].cummax()
    most = most.groupby([*group, ordered["x"]]).transform("max")
    rows["best"] = rows["y"] >= most.reindex(rows.index)
    choices = [*_choices(rows, "frontier", ("task", "protocol")), _checkpoint(rows, "frontier")]
    colour, shape = _look(rows, looks)
    base = _filtered(_named("frontier"), choices)
    x = alt.X("x:Q", title="cost, forward passes", scale=alt.Scale(type="log"))
    y = alt.Y("y:Q", title="progress ρ²", scale=_log(rows, "y"), axis=_axis(rows, "y"))
    tips = [
        alt.Tooltip("label:N", title="rule"),
        alt.Tooltip("x:Q", title="forward passes"),
        alt.Tooltip("y_said:N", title="progress ρ²"),
    ]
    chart = alt.layer(
        base.transform_filter(alt.datum.best)
        .mark_line(interpolate="step-after", color="#888888", strokeDash=[4, 3])
        .encode(x=x, y=y, order="x:Q"),
        base.mark_rule(strokeWidth=1.3).encode(x=x, y="y_low:Q", y2="y_high:Q", color=colour),
        base.mark_point(filled=True, size=110).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=tips
        ),
    ).add_params(*choices)
    return _made(
        "frontier",
        "Progress for its cost",
        "Share of the exact gradient's progress that one step makes, against what an estimate "
        "costs. The dashed line joins the rules that none surpasses at their cost.",
        _specification(chart),
        rows,
        [*CELL, "best"],
    )


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of as many checkpoints as a chart has room for, the first and the last among them."""
    steps = rows["step"].unique()
    room = max(2, MOST * len(steps) // len(rows)) if len(rows) else 0
    return rows[rows["step"].isin(panels.few(steps, room))].copy()


def _named(name: str) -> Any:
    """Chart of data that the page holds under a name."""
    return alt.Chart(alt.NamedData(name=name))


def _made(
    name: str,
    title: str,
    caption: str,
    specification: dict[str, Any],
    rows: pd.DataFrame,
    fields: list[str],
) -> Chart:
    placed = [name for name in map(str, rows) if name.startswith(("x", "y"))]
    kept = rows[[*fields, *placed]].reset_index(drop=True)
    return Chart(name, title, caption, specification, kept)


def _short(value: float) -> float | None:
    """Number in few digits; what is not finite has no place."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _with_progress(rows: pd.DataFrame, own: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Rows with what is said of progress, which steps realise with the feedback held."""
    keys = [*CELL, "rule"]
    said = own[own["quantity"] == "progress"][[*keys, "kind", "said"]]
    rows = rows.merge(said.rename(columns={"said": "progress"}), on=[*keys, "kind"], how="left")
    steps = values[(values["kind"] == "progress") & (values["quantity"] == "realised_progress")]
    steps = steps[[*keys, "said"]].assign(kind="conditional").rename(columns={"said": "realised"})
    return rows.merge(steps, on=[*keys, "kind"], how="left").fillna(
        {"progress": "–", "realised": "–"}
    )


def _placed(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Where values lie on a logarithmic axis, with their intervals; zeros at its lower end."""
    shown = rows["value"].where(rows["state"] == "resolved", rows["bound"])
    shown = shown.where(rows["state"] != "zero")
    positive = shown[shown > 0]
    least = float(positive.min()) if len(positive) else 1e-2
    floor = 10.0 ** (math.floor(math.log10(least)) - 1)
    place = shown.where(shown > 0).where(rows["state"] != "zero", floor)
    barred = (rows["state"] == "resolved") & rows["low"].notna() & rows["high"].notna()
    placed = rows.copy()
    placed[name] = place
    placed[f"{name}_low"] = rows["low"].clip(lower=floor).where(barred, place)
    placed[f"{name}_high"] = rows["high"].where(barred, place)
    placed[f"{name}_said"] = rows["said"]
    placed[f"{name}_bound"] = rows["state"] == "bounded"
    return placed[placed[name].notna()]


def _floor(rows: pd.DataFrame, name: str) -> float:
    least = float(rows[name].min())
    return 10.0 ** math.floor(math.log10(least))


def _log(rows: pd.DataFrame, name: str) -> alt.Scale:
    high = float(rows[[name, f"{name}_high"]].max().max())
    return alt.Scale(type="log", domain=[_floor(rows, name) * 0.8, high * 1.6], nice=False)


def _axis(rows: pd.DataFrame, name: str) -> alt.Axis:
    """Powers of ten; the lowest one stands for zero."""
    floor = _floor(rows, name)
    high = float(rows[[name, f"{name}_high"]].max().max())
    low, top = round(math.log10(floor)), math.floor(math.log10(high))
    stride = -(-(top - low) // 8) or 1
    ticks = [10.0**power for power in range(top, low, -stride)][::-1]
    return alt.Axis(
        values=[floor, *ticks],
        labelExpr=f"datum.value <= {floor * 1.01} ? '0' : format(datum.value, '~g')",
        labelOverlap=True,
    )


def _look(rows: pd.DataFrame, looks: dict[str, Style]) -> tuple[alt.Color, alt.Shape]:
    rules = style.ordered(rows["rule"], looks)
    labels = [looks[rule].label for rule in rules]
    colours = alt.Scale(domain=labels, range=[looks[rule].colour for rule in rules])
    shapes = alt.Scale(domain=labels, range=[SHAPES[looks[rule].marker] for rule in rules])
    legend = alt.Legend(title=None, labelLimit=260, symbolLimit=0)
    return (
        alt.Color("label:N", scale=colours, legend=legend),
        alt.Shape("label:N", scale=shapes, legend=legend),
    )


def _checkpoint(rows: pd.DataFrame, chart: str) -> alt.Parameter:
    """A list to choose a checkpoint from; at first the last one."""
    known = sorted(int(step) for step in rows["step"].unique())
    return alt.selection_point(
        fields=["step"],
        name=f"{chart}_step",
        value=known[-1],
        bind=alt.binding_select(options=known, name="step "),
    )


def _choices(
    rows: pd.DataFrame, chart: str, fields: Iterable[str], protocol: str = "shared"
) -> list[alt.Parameter]:
    """Lists to choose from, one for every field with several values."""
    found = []
    for field in fields:
        known = list(dict.fromkeys(rows[field].tolist()))
        if len(known) < 2:
            continue
        every = field in ("architecture", "objective")
        first = protocol if protocol in known else known[0]
        selection = alt.selection_point(
            fields=[field],
            name=f"{chart}_{field}",
            value=alt.Undefined if every else first,
            bind=alt.binding_select(
                options=[None, *known] if every else known,
                labels=["all", *known] if every else known,
                name=f"{field} ",
            ),
        )
        found.append(selection)
    return found


def _filtered(chart: Any, choices: list[alt.Parameter]) -> Any:
    for keep in choices:
        chart = chart.transform_filter(keep)
    return chart


def _specification(chart: Any, height: int | None = HEIGHT) -> dict[str, Any]:
    sized: Callable[..., Any] = chart.properties
    made = sized(width=WIDTH) if height is None else sized(width=WIDTH, height=height)
    made = made.configure(
        font="system-ui, sans-serif",
        background="transparent",
        axis=alt.AxisConfig(labelFontSize=12, titleFontSize=13, titleFontWeight="normal"),
        legend=alt.LegendConfig(labelFontSize=12, rowPadding=3),
        view=alt.ViewConfig(stroke=None),
    )
    found: dict[str, Any] = made.to_dict()
    return found

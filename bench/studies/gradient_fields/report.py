"""The study of gradient fields: paths on a surface, and the symmetry of rules' Jacobians."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.measuring.exponents import exponent
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.gradient_fields.study import DURATION, EULER, FIELDS, MIXTURE, height

TABLES = ("fields", "rules")
"""Names of the tables of the report."""

TITLES = {
    "gradient": "gradient g",
    "orthogonal": "J g, orthogonal to it",
    "mixture": "mixture a g + b J g",
}
QUANTITIES = {
    "along": "along the gradient, α",
    "across": "share across it",
    "antisymmetric": "antisymmetric share of Jacobian",
}
ROUNDING = 1e-6
"""What central differences and settling leave of a symmetric Jacobian is smaller."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"fields": fields(rows), "rules": rules(rows)}, [gradient_fields(rows)]


def fields(rows: pd.DataFrame) -> Table:
    """Table of what each field gains, and of the drift of Euler steps."""
    own = rows[rows["field"].isin(list(FIELDS)) & (rows["quantity"] != "point")]
    expected = {"gradient": 1.0, "orthogonal": 0.0, "mixture": MIXTURE[0]}
    cells, raw = [], []
    for field, part in own.groupby("field", sort=False):
        wide = part.pivot(index="start", columns="quantity", values="value")
        numbers = {
            "field": field,
            "share": wide["share"].mean(),
            "theory": expected[str(field)],
            "largest_change": wide["change"].max(),
            "slope_at_the_end": wide["slope at the end"].max(),
        }
        raw.append(numbers)
        cells.append(
            {
                "field": TITLES[str(field)],
                "share of the possible gain": f"{round(numbers['share'], 4) + 0.0:.4f}",
                "theory": f"{numbers['theory']:.4f}",
                "largest change of performance": f"{numbers['largest_change']:.1e}",
                "slope at the end": f"{numbers['slope_at_the_end']:.1e}",
            }
        )
    drift = drifts(rows)
    power = exponent(np.array(drift.columns, dtype=float), np.abs(drift.to_numpy()))
    order = notation.number(power.value, power.low, power.high)
    gained = (
        "Runge-Kutta steps. Share: performance gained, over the gain of as long a path along the "
        "gradient at the same places; theory a / sqrt(a² + b²)."
    )
    drifted = (
        f"Euler steps of {EULER[0]:g} to {EULER[-1]:g} drift off the level sets of the orthogonal "
        f"field: over a time of {DURATION:g}, in the power {order} of their length (theory 1)."
    )
    title = f"Fields on a surface of performance; {own['start'].nunique()} starts"
    return plain(title, cells, raw, 1, (gained, drifted))


def drifts(rows: pd.DataFrame) -> pd.DataFrame:
    """Drift of Euler steps by start (rows) and length of a step (columns)."""
    own = rows[rows["quantity"] == "drift"]
    return own.pivot(index="start", columns="step", values="value")


def rules(rows: pd.DataFrame) -> Table:
    """Table of every rule: how far it goes along the gradient, and whether it is a gradient."""
    own = rows[rows["rule"].notna()]
    found = means.over_seeds(own, ["rule", "architecture", "objective", "quantity"])
    found["rule"] = [style.label(rule) for rule in found["rule"]]
    note = (
        "Mean over seeds [95 % interval by Student's t], of the mean update over its draws, "
        "feedback held. Antisymmetric share: 0 for the gradient of some function, 1/2 on average "
        "for a matrix without order; what is below 1e-6 is rounding, and shown as 0."
    )
    return means.table(
        f"Is a rule the gradient of anything? At initialisation; {means.seeds(own)}",
        found,
        {"rule": "rule", "architecture": "architecture", "objective": "objective"},
        QUANTITIES,
        (note,),
        rounding=ROUNDING,
    )


def gradient_fields(rows: pd.DataFrame) -> Picture:
    """Draw paths on the surface, and below them the antisymmetric share of every rule.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.9, _legend(), [])
        top, bottom = np.asarray(part.subfigures(2, 1, height_ratios=[1, 1.15])).flat
        for axes, field in zip(top.subplots(1, 3, sharey=True), FIELDS, strict=True):
            _paths(axes, rows[(rows["field"] == field) & (rows["quantity"] == "point")])
            panels.title(axes, TITLES[field])
            axes.set_xlabel("weight 1")
        top.axes[0].set_ylabel("weight 2")
        symmetry, drift = bottom.subplots(1, 2, width_ratios=[2.2, 1])
        _symmetry(symmetry, rows[rows["quantity"] == "antisymmetric"])
        _drift(drift, drifts(rows))
    seeds = means.seeds(rows)
    caption = (
        "Top: performance (grey, two hills) and paths by Runge-Kutta steps from four starts. "
        "Bottom left: antisymmetric share of the Jacobian of rules' mean updates, means over "
        f"{seeds} with 95 % intervals (Student's t). Right: performance gained or lost by "
        f"Euler steps along the orthogonal field in a time of {DURATION:g}, one line a start."
    )
    return style.finished("gradient_fields", figure, caption)


def _paths(axes: Axes, points: pd.DataFrame) -> None:
    side = np.linspace(-3, 3, 121)
    x, y = np.meshgrid(side, side)
    axes.contourf(x, y, height(np.stack([x, y], axis=-1)), levels=12, cmap="Greys", alpha=0.55)
    colours = sns.color_palette("colorblind")
    for colour, (_, path) in zip(colours, points.groupby("start"), strict=False):
        axes.plot(path["x"], path["y"], color=colour, linewidth=1.1)
        axes.plot(path["x"].iloc[:1], path["y"].iloc[:1], marker="o", markersize=4, color=colour)
        axes.plot(path["x"].iloc[-1:], path["y"].iloc[-1:], marker="*", markersize=7, color=colour)
    axes.set_xlim(-3, 3)
    axes.set_ylim(-2.7, 2.2)


def _symmetry(axes: Axes, rows: pd.DataFrame) -> None:
    looks = style.styles(rows["rule"])
    found = means.over_seeds(rows, ["rule"])
    for place, (_, row) in enumerate(found.iterrows()):
        look = looks[str(row["rule"])]
        means.bars(
            axes,
            [place],
            [tuple(row[means.ENDS])],
            across=True,
            color=look.colour,
            marker=look.marker,
            markersize=style.SIZES.get(look.marker, 5.0),
            elinewidth=1.0,
        )
    axes.axvline(0.5, color="0.35", linewidth=0.8, linestyle=style.DASHED)
    axes.axvline(0, color="0.35", linewidth=0.8)
    axes.set_yticks(range(len(found)), [looks[str(rule)].label for rule in found["rule"]])
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 0.55)
    axes.set_xlabel("antisymmetric share of the update's Jacobian")
    panels.title(axes, "0: the gradient of some function")


def _drift(axes: Axes, drift: pd.DataFrame) -> None:
    colours = sns.color_palette("colorblind")
    for colour, (_, values) in zip(colours, drift.iterrows(), strict=False):
        axes.plot(drift.columns, values, color=colour, marker="o", markersize=3)
    axes.axhline(0, color="0.35", linewidth=0.8)
    axes.set_xlabel("length of an Euler step")
    axes.set_ylabel("drift of performance")
    panels.title(axes, "Euler steps drift")


def _legend() -> list[Line2D]:
    plain: dict[str, Any] = {"color": "0.35", "linestyle": "none"}
    return [
        Line2D([], [], marker="o", markersize=4, label="start", **plain),
        Line2D([], [], marker="*", markersize=7, label="end", **plain),
        Line2D([], [], color="0.35", linestyle=style.DASHED, label="a matrix without order"),
    ]

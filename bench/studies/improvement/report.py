"""The study of improvement: first order, directions, and the share of steps that improve."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.measuring.exponents import exponent
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture, Style
from plausibench.bench.studies.improvement.study import DIRECTIONS, NULL, SHARE, SHORT
from plausibench.bench.studies.scaling.report import logarithmic

TABLES = ("remainder", "directions", "steps")
"""Names of the tables of the report."""

STEPS = (1e-3, 1e-2, 1e-1, 1.0)
"""Lengths that the table shows."""
DIRECTION_COLUMNS = {
    "best improvement": "best random direction",
    "better than the gradient": "better than the gradient",
    "improving": "share that improve",
    "members": "family of",
    "apart to first order": "family, spread to first order",
    "least of the family": "family, least",
    "most of the family": "family, most",
}


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    tables = {"remainder": remainder(rows), "directions": directions(rows), "steps": steps(rows)}
    return tables, [improvement(rows)]


def remainder(rows: pd.DataFrame) -> Table:
    """Table of the power of the step with which the first order is left."""
    own = rows[rows["quantity"] == "remainder"]
    cells, raw = [], []
    for rule, part in own.groupby("rule", sort=False):
        wide = part.pivot(index="seed", columns="at", values="value")
        found = exponent(np.array(wide.columns, dtype=float), wide.to_numpy())
        text = notation.number(found.value, found.low, found.high)
        cells.append({"rule": style.label(str(rule)), "exponent": text, "theory": "2"})
        raw.append({"rule": rule, "exponent": found.value, "low": found.low, "high": found.high})
    ends = own["at"].min(), own["at"].max()
    note = (
        f"Power of the length of the step, from {ends[0]:.1e} to {ends[1]:.1e} of that of the "
        "weights: a fit for each seed, mean over seeds [95 % interval by Student's t]."
    )
    title = f"What the first order leaves of dF; {means.seeds(own)}"
    return plain(title, cells, raw, 1, (note,))


def directions(rows: pd.DataFrame) -> Table:
    """Table of random directions and of the family of equal improvement."""
    own = rows[rows["quantity"].isin(list(DIRECTION_COLUMNS))].assign(network="digits")
    found = means.over_seeds(own, ["network", "quantity"])
    note = (
        f"{DIRECTIONS:,} random directions, and a family of P - 1 that to first order improve "
        f"{SHARE:g} times as much as the gradient does; improvement relative to that of the "
        f"gradient, at a step of {SHORT:g} times the length of the weights. Means over seeds "
        "[95 % interval by Student's t]."
    )
    return means.table(
        f"Directions of equal length; {means.seeds(own)}",
        found,
        {"network": "task"},
        DIRECTION_COLUMNS,
        (note,),
        rounding=1e-13,
    )


def steps(rows: pd.DataFrame) -> Table:
    """Table of the share of steps that improve the loss, by rule and length."""
    own = rows[rows["quantity"] == "improves"]
    near = own[np.isclose(own["at"].to_numpy()[:, None], STEPS).any(axis=1)]
    found = shares(near, ["rule", "at"])
    found["rule"] = [style.label(rule) for rule in found["rule"]]
    found["quantity"] = [f"{at:g}" for at in found["at"]]
    note = (
        "By length of the step, relative to that of the weights. Means over seeds [95 % interval "
        "by Student's t]; a rule without random draws has one step for each seed."
    )
    return means.table(
        f"Share of steps that improve the loss; {means.seeds(own)}",
        found,
        {"rule": "rule"},
        {f"{at:g}": f"step {at:g}" for at in STEPS},
        (note,),
    )


def shares(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means of shares over seeds; intervals end at 0 and at 1."""
    found = means.over_seeds(rows, keys)
    return found.assign(low=found["low"].clip(lower=0), high=found["high"].clip(upper=1))


def improvement(rows: pd.DataFrame) -> Picture:
    """Draw the remainder, the random directions, and the share of steps that improve.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    looks = style.styles(set(rows["rule"]) - {"", NULL})
    looks[NULL] = Style("0.45", "x", style.DASHED, NULL)
    names = [*style.ordered(set(looks) - {NULL}, looks), NULL]
    with style.theme():
        handles = [style.handle(looks[name]) for name in names]
        figure, part = style.canvas(style.PAGE, 2.4, handles, [])
        first, spread, share = part.subplots(1, 3)
        for name in names[:-1]:
            own = rows[(rows["rule"] == name) & (rows["quantity"] == "remainder")]
            _line(first, own, looks[name])
        logarithmic(first)
        # Parallel to the lines: a slope of 2.
        ends = np.array([1e-6, 1e-2])
        first.plot(ends, 30 * ends**2, color="0.35", linewidth=0.8, linestyle=style.DASHED)
        first.annotate("slope 2", (1e-4, 3e-6), color="0.35", fontsize=style.SMALL, ha="right")
        first.set_xlabel("length of step / length of weights")
        first.set_ylabel("remainder |dF − dW·∇F|")
        panels.title(first, "first order")
        _directions(spread, rows)
        for name in names:
            own = rows[(rows["rule"] == name) & (rows["quantity"] == "improves")]
            _line(share, own, looks[name])
        share.set_xscale("log")
        share.set_ylim(-0.04, 1.04)
        share.set_xlabel("length of step / length of weights")
        share.set_ylabel("share of steps that improve")
        panels.title(share, "steps")
    seeds = means.seeds(rows)
    caption = (
        f"Means over {seeds} with 95 % intervals (Student's t). Left: what the first order "
        f"leaves of the change of the loss. Middle: {DIRECTIONS:,} random directions by their "
        "cosine with the gradient, times the root of the number P of weights (steps), and the "
        "normal density (line); the gradient itself lies at the root of P. Right: share of steps "
        "that improve the loss."
    )
    return style.finished("improvement", figure, caption)


def _line(axes: Axes, rows: pd.DataFrame, look: Style) -> None:
    judged = bool((rows["quantity"] == "improves").all())
    found = shares(rows, ["at"]) if judged else means.over_seeds(rows, ["at"])
    means.bars(
        axes,
        found["at"],
        found[means.ENDS],
        logarithmic=not judged,
        color=look.colour,
        marker=look.marker,
        markersize=0.7 * style.SIZES.get(look.marker, 5.0),
        linestyle=look.dashes,
        linewidth=0.8,
        elinewidth=0.8,
    )


def _directions(axes: Axes, rows: pd.DataFrame) -> None:
    found = means.over_seeds(rows[rows["quantity"] == "density"], ["at"])
    ends, steps = found[means.ENDS], "steps-mid"
    means.bars(
        axes, found["at"], ends, color="0.35", drawstyle=steps, linewidth=0.9, elinewidth=0.8
    )
    x = np.linspace(-5, 5, 200)
    axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="#d55e00", linewidth=0.9)
    weights = rows.loc[rows["quantity"] == "weights", "value"].iloc[0]
    axes.set_xlabel(f"cosine with gradient × √P (gradient: {weights**0.5:.0f})")
    axes.set_ylabel("density")
    panels.title(axes, "random directions")

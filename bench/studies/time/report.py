"""The study of time: fitted exponents beside those of theory, and their picture."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.measuring.exponents import Law
from plausibench.bench.measuring.seed_intervals import POSITIVE
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture, Style
from plausibench.bench.studies.scaling import report as scaling
from plausibench.bench.studies.scaling.report import QUANTITIES, fit, fitted, logarithmic, points
from plausibench.bench.studies.time.study import LAWS

TABLES = ("exponents", "lengths")
"""Names of the tables of the report."""

AGAINST = {
    "steps": "time steps of a trial",
    "delay": "steps from cue to outcome",
    "recurrence": "strength of recurrent weights",
    "neurons": "neurons",
    "weights": "number of weights + 1",
}
PANELS = (
    ("trial length", "variance", "steps"),
    ("trial length, loss at every step", "variance", "steps"),
    ("network size", "variance", "neurons"),
    ("trial length", "bias", "steps"),
    ("delay", "bias", "delay"),
    ("recurrence", "bias", "recurrence"),
)
"""Axis, quantity and x of each panel."""

COLOURS = {
    "weight_perturbation": "#d55e00",
    "node_perturbation": "#de8f05",
    "uoro": "#029e73",
    "e_prop": "#0173b2",
    "rflo[feedback=symmetric]": "#56b4e9",
    "rflo": "#cc78bc",
    "random_feedback_through_time": "#949494",
}
"""Elsewhere rules of a family share a colour; here most are of one."""

NOTES = (
    (
        "Exponent: weighted least squares on logarithms, a fit for each seed, mean over seeds "
        "[95 % interval by Student's t]; closed form: the same fit of the exact values at "
        "vanishing amplitude, where there are any."
    ),
    (
        "Weight perturbation holds its noise for the trial, node perturbation draws new noise at "
        "every step: with an outcome at the end its relative variance grows with the trial (Zuege, "
        "Klos & Memmesheimer 2023); with a loss at every step gradients add up, and it levels off."
    ),
    (
        "Bias is relative to the length of the gradient by backpropagation through time. That of "
        "e-prop and of RFLO with the transposed readout vanishes with recurrence."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"exponents": exponents(rows), "lengths": lengths(rows)}, [time(rows)]


def exponents(rows: pd.DataFrame) -> Table:
    """Table of all fitted exponents beside those of the closed form and of theory."""
    return scaling.exponents(rows, LAWS, NOTES, AGAINST)


def lengths(rows: pd.DataFrame) -> Table:
    """Table of squared bias and variance by trial length and strength of recurrence."""
    own = rows[rows["axis"].str.startswith("trial length") & ~rows["axis"].str.contains("every")]
    own = own[own["quantity"].isin(["bias_squared", "variance"])]
    own = own[own["steps"].isin(set(own.loc[own["recurrence"] != 1.0, "steps"]))]
    keys = ["recurrence", "rule", "steps", "quantity"]
    found = means.over_seeds(own, keys)
    cells, raw = [], []
    for (strength, rule, steps), part in found.groupby(keys[:3]):
        line = {"recurrence": f"{strength:g}", "rule": style.label(str(rule)), "steps": str(steps)}
        numbers = {"recurrence": strength, "rule": rule, "steps": steps}
        for quantity, name in (("bias_squared", "relative bias²"), ("variance", "variance")):
            ends = part.loc[part["quantity"] == quantity, means.ENDS].iloc[0]
            line[name] = notation.number(*ends)
            numbers |= means.columns(quantity, ends)
        cells.append(line)
        raw.append(numbers)
    title = f"Bias and variance by trial length and recurrence; {means.seeds(rows)}"
    note = (
        "Means over seeds with 95 % intervals (Student's t), geometric ones of variances; relative "
        "to |g|²; 16 neurons."
    )
    return plain(title, cells, raw, 3, (note,))


def time(rows: pd.DataFrame) -> Picture:
    """Draw every law on logarithmic axes: values, fitted line, theoretical line.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    looks = {
        rule: replace(look, colour=COLOURS.get(rule, look.colour))
        for rule, look in style.styles(rows["rule"]).items()
    }
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.4, _legend(looks), [])
        grid = part.subplots(2, 3).flat
        for axes, (axis, quantity, against) in zip(grid, PANELS, strict=True):
            for law in LAWS:
                if (law.axis, law.quantity) == (axis, quantity):
                    _line(axes, rows, law, looks[law.rule], against)
            panels.title(axes, axis)
            axes.set_xlabel(AGAINST[against])
            axes.set_ylabel(QUANTITIES[quantity])
            logarithmic(axes)
    seeds = means.seeds(rows)
    caption = (
        f"Bias and variance in recurrent networks at initialisation: means over {seeds} "
        "with 95 % intervals (Student's t), the fitted power law (line) and the one of theory "
        "through its centre (dashes)."
    )
    return style.finished("time", figure, caption)


def _line(axes: Axes, rows: pd.DataFrame, law: Law, look: Style, against: str) -> None:
    """Draw the values of a law with intervals over seeds, the fit, and theory.

    A law of something else than the axis shows is drawn without its line.
    """
    own = law.against == against
    found = points(rows, law if own else replace(law, against=against, shift=0))
    if found.empty:
        return
    wide = found.pivot_table(index="seed", columns="x", values="value")
    x, values = np.array(wide.columns, dtype=float), wide.to_numpy()
    means.bars(
        axes,
        x,
        [means.average(each, POSITIVE) for each in values.T],
        logarithmic=True,
        linestyle="none",
        color=look.colour,
        marker=look.marker,
        markersize=4,
    )
    one = fit(found, law) if own else None
    if one is not None:
        within = x[(law.between[0] <= x) & (x <= law.between[1])]
        fitted(axes, within, one, law.theory, look.colour)


def _legend(looks: dict[str, Style]) -> list[Line2D]:
    rules = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=4, label=look.label)
        for look in looks.values()
    ]
    theory = Line2D([], [], color="0.35", linewidth=0.8, linestyle=style.DASHED, label="theory")
    return [*rules, theory]

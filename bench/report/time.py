"""The study of time: fitted exponents beside those of theory, and their picture."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.experiments.scaling import Law
from plausibench.bench.experiments.time import LAWS
from plausibench.bench.report import notation, panels, scaling, style
from plausibench.bench.report.render import Table
from plausibench.bench.report.scaling import QUANTITIES, fit, logarithmic, points
from plausibench.bench.report.style import Picture, Style
from plausibench.bench.statistics import student_quantile

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


def exponents(rows: pd.DataFrame) -> Table:
    """Table of all fitted exponents beside those of the closed form and of theory."""
    return scaling.exponents(rows, LAWS, NOTES, AGAINST)


def lengths(rows: pd.DataFrame) -> Table:
    """Table of squared bias and variance by trial length and strength of recurrence."""
    own = rows[rows["axis"].str.startswith("trial length") & ~rows["axis"].str.contains("every")]
    own = own[own["quantity"].isin(["bias_squared", "variance"])]
    own = own[own["steps"].isin(set(own.loc[own["recurrence"] != 1.0, "steps"]))]
    keys = ["recurrence", "rule", "steps", "quantity"]
    means = own.groupby(keys)["value"].agg(["mean", "std", "count"]).reset_index()
    half = [student_quantile(0.95, n - 1) for n in means["count"]] * means["std"]
    means["half"] = half / np.sqrt(means["count"])
    cells, raw = [], []
    for (strength, rule, steps), part in means.groupby(keys[:3]):
        line = {"recurrence": f"{strength:g}", "rule": style.label(str(rule)), "steps": str(steps)}
        numbers = {"recurrence": strength, "rule": rule, "steps": steps}
        for quantity, name in (("bias_squared", "relative bias²"), ("variance", "variance")):
            row = part[part["quantity"] == quantity].iloc[0]
            ends = (row["mean"], row["mean"] - row["half"], row["mean"] + row["half"])
            line[name] = "0" if not any(ends) else notation.number(*ends)
            numbers |= dict(
                zip((quantity, f"{quantity}_low", f"{quantity}_high"), ends, strict=True)
            )
        cells.append(line)
        raw.append(numbers)
    laid = pd.DataFrame(cells, dtype=object)
    return Table(
        title=f"Bias and variance by trial length and recurrence; {rows['seed'].nunique()} seeds",
        cells=laid,
        best=pd.DataFrame(False, index=laid.index, columns=laid.columns),
        raw=pd.DataFrame(raw),
        keys=3,
        notes=(
            "Means over seeds with 95 % intervals (Student's t), relative to |g|²; 16 neurons.",
        ),
    )


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
    seeds = rows["seed"].nunique()
    caption = (
        f"Bias and variance in recurrent networks at initialisation: means over {seeds} seeds "
        "with 95 % intervals (Student's t), the fitted power law (line) and the one of theory "
        "through its centre (dashes)."
    )
    return style.finished("time", figure, caption)


def _line(axes: Axes, rows: pd.DataFrame, law: Law, look: Style, against: str) -> None:
    """Draw the values of a law with intervals over seeds, the fit, and theory.

    A law of something else than the axis shows is drawn without its line.
    """
    fitted = law.against == against
    found = points(rows, law if fitted else replace(law, against=against, shift=0))
    if found.empty:
        return
    wide = found.pivot_table(index="seed", columns="x", values="value")
    x, values = np.array(wide.columns, dtype=float), wide.to_numpy()
    one = fit(found, law) if fitted else None
    mean, count = values.mean(axis=0), len(values)
    half = student_quantile(0.95, count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    axes.errorbar(
        x,
        mean,
        # A bar to below zero has no end on a logarithmic axis.
        yerr=[np.minimum(half, 0.9 * mean), half],
        linestyle="none",
        color=look.colour,
        marker=look.marker,
        markersize=4,
        elinewidth=0.9,
        zorder=4,
    )
    if one is None:
        return
    ends = x[(law.between[0] <= x) & (x <= law.between[1])][[0, -1]]
    line = one.factor * ends**one.value
    axes.plot(ends, line, color=look.colour, linewidth=0.8, zorder=3)
    if law.theory is not None:
        centre = np.exp(np.log(line).mean() - law.theory * np.log(ends).mean())
        wider = ends * np.array([0.8, 1.25])
        dashes: dict[str, Any] = {"color": "0.35", "linewidth": 0.8, "linestyle": style.DASHED}
        axes.plot(wider, centre * wider**law.theory, **dashes)


def _legend(looks: dict[str, Style]) -> list[Line2D]:
    rules = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=4, label=look.label)
        for look in looks.values()
    ]
    theory = Line2D([], [], color="0.35", linewidth=0.8, linestyle=style.DASHED, label="theory")
    return [*rules, theory]

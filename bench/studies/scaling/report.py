"""The scaling study: fitted exponents beside those of theory, and their picture."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from plausibench.bench.measuring.exponents import Exponent, Law, exponent
from plausibench.bench.measuring.seed_intervals import POSITIVE
from plausibench.bench.measuring.statistics import GROUPS, student_quantile
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.scaling.study import LAWS

TABLES = ("exponents",)
"""Names of the tables of the report."""

Array = np.ndarray

AGAINST = {
    "weights": "number of weights + 1",
    "nodes": "number of nodes + 1",
    "batch_size": "batch size",
    "sigma": "noise amplitude",
}
QUANTITIES = {
    "variance": "relative variance",
    "absolute_variance": "absolute variance",
    "error of single draws": "relative error of single draws",
    "bias": "relative bias",
}
PANELS = (
    "weight perturbation",
    "node perturbation",
    "node perturbation, tanh",
    "batch size",
    "error of single draws",
    "bias",
)
MARKERS = {"width": "o", "depth": "s", "outputs": "D", "depth, tanh": "s"}
"""By axis; where the amplitude is varied, filled is antithetic and open is one-sided."""


NOTES = (
    (
        "Exponent: weighted least squares on logarithms, a fit for each seed, mean over seeds "
        "[95 % interval by Student's t]; closed form: the same fit of the exact values at "
        "vanishing amplitude, where there are any."
    ),
    (
        "Noise is symmetric, so the one-sided and the antithetic estimator have the same mean "
        "and a bias of order sigma squared; of order sigma, one-sided, is the error of single "
        "draws, their distance to the forward gradient of the same noise."
    ),
    (
        "Variance of node perturbation is proportional to the number of nodes where activity "
        "has a like norm in all layers, as in linear ones; in tanh layers it shrinks."
    ),
    "A bias is fitted where the interval of every seed excludes zero.",
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"exponents": exponents(rows)}, [scaling(rows)]


def points(rows: pd.DataFrame, law: Law) -> pd.DataFrame:
    """Resolved values of a law by x and seed, with their standard errors and exact values.

    A point at which the interval of any seed includes zero is left out.
    """
    name = "bias_squared" if law.quantity == "bias" else law.quantity
    own = rows[
        (rows["axis"] == law.axis)
        & (rows["rule"] == law.rule)
        & (rows["quantity"] == name)
        & (rows["estimator"] == law.estimator)
    ]
    found = pd.DataFrame(
        {
            "x": own[law.against].astype(float) + law.shift,
            "seed": own["seed"],
            "value": own["value"],
            "error": (own["high"] - own["low"]) / 2 / student_quantile(0.95, GROUPS - 1),
            "exact": own["exact"],
        }
    )
    resolved = (own["low"] > 0).groupby(found["x"]).transform("all")
    found = found[resolved].copy()
    if law.quantity == "bias":
        found["value"] = np.sqrt(found["value"])
        found["error"] /= 2 * found["value"]
    return found.sort_values(["x", "seed"], kind="stable")


def fit(found: pd.DataFrame, law: Law, column: str = "value") -> Exponent | None:
    """Exponent of the points within the law's bounds; None with fewer than two of them."""
    within = found[found["x"].between(*law.between) & found[column].notna()]
    wide = within.pivot_table(index="seed", columns="x", values=[column, "error"], dropna=False)
    if within["x"].nunique() < 2:
        return None
    errors = wide["error"].to_numpy() if column == "value" else None
    return exponent(np.array(wide[column].columns), wide[column].to_numpy(), errors)


def exponents(
    rows: pd.DataFrame,
    laws: Iterable[Law] = LAWS,
    notes: Sequence[str] = NOTES,
    against: Mapping[str, str] = AGAINST,
) -> Table:
    """Table of all fitted exponents beside those of the closed form and of theory.

    ``against`` says what the columns of x are.
    """
    cells, raw = [], []
    for law in laws:
        found = points(rows, law)
        one, exact = fit(found, law), fit(found, law, "exact")
        covered = "–"
        if one is not None and law.theory is not None:
            low, high = _rounded(one)[1:]
            covered = "yes" if low <= law.theory <= high else "no"
        used = found.loc[found["x"].between(*law.between), "x"]
        cells.append(
            {
                "axis": law.axis,
                "rule": style.label(law.rule),
                "estimator": law.estimator,
                "quantity": QUANTITIES[law.quantity],
                "against": against[law.against],
                "exponent": _text(one, "unresolved"),
                "theory": "–" if law.theory is None else f"{law.theory:g}",
                "covered": covered,
                "closed form": _text(exact, "–"),
                "range": f"{used.min():g} to {used.max():g}" if len(used) else "–",
                "held": law.held,
            }
        )
        raw.append(
            {
                **{name: cells[-1][name] for name in ("axis", "estimator", "quantity", "against")},
                "rule": law.rule,
                **_raw("exponent", one),
                "theory": law.theory,
                **_raw("closed_form", exact),
                "points": used.nunique(),
                "held": law.held,
            }
        )
    title = f"Exponents of bias and variance at initialisation; {means.seeds(rows)}"
    return plain(title, cells, raw, 3, notes)


def _text(found: Exponent | None, missing: str) -> str:
    if found is None:
        return missing
    return notation.number(*_rounded(found), exact=True)


def _rounded(found: Exponent) -> list[float]:
    """Exponent with its interval; what is exact differs between seeds by rounding only."""
    return [round(end, 9) + 0.0 for end in (found.value, found.low, found.high)]


def _raw(name: str, found: Exponent | None) -> dict[str, float]:
    ends = (float("nan"),) * 3 if found is None else (found.value, found.low, found.high)
    return means.columns(name, ends)


def scaling(rows: pd.DataFrame) -> Picture:
    """Draw every law on logarithmic axes: values, fitted line, theoretical line.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.

    Returns
    -------
    Picture
    """
    looks = style.styles(rows["rule"])
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.4, _legend(looks), [])
        grid = dict(zip(PANELS, part.subplots(2, 3).flat, strict=True))
        for law in LAWS:
            axes = grid[_panel(law)]
            _line(axes, points(rows, law), law, looks[law.rule].colour)
            axes.set_xlabel(AGAINST[law.against])
            axes.set_ylabel(QUANTITIES[law.quantity])
        for name, axes in grid.items():
            panels.title(axes, name)
            logarithmic(axes)
        grid["batch size"].set_ylabel("variance / first value")
    seeds = means.seeds(rows)
    caption = (
        f"Scaling of bias and variance at initialisation: means over {seeds} with 95 % "
        "intervals (Student's t), the fitted power law (line) and the one of theory through its "
        "centre (dashes). Filled markers are antithetic, open ones one-sided; a bias is shown "
        "where it can be told from zero. The law of node perturbation needs layers with like "
        "activity: linear ones have it, tanh layers have not."
    )
    return style.finished("scaling", figure, caption)


def logarithmic(axes: Axes) -> None:
    """Logarithmic axes, with more labels where they span little."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        if high < 100 * low:
            # One power of ten would be the only label.
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _panel(law: Law) -> str:
    if law.axis == "amplitude":
        return law.quantity
    if law.axis == "batch size":
        return law.axis
    rule = law.rule.replace("_", " ")
    return rule if law.axis in ("width", "depth", "outputs") else f"{rule}, tanh"


def _line(axes: Axes, found: pd.DataFrame, law: Law, colour: str) -> None:
    """Draw the values of a law with intervals over seeds, the fit, and theory."""
    if found.empty:
        return
    wide = found.pivot_table(index="seed", columns="x", values="value")
    scale = float(wide.iloc[:, 0].mean()) if law.axis == "batch size" else 1.0
    x, values = np.array(wide.columns, dtype=float), wide.to_numpy() / scale
    one_sided = law.estimator == "one-sided"
    means.bars(
        axes,
        x,
        [means.average(each, POSITIVE) for each in values.T],
        logarithmic=True,
        linestyle="none",
        color=colour,
        marker=MARKERS.get(law.axis, "o"),
        # Open and larger, so that a ring shows around a filled marker at the same place.
        markersize=6 if one_sided else 4,
        markerfacecolor="none" if one_sided else colour,
    )
    one = fit(found, law)
    if one is not None:
        # Where theory has no exponent for the axis, it is that of layers with like activity.
        theory = 1.0 if law.theory is None else law.theory
        fitted(axes, x[(law.between[0] <= x) & (x <= law.between[1])], one, theory, colour, scale)


def fitted(
    axes: Axes, x: Array, one: Exponent, theory: float | None, colour: str, scale: float = 1.0
) -> None:
    """Draw a power law, in units of ``scale``, and the one of theory through its centre."""
    ends = x[[0, -1]]
    line = one.factor / scale * ends**one.value
    axes.plot(ends, line, color=colour, linewidth=0.8, zorder=3)
    if theory is not None:
        centre = np.exp(np.log(line).mean() - theory * np.log(ends).mean())
        wider = ends * np.array([0.8, 1.25])
        look: dict[str, Any] = {"color": "0.35", "linewidth": 0.8, "linestyle": style.DASHED}
        axes.plot(wider, centre * wider**theory, **look)


def _legend(looks: dict[str, style.Style]) -> list[Line2D]:
    rules = [
        Line2D([], [], color=look.colour, marker="o", markersize=4, label=look.label)
        for look in looks.values()
    ]
    marks = [
        Line2D([], [], color="0.35", marker=MARKERS[axis], markersize=4, linestyle="none", label=t)
        for axis, t in (("width", "width"), ("depth", "depth"), ("outputs", "outputs"))
    ]
    one_sided = Line2D(
        [],
        [],
        color="0.35",
        marker="o",
        markersize=6,
        markerfacecolor="none",
        linestyle="none",
        label="one-sided (others: antithetic)",
    )
    theory = Line2D([], [], color="0.35", linewidth=0.8, linestyle=style.DASHED, label="theory")
    return [*rules, *marks, one_sided, theory]

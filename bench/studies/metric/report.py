"""The study of metrics: rank correlations of what is measured with what is learned."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from plausibench.bench.measuring.seed_intervals import COSINE
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.families import members
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.metric.study import ISOTROPIC, NULL, ROTATED
from plausibench.kernels.streams import generator

Array = np.ndarray

TABLES = ("correlations", "rules")
"""Names of the tables of the report."""

QUANTITIES: Mapping[str, str] = {
    "bias_squared": "bias²",
    "scale_free_bias": "scale-free bias",
    "direction_bias": "direction bias",
    "variance": "variance",
    "progress": "progress ρ²",
    "realised_progress": "realised, batch",
    "predicted_progress": "predicted, batch",
    "realised_progress_training": "realised, training set",
    "predicted_progress_training": "predicted, training set",
    ROTATED: "null: rotated across g",
    ISOTROPIC: "null: curvature alike",
}
"""What is ranked, with its headings."""
SHOWN = (
    "bias_squared",
    "scale_free_bias",
    "direction_bias",
    "variance",
    "progress",
    "realised_progress",
    "realised_progress_training",
    ROTATED,
)
"""Columns of the table of rules."""
RESAMPLES = 1000
FEWEST = 4
"""Rules without which a rank correlation says nothing."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    ranked = correlations(rows)
    return {"correlations": laid(rows, ranked), "rules": rules(rows)}, [metric(rows, ranked)]


def learned(rows: pd.DataFrame) -> pd.DataFrame:
    """Final test accuracy above that of the null with the same seed: rules by seeds."""
    own = rows[rows["quantity"] == "test_accuracy"]
    wide = own.pivot(index="rule", columns="seed", values="value")
    if NULL not in wide.index:
        return wide.iloc[:0]
    return wide - wide.loc[NULL]


def spearman(one: Array, other: Array) -> Array:
    """Rank correlation over the last axis, NaN where one side is all alike."""
    one, other = (rankdata(values, axis=-1) for values in (one, other))
    one, other = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (one, other))
    spread = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    return (one * other).sum(axis=-1) / np.where(spread > 0, spread, np.nan)


def correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of each quantity with what was learned, at each checkpoint.

    Returns
    -------
    DataFrame
        ``step``, ``quantity`` and ``rules`` (how many have values at all seeds); ``value``, the
        mean over seeds, with ``low`` and ``high`` by the bootstrap over rules; ``least`` and
        ``most`` without one family; ``seeds_low`` and ``seeds_high`` over seeds (Student's t);
        ``dealt_low`` and ``dealt_high``, between which it is in 95 % of deals of the rules.
    """
    above = learned(rows)
    found = []
    for step in sorted(rows["step"].unique()):
        for quantity in QUANTITIES:
            chosen = (rows["step"] == step) & (rows["quantity"] == quantity)
            if not chosen.any():
                continue
            wide = rows[chosen].pivot(index="rule", columns="seed", values="value")
            wide, gained = wide.align(above, join="inner")
            told = np.isfinite(wide).all(axis=1) & np.isfinite(gained).all(axis=1)
            numbers = _ranked(wide[told], gained[told])
            found.append({"step": step, "quantity": quantity, "rules": int(told.sum()), **numbers})
    return pd.DataFrame(found)


def _ranked(measured: pd.DataFrame, gained: pd.DataFrame) -> dict[str, float]:
    """Columns of :func:`correlations`, of values by rules and seeds."""
    names = list(measured.index)
    x, y = measured.to_numpy(dtype=float).T, gained.to_numpy(dtype=float).T

    def mean(across: Array, up: Array) -> float:
        return float(spearman(across, up).mean()) if across.shape[-1] >= FEWEST else float("nan")

    def quantiles(name: str, drawn: Callable[[np.random.Generator], float]) -> tuple[float, ...]:
        draw = generator(0, "metric", name)
        values = np.array([drawn(draw) for _ in range(RESAMPLES)])
        # A resample of rules that are all alike has no correlation.
        values = values[np.isfinite(values)]
        return tuple(np.quantile(values, [0.025, 0.975])) if values.size else (float("nan"),) * 2

    def resampled(draw: np.random.Generator) -> float:
        places = draw.integers(0, len(names), len(names))
        return mean(x[:, places], y[:, places])

    def dealt(draw: np.random.Generator) -> float:
        return mean(x, y[:, draw.permutation(len(names))])

    nothing = (float("nan"),) * 2
    enough = len(names) >= FEWEST
    low, high = quantiles("rules", resampled) if enough else nothing
    dealt_low, dealt_high = quantiles("dealt", dealt) if enough else nothing
    left = [
        mean(x[:, kept], y[:, kept])
        for family in members(names).values()
        for kept in [np.array([name not in family for name in names])]
    ]
    each = spearman(x, y) if enough else np.full(len(x), np.nan)
    _, seeds_low, seeds_high = means.interval(each, COSINE)
    return {
        "value": mean(x, y),
        "low": low,
        "high": high,
        "least": min(left, default=float("nan")),
        "most": max(left, default=float("nan")),
        "seeds_low": seeds_low,
        "seeds_high": seeds_high,
        "dealt_low": dealt_low,
        "dealt_high": dealt_high,
    }


def laid(rows: pd.DataFrame, ranked: pd.DataFrame) -> Table:
    """Table of the rank correlations with their intervals and nulls."""
    cells = [
        {
            "step": str(row["step"]),
            "quantity": QUANTITIES[row["quantity"]],
            "rank correlation": notation.number(row["value"], row["low"], row["high"]),
            "without a family": _between(row["least"], row["most"]),
            "over seeds": _between(row["seeds_low"], row["seeds_high"]),
            "dealt anew": _between(row["dealt_low"], row["dealt_high"]),
            "rules": str(row["rules"]),
        }
        for _, row in ranked.iterrows()
    ]
    last, seeds = rows["step"].max(), rows["seed"].nunique()
    notes = [
        (
            f"Spearman's rank correlation over rules with the test accuracy after {last} steps "
            f"above that of {style.label(NULL)}, mean over {seeds} seeds [95 % interval by the "
            f"bootstrap over rules, {RESAMPLES} resamples]. Without a family: the least and most "
            "when one family of rules is left out. Over seeds: 95 %, by Student's t. Dealt anew: "
            "95 % of what accuracies dealt to the rules at random give."
        ),
        (
            "Rotated across g: realised on the batch by estimates whose part across the gradient "
            "is turned at random. Curvature alike: realised in a quadratic with H = I, where it is "
            "ρ²."
        ),
        *_lost(rows),
    ]
    title = f"What goes with learning? {rows['rule'].nunique()} rules, {seeds} seeds"
    return plain(title, cells, ranked, 2, notes)


def _lost(rows: pd.DataFrame) -> list[str]:
    """Names the rules that are not among those ranked."""
    above = learned(rows)
    lost = [
        style.label(str(rule))
        for rule in rows["rule"].unique()
        if rule not in above.index or not np.isfinite(above.loc[rule]).all()
    ]
    said = f"Without an accuracy at every seed, and so not ranked: {', '.join(lost)}."
    return [said] if lost else []


def _between(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}" if np.isfinite([low, high]).all() else "–"


def rules(rows: pd.DataFrame) -> Table:
    """Table of what each rule learned, and what was measured at the last checkpoint."""
    at = rows.loc[rows["quantity"] != "test_accuracy", "step"].max()
    above = learned(rows).reset_index().melt("rule", var_name="seed").assign(quantity="above")
    shown = rows["quantity"].isin(SHOWN) & (rows["step"] == at)
    parts = [rows[rows["quantity"] == "test_accuracy"], above, rows[shown]]
    found = means.over_seeds(
        pd.concat([part[["rule", "seed", "quantity", "value"]] for part in parts]),
        ["rule", "quantity"],
    )
    of_accuracy = found[found["quantity"] == "test_accuracy"].set_index("rule")["value"]
    order = of_accuracy.sort_values(ascending=False, kind="stable").index
    found["place"] = found["rule"].map({rule: place for place, rule in enumerate(order)})
    found = found.sort_values("place", kind="stable", na_position="last")
    found["rule"] = [style.label(rule) for rule in found["rule"]]
    note = (
        f"Test accuracy at the end, and above {style.label(NULL)} with the same seed; the others "
        f"after {at} steps of a rule's own training, relative to the gradient of the objective: "
        "averages over seeds [95 % interval]."
    )
    headings = {"test_accuracy": "test accuracy", "above": "above readout only"}
    headings |= {quantity: QUANTITIES[quantity] for quantity in SHOWN}
    return means.table(
        f"What each rule learned; {rows['seed'].nunique()} seeds",
        found,
        {"rule": "rule"},
        headings,
        (note,),
    )


def metric(rows: pd.DataFrame, ranked: pd.DataFrame) -> Picture:
    """Draw the rank correlations: a panel a checkpoint, a line a quantity."""
    steps = panels.few(ranked["step"], 4)
    names = [quantity for quantity in QUANTITIES if quantity in set(ranked["quantity"])]
    colours = sns.color_palette("colorblind").as_hex()
    entries = [
        Line2D([], [], color=colours[0], marker="o", markersize=4, label="mean over seeds, 95 %"),
        Line2D([], [], color="0.6", linewidth=3.5, label="without a family"),
        Line2D([], [], color="0.88", linewidth=7, label="dealt anew, 95 %"),
    ]
    with style.theme():
        figure, part = style.canvas(style.PAGE, 0.2 * len(names) + 0.7, entries, [])
        grid = part.subplots(1, len(steps), sharey=True, sharex=True, squeeze=False)[0]
        for axes, step in zip(grid, steps, strict=True):
            own = ranked[ranked["step"] == step].set_index("quantity").reindex(names)
            _panel(axes, own, colours)
            panels.title(axes, panels.step_title(step))
            axes.set_xlabel("rank correlation")
        grid[0].set_yticks(range(len(names)), [QUANTITIES[name] for name in names])
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        grid[0].set_xlim(-1, 1)
    last, seeds = rows["step"].max(), rows["seed"].nunique()
    count = int(ranked["rules"].max()) if len(ranked) else 0
    caption = (
        f"Rank correlation of each quantity with the test accuracy after {last} steps above "
        f"{style.label(NULL)}, over {count} rules, mean over {seeds} seeds with 95 % intervals "
        "(bootstrap over rules); thick: the range when one family of rules is left out; grey: 95 % "
        "of what accuracies dealt anew give. Open: the two nulls."
    )
    return style.finished("metric", figure, caption)


def _panel(axes: Axes, own: pd.DataFrame, colours: Sequence[str]) -> None:
    axes.axvline(0, color="0.5", linewidth=0.8, zorder=1)
    for place, (name, row) in enumerate(own.iterrows()):
        axes.plot(
            [row["dealt_low"], row["dealt_high"]],
            [place] * 2,
            color="0.88",
            linewidth=7,
            solid_capstyle="butt",
            zorder=0,
        )
        axes.plot(
            [row["least"], row["most"]],
            [place] * 2,
            color="0.6",
            linewidth=3.5,
            solid_capstyle="butt",
            zorder=2,
        )
        ends: Ends = (row["value"], row["low"], row["high"])
        null = name in (ROTATED, ISOTROPIC)
        means.bars(
            axes,
            [place],
            [ends],
            across=True,
            linestyle="none",
            marker="o",
            markersize=4,
            color=colours[1] if null else colours[0],
            markerfacecolor="none" if null else colours[0],
        )

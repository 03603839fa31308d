"""The study of metrics: rank correlations of what is measured with what is learned."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from plausibench.bench.measuring.seed_intervals import COSINE, average
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.families import members
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.metric.study import ISOTROPIC, NULL, ROTATED
from plausibench.kernels.errors import counted
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
BESIDE = "progress"
"""The quantity with which all others are compared."""
NOTHING = (float("nan"), float("nan"))
RESAMPLES = 1000
QUIET = 1e-3
"""Relative variance below which a rule has no noise to speak of."""
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
        ``dealt_low`` and ``dealt_high``, between which it is in 95 % of deals of the rules; and
        ``behind``, by how much closer rho squared goes with learning, whatever the sign, with
        ``behind_low`` and ``behind_high`` by the bootstrap over rules. ``quiet`` and ``better`` are
        the correlations over rules whose variance is below ``QUIET``, and over those that learn
        more than the null.
    """
    above = learned(rows)
    found = []
    for step in sorted(rows["step"].unique()):
        own = rows[rows["step"] == step]
        wide = {
            quantity: part.pivot(index="rule", columns="seed", values="value").reindex(above.index)
            for quantity, part in own.groupby("quantity")
        }
        for quantity in (name for name in QUANTITIES if name in wide):
            measured, best = wide[quantity], wide.get(BESIDE)
            told = np.isfinite(measured).all(axis=1) & np.isfinite(above).all(axis=1)
            numbers = _ranked(measured[told], above[told])
            quiet = wide["variance"] < QUIET if "variance" in wide else measured < -np.inf
            for name, group in (("quiet", quiet.all(axis=1)), ("better", above.mean(axis=1) > 0)):
                x, y = (part[told & group].to_numpy(dtype=float).T for part in (measured, above))
                numbers[name] = _mean(x, y)
            if best is not None:
                both = told & np.isfinite(best).all(axis=1)
                numbers |= _behind(measured[both], best[both], above[both])
            found.append({"step": step, "quantity": quantity, "rules": int(told.sum()), **numbers})
    return pd.DataFrame(found)


def _mean(across: Array, up: Array) -> float:
    """Rank correlation of values by seeds and rules, mean over seeds."""
    return float(spearman(across, up).mean()) if across.shape[-1] >= FEWEST else float("nan")


def _quantiles(name: str, drawn: Callable[[np.random.Generator], float]) -> tuple[float, float]:
    """Between which 95 % of what is drawn lies."""
    draw = generator(0, "metric", name)
    values = np.array([drawn(draw) for _ in range(RESAMPLES)])
    # A resample of rules that are all alike has no correlation.
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if values.size else (np.nan, np.nan)
    return float(low), float(high)


def _ranked(measured: pd.DataFrame, gained: pd.DataFrame) -> dict[str, float]:
    """Columns of :func:`correlations`, of values by rules and seeds."""
    names = list(measured.index)
    x, y = measured.to_numpy(dtype=float).T, gained.to_numpy(dtype=float).T

    def resampled(draw: np.random.Generator) -> float:
        places = draw.integers(0, len(names), len(names))
        return _mean(x[:, places], y[:, places])

    def dealt(draw: np.random.Generator) -> float:
        return _mean(x, y[:, draw.permutation(len(names))])

    enough = len(names) >= FEWEST
    low, high = _quantiles("rules", resampled) if enough else NOTHING
    dealt_low, dealt_high = _quantiles("dealt", dealt) if enough else NOTHING
    left = [
        _mean(x[:, kept], y[:, kept])
        for family in members(names).values()
        for kept in [np.array([name not in family for name in names])]
    ]
    each = spearman(x, y) if enough else np.full(len(x), np.nan)
    _, seeds_low, seeds_high = average(each, COSINE)
    return {
        "value": _mean(x, y),
        "low": low,
        "high": high,
        "least": min(left, default=float("nan")),
        "most": max(left, default=float("nan")),
        "seeds_low": seeds_low,
        "seeds_high": seeds_high,
        "dealt_low": dealt_low,
        "dealt_high": dealt_high,
    }


def _behind(measured: pd.DataFrame, best: pd.DataFrame, gained: pd.DataFrame) -> dict[str, float]:
    """How much closer one quantity goes with learning than another, over the same rules."""
    x, other, y = (part.to_numpy(dtype=float).T for part in (measured, best, gained))

    def closer(places: Array) -> float:
        one, two = (abs(_mean(values[:, places], y[:, places])) for values in (other, x))
        return one - two

    def resampled(draw: np.random.Generator) -> float:
        return closer(draw.integers(0, len(measured), len(measured)))

    if len(measured) < FEWEST:
        return means.columns("behind", (float("nan"), *NOTHING))
    ends = _quantiles("rules", resampled)
    return means.columns("behind", (closer(np.arange(len(measured))), *ends))


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
            "ρ² closer by": _closer(row),
            "without noise": _number(row["quiet"]),
            "above readout only": _number(row["better"]),
            "rules": str(row["rules"]),
        }
        for _, row in ranked.iterrows()
    ]
    last, seeds = rows["step"].max(), means.seeds(rows)
    notes = [
        (
            f"Spearman's rank correlation over rules with the test accuracy after {last} steps "
            f"above that of {style.label(NULL)}, mean over {seeds} [95 % interval by the "
            f"bootstrap over rules, {RESAMPLES} resamples]. Without a family: the least and most "
            "when one family of rules is left out. Over seeds: 95 %, by Student's t. Dealt anew: "
            "95 % of what accuracies dealt to the rules at random give. ρ² closer by: its rank "
            "correlation less that of the quantity, whatever the sign [same bootstrap]. Without "
            f"noise: over the rules alone whose variance is below {QUIET:g} at every seed. Above "
            "readout only: over those alone that learn more, on average over seeds."
        ),
        (
            "Rotated across g: realised on the batch by estimates whose part across the gradient "
            "is turned at random. Curvature alike: realised in a quadratic with H = I, where it is "
            "ρ²."
        ),
        *_lost(rows),
    ]
    title = f"What goes with learning? {counted(rows['rule'].nunique(), 'rule')}, {seeds}"
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


def _closer(row: pd.Series) -> str:
    if row["quantity"] == BESIDE or "behind" not in row:
        return "–"
    return notation.number(row["behind"], row["behind_low"], row["behind_high"])


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


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
        f"What each rule learned; {means.seeds(rows)}",
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
        Line2D([], [], color="0.84", linewidth=3.5, label="dealt anew, 95 %"),
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
        grid[0].set_xlim(-1.05, 1.05)
        grid[0].set_xticks([-1, -0.5, 0, 0.5, 1])
    last, seeds = rows["step"].max(), means.seeds(rows)
    count = int(ranked["rules"].max()) if len(ranked) else 0
    caption = (
        f"Rank correlation of each quantity with the test accuracy after {last} steps above "
        f"{style.label(NULL)}, over {count} rules, mean over {seeds} with 95 % intervals "
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

"""The study of doses: how far the curves with injected bias and variance are from the rule's."""

import textwrap
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plausibench.bench.measuring.statistics import interval
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.dose_response.study import AGAIN, ANOTHER, KINDS

TABLES = ("doses", "paired")
"""Names of the tables of the report."""

CEILING = 100.0
"""Test loss that stands for any larger one, and for that of a network that diverged."""
SHOWN = ("layer1.weights",)
"""Projections whose doses stand in the table."""
SPREAD = "another seed"
"""The distance between seeds, which differ in their weights and batches as well."""
LOOKS: dict[str, tuple[str | int, tuple[float, tuple[float, ...]], str]] = {
    "own": ("#1a1a1a", style.SOLID, "o"),
    "none": ("0.6", style.DASHED, "s"),
    "redrawn": (0, style.SOLID, "^"),
    "fixed": (0, style.DASHED, "v"),
    "shrinking": (3, style.DASHED, "D"),
    "local": (4, style.SOLID, "o"),
    "gain, redrawn": (2, style.SOLID, "^"),
    "gain, fixed": (2, style.DASHED, "v"),
    ANOTHER: (1, style.DOTTED, "P"),
    AGAIN: ("#1a1a1a", style.DOTTED, "|"),
}
"""Colour, dashes and marker of each curve."""
PAIRED = (
    (
        "Distance from the rule's own curve less the floor, and that of no dose less it: means of "
        "differences within a seed [95 % interval, Student's t]. A dose predicts learning where "
        "the second is above 0 and the first is near 0; where no dose is near the floor, no dose "
        "can be told from another."
    ),
)
NOTES = (
    (
        "Distance between learning curves: mean absolute difference of the logarithms of the test "
        "losses over checkpoints after the first, mean over seeds [95 % interval, Student's t]. "
        "Two numbers: redrawn, fixed, shrinking and local; three: with the gain."
    ),
    (
        f"{AGAIN}: the rule itself from the same weights, on the same batches, its noise and "
        f"feedback drawn anew: the floor of any prediction. none and {ANOTHER} are the nulls. A "
        f"loss above {CEILING:g}, or diverged, counts as {CEILING:g}."
    ),
    (
        f"{SPREAD}: the rule's own curve against that of other seeds, with other weights and "
        "batches, which is no floor; its interval, of three seeds or more, is by the "
        "delete-one-seed jackknife."
    ),
    (
        "bias: its length relative to |g|; variance: relative to |g|²; of the first projection, "
        "at the first and at the last checkpoint of the rule's own training."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"doses": doses(rows), "paired": paired(rows)}, [dose_response(rows)]


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Logarithms of test losses, a column for each rule, kind, seed and draw, by step."""
    own = rows[rows["quantity"] == "test_loss"]
    columns = ["rule", "kind", "seed", "draw"]
    wide = own.set_index(["step", *columns])["value"].unstack(columns).sort_index(axis=1)
    return wide.fillna(CEILING).clip(1e-12, CEILING).map(np.log)


def distances(rows: pd.DataFrame) -> pd.DataFrame:
    """Distance of each curve from the rule's own: ``rule``, ``kind``, ``seed``.

    Of the floor, the mean over all pairs of the rule's own curve and those with other draws.
    """
    logs = curves(rows)
    logs = logs[logs.index > 0]
    found = []
    for rule in rows["rule"].unique():
        seeds = rows.loc[rows["rule"] == rule, "seed"].unique()
        for kind in (*KINDS, ANOTHER):
            for seed in seeds:
                apart = (logs[rule, "own", seed, 0] - logs[rule, kind, seed, 0]).abs().mean()
                found.append({"rule": rule, "kind": kind, "seed": seed, "distance": apart})
        for seed in seeds:
            again = logs[rule, AGAIN, seed]
            alike = [logs[rule, "own", seed, 0], *(again[draw] for draw in again)]
            between = [(one - other).abs().mean() for one, other in combinations(alike, 2)]
            others = [
                (logs[rule, "own", a, 0] - logs[rule, "own", b, 0]).abs().mean()
                for a, b in combinations(seeds, 2)
                if seed in (a, b)
            ]
            for kind, values in ((AGAIN, between), (SPREAD, others)):
                found.append(
                    {"rule": rule, "kind": kind, "seed": seed, "distance": float(np.mean(values))}
                )
    return pd.DataFrame(found)


def distance(apart: pd.DataFrame, rule: str, kind: str) -> Ends:
    """Mean of one kind of distance, as of :func:`distances`, with its interval."""
    chosen = (apart["rule"] == rule) & (apart["kind"] == kind)
    each = apart.loc[chosen, "distance"].to_numpy(dtype=float)
    if kind != SPREAD:
        return means.average(each)
    if each.size < 3:
        return float(each.mean()), float("nan"), float("nan")
    # Two seeds share the distance between them. Without one seed, the mean over pairs is that of
    # all less the pairs in which it is.
    left = (each.sum() - 2 * each) / (each.size - 2)
    return interval(np.array([each.mean(), *left]))


def own_loss(rows: pd.DataFrame, rule: str) -> pd.Series:
    """Test loss of a rule itself after its training, by seed."""
    of_rule = (rows["rule"] == rule) & (rows["kind"] == "own")
    own = rows[of_rule & (rows["quantity"] == "test_loss")]
    last = own[own["step"] == own["step"].max()].set_index("seed")["value"]
    return last.fillna(CEILING).clip(upper=CEILING)


def doses(rows: pd.DataFrame) -> Table:
    """Table of the distances of every kind of dose, with what was injected."""
    apart = distances(rows)
    cells, raw = [], []
    for rule in rows["rule"].unique():
        own = rows[(rows["rule"] == rule) & (rows["kind"] == "own")]
        line = {"rule": style.label(rule)}
        numbers: dict[str, object] = {"rule": rule}
        for quantity in ("bias", "variance"):
            part = own[(own["quantity"] == quantity) & own["projection"].isin(SHOWN)]
            mean = part.groupby("step")["value"].mean()
            line[quantity] = f"{mean.iloc[0]:.2g} → {mean.iloc[-1]:.2g}"
            numbers |= {f"{quantity}_first": mean.iloc[0], f"{quantity}_last": mean.iloc[-1]}
        ends = means.average(own_loss(rows, rule))
        line["own loss"] = notation.number(*ends)
        numbers |= means.columns("own_loss", ends)
        for kind in (*KINDS, ANOTHER, AGAIN, SPREAD):
            ends = distance(apart, rule, kind)
            line[kind] = notation.number(*ends)
            numbers |= means.columns(kind.replace(", ", "_").replace(" ", "_"), ends)
        cells.append(line)
        raw.append(numbers)
    return plain(f"Do two numbers predict learning? {means.seeds(rows)}", cells, raw, 1, NOTES)


def paired(rows: pd.DataFrame) -> Table:
    """Table of how far each dose is above the floor and nearer than no dose, paired over seeds."""
    apart = distances(rows)
    wide = apart.pivot(index=["rule", "seed"], columns="kind", values="distance")
    cells, raw = [], []
    for rule in rows["rule"].unique():
        for kind in (*KINDS, ANOTHER):
            each = wide.loc[rule]
            above = means.average(each[kind] - each[AGAIN])
            nearer = means.average(each["none"] - each[kind])
            line = {"rule": style.label(rule), "dose": kind}
            numbers: dict[str, object] = {"rule": rule, "dose": kind}
            if kind == "none":
                nearer = (float("nan"),) * 3
            for name, ends in (("above the floor", above), ("nearer than no dose", nearer)):
                line[name] = notation.number(*ends)
                numbers |= means.columns(name.replace(" ", "_"), ends)
            cells.append(line)
            raw.append(numbers)
    return plain(f"Doses beside floor and null; {means.seeds(rows)}", cells, raw, 2, PAIRED)


def dose_response(rows: pd.DataFrame) -> Picture:
    """Draw the learning curves of each rule, and the distances of the predicted ones."""
    logs, apart = curves(rows), distances(rows)
    rules = list(rows["rule"].unique())
    wide = min(4, len(rules))
    tall = -(-len(rules) // wide)
    with style.theme():
        figure, part = style.canvas(style.PAGE, 1.55 * tall + 2.0, _legend(), [])
        halves = part.subfigures(2, 1, squeeze=False, height_ratios=[1.55 * tall, 2.0])
        upper, lower = np.asarray(halves).flat
        grid = upper.subplots(tall, wide, squeeze=False, sharey=True)
        for axes, rule in zip(grid.flat, rules, strict=False):
            _curves(axes, logs[rule])
            panels.title(axes, style.label(rule, width=26))
        for axes in grid.flat[len(rules) :]:
            axes.set_axis_off()
        for row in grid:
            row[0].set_ylabel("test loss")
        for axes in grid[-1]:
            axes.set_xlabel("training steps")
        _distances(lower.subplots(), apart, rules)
    seeds = means.seeds(rows)
    caption = (
        "Backpropagation with the measured bias and variance of a rule, beside the rule itself: "
        f"test loss along training, mean of logarithms over {seeds} with 95 % intervals "
        "(Student's t), where it lies between 0.15 and 6, and below the distance of each predicted "
        f"curve from the rule's own; {AGAIN}: the rule itself on the same batches, the floor."
    )
    return style.finished("dose_response", figure, caption)


def _colour(kind: str) -> str:
    colour = LOOKS[kind][0]
    return sns.color_palette("colorblind").as_hex()[colour] if isinstance(colour, int) else colour


def _curves(axes: Axes, logs: pd.DataFrame) -> None:
    for kind in ("own", *KINDS, ANOTHER):
        values = logs.loc[:, (kind, slice(None), 0)].to_numpy()
        ends = [tuple(np.exp(means.average(row))) for row in values]
        means.band(
            axes,
            logs.index,
            ends,
            color=_colour(kind),
            linestyle=LOOKS[kind][1],
            linewidth=1.6 if kind == "own" else 0.9,
            zorder=5 if kind == "own" else 3,
        )
    axes.set_yscale("log")
    # What diverges leaves the panel; the table has all.
    axes.set_ylim(0.15, 6)
    axes.yaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _distances(axes: Axes, apart: pd.DataFrame, rules: Sequence[str]) -> None:
    kinds = (*KINDS, ANOTHER, AGAIN)
    for number, kind in enumerate(kinds):
        ends = [distance(apart, rule, kind) for rule in rules]
        places = np.arange(len(rules)) + 0.085 * (number - (len(kinds) - 1) / 2)
        means.bars(
            axes,
            places,
            ends,
            linestyle="none",
            color=_colour(kind),
            marker=LOOKS[kind][2],
            markersize=4,
            markerfacecolor=_colour(kind) if LOOKS[kind][1] == style.SOLID else "none",
        )
    labels = [textwrap.fill(style.label(rule), 12) for rule in rules]
    axes.set_xticks(range(len(rules)), labels)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("distance from own curve\n(log of loss)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # A floor of 0, of rules without random draws, is below the panel.
    axes.set_ylim(0.5 * max(apart["distance"].min(), 1e-2), None)


def _legend() -> list[Line2D]:
    names = {"own": "the rule itself", "none": "backprop, no dose", AGAIN: "other draws (floor)"}
    return [
        Line2D(
            [],
            [],
            color=_colour(kind),
            linestyle=dashes if kind != AGAIN else "none",
            linewidth=1.6 if kind == "own" else 0.9,
            marker="none" if kind == "own" else marker,
            markersize=4,
            markerfacecolor=_colour(kind) if dashes == style.SOLID else "none",
            label=names.get(kind, kind),
        )
        for kind, (_, dashes, marker) in LOOKS.items()
    ]

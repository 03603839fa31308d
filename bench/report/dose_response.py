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

from plausibench.bench.experiments.dose_response import ANOTHER, KINDS
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.statistics import interval

CEILING = 100.0
"""Test loss that stands for any larger one, and for that of a network that diverged."""
SHOWN = ("layer1.weights",)
"""Projections whose doses stand in the table."""
FLOOR = "another seed"
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
    FLOOR: ("#1a1a1a", style.DOTTED, "|"),
}
"""Colour, dashes and marker of each curve."""
NOTES = (
    (
        "Distance between learning curves: mean absolute difference of the logarithms of the test "
        "losses over checkpoints after the first, mean over seeds [95 % interval, Student's t]. "
        "Two numbers: redrawn, fixed, shrinking and local; three: with the gain."
    ),
    (
        f"{FLOOR}: the rule's own curve against that of other seeds, the floor of any prediction; "
        "its interval, of three seeds or more, is by the delete-one-seed jackknife. "
        f"none and {ANOTHER} are the nulls. A loss above {CEILING:g}, or diverged, counts as "
        f"{CEILING:g}."
    ),
    (
        "bias: its length relative to |g|; variance: relative to |g|²; of the first projection, "
        "at the first and at the last checkpoint of the rule's own training."
    ),
)


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Logarithms of test losses, a column for each rule, kind and seed, by step."""
    own = rows[rows["quantity"] == "test_loss"]
    wide = own.pivot_table(
        index="step", columns=["rule", "kind", "seed"], values="value", dropna=False
    )
    return wide.fillna(CEILING).clip(1e-12, CEILING).map(np.log)


def distances(rows: pd.DataFrame) -> pd.DataFrame:
    """Distance of each predicted curve from the rule's own: ``rule``, ``kind``, ``seed``."""
    logs = curves(rows)
    logs = logs[logs.index > 0]
    found = []
    for rule in rows["rule"].unique():
        seeds = rows.loc[rows["rule"] == rule, "seed"].unique()
        for kind in (*KINDS, ANOTHER):
            for seed in seeds:
                apart = (logs[rule, "own", seed] - logs[rule, kind, seed]).abs().mean()
                found.append({"rule": rule, "kind": kind, "seed": seed, "distance": apart})
        for seed in seeds:
            others = [
                (logs[rule, "own", a] - logs[rule, "own", b]).abs().mean()
                for a, b in combinations(seeds, 2)
                if seed in (a, b)
            ]
            found.append(
                {"rule": rule, "kind": FLOOR, "seed": seed, "distance": float(np.mean(others))}
            )
    return pd.DataFrame(found)


def distance(apart: pd.DataFrame, rule: str, kind: str) -> Ends:
    """Mean of one kind of distance, as of :func:`distances`, with its interval."""
    chosen = (apart["rule"] == rule) & (apart["kind"] == kind)
    each = apart.loc[chosen, "distance"].to_numpy(dtype=float)
    if kind != FLOOR:
        return means.interval(each)
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
        ends = means.interval(own_loss(rows, rule))
        line["own loss"] = notation.number(*ends)
        numbers |= means.columns("own_loss", ends)
        for kind in (*KINDS, ANOTHER, FLOOR):
            ends = distance(apart, rule, kind)
            line[kind] = notation.number(*ends)
            numbers |= means.columns(kind.replace(", ", "_").replace(" ", "_"), ends)
        cells.append(line)
        raw.append(numbers)
    seeds = rows["seed"].nunique()
    return plain(f"Do two numbers predict learning? {seeds} seeds", cells, raw, 1, NOTES)


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
    seeds = rows["seed"].nunique()
    caption = (
        "Backpropagation with the measured bias and variance of a rule, beside the rule itself: "
        f"test loss along training, mean of logarithms over {seeds} seeds with 95 % intervals "
        "(Student's t), where it lies between 0.15 and 6, and below the distance of each predicted "
        "curve from the rule's own (between seeds: jackknife interval)."
    )
    return style.finished("dose_response", figure, caption)


def _colour(kind: str) -> str:
    colour = LOOKS[kind][0]
    return sns.color_palette("colorblind").as_hex()[colour] if isinstance(colour, int) else colour


def _curves(axes: Axes, logs: pd.DataFrame) -> None:
    for kind in ("own", *KINDS, ANOTHER):
        values = logs[kind].to_numpy()
        ends = [tuple(np.exp(means.interval(row))) for row in values]
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
    kinds = (*KINDS, ANOTHER, FLOOR)
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
    axes.set_ylim(0.5 * max(apart["distance"].min(), 1e-3), None)


def _legend() -> list[Line2D]:
    names = {"own": "the rule itself", "none": "backprop, no dose", ANOTHER: ANOTHER}
    return [
        Line2D(
            [],
            [],
            color=_colour(kind),
            linestyle=dashes if kind != FLOOR else "none",
            linewidth=1.6 if kind == "own" else 0.9,
            marker="none" if kind == "own" else marker,
            markersize=4,
            markerfacecolor=_colour(kind) if dashes == style.SOLID else "none",
            label=names.get(kind, kind),
        )
        for kind, (_, dashes, marker) in LOOKS.items()
    ]

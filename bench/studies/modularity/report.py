"""The study of modularity: what wire costs at equal performance, modules, and their picture."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from plausibench.bench.measuring.seed_intervals import KINDS, SIGNED
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.modularity.study import ARMS, PHASES, TASKS
from plausibench.kernels.errors import counted

TABLES = ("fronts", "modules", "sequence")
"""Names of the tables of the report."""

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
"""Performances at which arms are compared."""
COSTS = ("wiring", "alive weights", "weights needed")
BEYOND = 0.05
"""One-sided level at which a network is counted as beyond its null."""
ASKED = (
    "locality",
    "modularity",
    "similar are coupled",
    "similar are near",
    "near are coupled",
    "autocorrelation",
)
"""Statistics with a null."""
SHOWN = 1e-4
"""Strength of penalty of the networks that are drawn, or the next to it."""

COLOURS = dict(zip(ARMS, ("#1a1a1a", 0, 1, 2, 3), strict=True))
MARKERS = dict(zip(ARMS, "*osD^", strict=True))


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return (
        {
            "fronts": fronts(rows),
            "modules": modules(rows),
            "sequence": sequence(rows),
        },
        pictures(rows),
    )


def fronts(rows: pd.DataFrame) -> Table:
    """Table of what each arm costs at equal performance, beside L1."""
    cells, raw = [], []
    for (rule, level), found in _reached(rows).items():
        for arm, costs in found.items():
            both = (costs["wiring"].notna() & found["L1"]["wiring"].notna()).sum()
            if both < 2:
                continue
            line = {"rule": style.label(rule), "performance": f"{level:g}", "arm": arm}
            numbers: dict[str, Any] = {"rule": rule, "performance": level, "arm": arm}
            for name in COSTS:
                ratio = np.log(costs[name]) - np.log(found["L1"][name])
                own = np.log(costs[name])[ratio.notna()]
                for text, values in ((name, own), (f"{name} / L1", ratio)):
                    mean, low, high = np.exp(means.average(values))
                    same = text.endswith("L1") and arm == "L1"
                    line[text] = "1" if same else notation.number(mean, low, high)
                    numbers |= _named(text, (mean, low, high))
            line["seeds"], numbers["seeds"] = str(both), int(both)
            cells.append(line)
            raw.append(numbers)
    if not cells:
        cells, raw = [{"rule": "–", "performance": "none that is compared", "arm": "–"}], [{}]
    notes = (
        (
            "Read off each seed's path of performance and cost over strengths of the penalty, at "
            "its last crossing of the performance, by interpolating the logarithm of the cost; "
            "geometric means over the seeds in which this arm and L1 cross it, with 95 % intervals "
            "(Student's t), ratios within seeds."
        ),
        (
            "Wiring: sum of |W| d over recurrent weights; alive: above 0.01; needed: kept when the "
            "smallest are cut as long as no more than 1 % of the trials is lost (in powers of 2)."
        ),
    )
    return _table("Cost at equal performance", rows, cells, raw, 3, notes)


def modules(rows: pd.DataFrame) -> Table:
    """Table of locality, modularity and co-emergence, with how many seeds are beyond the null."""
    cells, raw = [], []
    for (rule, arm, strength), own in _networks(rows).groupby(["rule", "arm", "strength"]):
        line = {"rule": style.label(str(rule)), "arm": str(arm), "strength": f"{strength:g}"}
        numbers: dict[str, Any] = {"rule": rule, "arm": arm, "strength": strength}
        for name in ("performance", "clusters", *ASKED):
            found = own[(own["quantity"] == name) & (own["of"] == "")]
            ends = means.average(found["value"], KINDS.get(name, SIGNED))
            line[name] = notation.number(*ends)
            numbers |= _named(name, ends)
            if name in ASKED:
                beyond, tested = int((found["p"] < BEYOND).sum()), int(found["p"].notna().sum())
                line[name] += f" ({beyond}/{tested})"
                numbers |= _named(f"{name} z", means.average(found["z"]))
                numbers |= {f"{name} beyond": beyond, f"{name} seeds": tested}
        wide = own.pivot_table(index="seed", columns="quantity", values="value", aggfunc="first")
        for name, null in (
            ("specificity", "specificity, random lesions"),
            ("modularity", "modularity, weights shuffled"),
        ):
            if null in wide:
                ends = means.average(wide[name] - wide[null])
                if name == "specificity":
                    line["specificity of lesions beyond random"] = notation.number(*ends)
                numbers |= _named(f"{name} beyond {null.partition(', ')[2]}", ends)
        cells.append(line)
        raw.append(numbers)
    notes = (
        (
            "Means over seeds with 95 % intervals (Student's t); in brackets, how many seeds are "
            "beyond the null in which neurons change labels (one-sided p < 0.05), of those where "
            "the statistic is defined."
        ),
        (
            "Locality: distance within functional clusters over that of any two neurons. "
            "Correlations over pairs of neurons: similar (cosine of task variance), coupled "
            "(|W| + |W|^T), near (less distance). Autocorrelation: Moran's I of task variance."
        ),
    )
    return _table("Modules", rows, cells, raw, 3, notes)


def sequence(rows: pd.DataFrame) -> Table:
    """Table of what is forgotten, and what earlier tasks are worth, in sequential training."""
    cells, raw = [], []
    end, left_out = "+".join(PHASES[-1]), 0
    own = rows[rows["quantity"].str.startswith(("after ", "transfer"))]
    for (rule, arm), started in own.groupby(["rule", "arm"], sort=False):
        # A network that diverged has the rows of the phases before.
        complete = set(started.loc[started["quantity"] == f"after {end}", "seed"])
        found = started[started["seed"].isin(complete)]
        left_out += started["seed"].nunique() - len(complete)
        moved = found[found["quantity"] == "transfer"].groupby("seed")["value"].mean()
        after = found[found["quantity"] != "transfer"].copy()
        after["phase"] = after["quantity"].str.removeprefix("after ")
        last = after[after["phase"] == end]
        fresh = after[after["phase"] == after["of"]]
        old = last["of"] != last["phase"]
        lost = (
            fresh.set_index(["seed", "of"])["value"] - last[old].set_index(["seed", "of"])["value"]
        )
        ends = {
            "forgotten": means.average(lost.groupby("seed").mean()),
            "transfer": means.average(moved),
            "performance when learned": means.share(fresh.groupby("seed")["value"].mean()),
            "performance at the end": means.share(last.groupby("seed")["value"].mean()),
        }
        cells.append(
            {"rule": style.label(str(rule)), "arm": str(arm)}
            | {name: notation.number(*values) for name, values in ends.items()}
        )
        numbers: dict[str, Any] = {"rule": rule, "arm": arm}
        for name, values in ends.items():
            numbers |= _named(name, values)
        raw.append(numbers)
    notes: tuple[str, ...] = (
        (
            "Forgotten: performance after a phase less that at the end, mean over earlier phases. "
            "Transfer: mean performance during a phase, in quarters of it, less that of a fresh "
            "network in the same phase, mean over later phases. 95 % intervals over seeds."
        ),
    )
    if left_out:
        notes = (
            *notes,
            f"Left out, as they diverged after the first phase: {counted(left_out, 'network')}.",
        )
    if not cells:
        cells, raw = [{"rule": "–", "arm": "–"}], [{}]
    return _table("Tasks one after the other", rows, cells, raw, 2, notes)


def crossing(performance: Sequence[float], cost: Sequence[float], level: float) -> float:
    """Cost at a performance, on a path of points; NaN if the path does not cross it.

    The last crossing counts; the cost is interpolated on a logarithmic scale.
    """
    for k in range(len(performance) - 2, -1, -1):
        first, second = performance[k], performance[k + 1]
        if min(first, second) <= level <= max(first, second) and first != second:
            share = (level - first) / (second - first)
            return float(np.exp((1 - share) * np.log(cost[k]) + share * np.log(cost[k + 1])))
    return float("nan")


def modularity(rows: pd.DataFrame, rule: str, name: str) -> Picture:
    """Draw costs against performance, modules beside their nulls, and networks on their plane."""
    own = _networks(rows[rows["rule"] == rule])
    entries = [
        Line2D([], [], color=_colour(arm), marker=MARKERS[arm], markersize=4.5, label=arm)
        for arm in ARMS
        if arm in set(own["arm"])
    ]
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.9, entries, [])
        grid = part.subplots(2, 3)
        for axes, cost in zip(grid[0, :2], ("wiring", "alive weights"), strict=True):
            _front(axes, own, cost)
        _nulls(grid[0, 2], own)
        for axes, arm in zip(grid[1, :2], ("L1", "both"), strict=True):
            _plane(axes, own, arm)
        _variances(grid[1, 2], own)
    seeds = means.seeds(rows)
    caption = (
        f"Recurrent networks on a grid, trained by {style.label(rule)}: performance against wiring "
        f"and against alive weights over strengths of the penalty, means over {seeds} with "
        "95 % intervals (Student's t); how far locality and co-emergence are from their nulls, in "
        "standard deviations of the null; one network of two arms on its plane, neurons coloured "
        "by functional cluster (grey: not active), with its 150 strongest connections; task "
        "variance of the second one's neurons, by cluster."
    )
    return style.finished(name, figure, caption)


def pictures(rows: pd.DataFrame) -> list[Picture]:
    """One picture for each rule."""
    rules = list(rows["rule"].unique())
    names = ["modularity"] if len(rules) == 1 else [f"modularity-{rule}" for rule in rules]
    return [
        modularity(rows, rule, style.file_name(name))
        for rule, name in zip(rules, names, strict=True)
    ]


def _networks(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of networks that learned all tasks at once."""
    return rows[~rows["quantity"].str.startswith(("after ", "transfer", "diverged"))]


def _reached(rows: pd.DataFrame) -> dict[tuple[str, float], dict[str, pd.DataFrame]]:
    """Costs by seed of each arm, for each rule and performance that both ends of it cross."""
    own = _networks(rows)
    whole = own[(own["of"] == "") & own["quantity"].isin(["performance", *COSTS])]
    found: dict[tuple[str, float], dict[str, pd.DataFrame]] = {}
    for rule, part in whole.groupby("rule", sort=False):
        wide = part.pivot_table(
            index=["arm", "seed", "strength"], columns="quantity", values="value"
        ).reset_index()
        # Without a penalty all arms are one.
        start = wide[wide["arm"] == "none"]
        for level in LEVELS:
            arms = {}
            for arm in ARMS:
                if arm == "none":
                    continue
                costs = {}
                for seed, path in wide[wide["arm"] == arm].groupby("seed"):
                    whole_path = pd.concat([start[start["seed"] == seed], path])
                    performance = whole_path["performance"].tolist()
                    costs[seed] = {
                        cost: crossing(performance, whole_path[cost].tolist(), level)
                        for cost in COSTS
                    }
                arms[arm] = pd.DataFrame.from_dict(costs, orient="index", columns=list(COSTS))
            found[str(rule), level] = arms
    return found


def _colour(arm: str) -> Any:
    colour = COLOURS[arm]
    return sns.color_palette("colorblind")[colour] if isinstance(colour, int) else colour


def _front(axes: Axes, own: pd.DataFrame, cost: str) -> None:
    whole = own[own["of"] == ""]
    for arm in ARMS:
        part = whole[whole["arm"] == arm]
        line = []
        for _, point in part.groupby("strength"):
            x, y = (
                means.average(
                    point.loc[point["quantity"] == name, "value"], KINDS.get(name, SIGNED)
                )
                for name in (cost, "performance")
            )
            line.append((x[0], y[0]))
            axes.errorbar(
                [x[0]],
                [y[0]],
                # A bar to below zero has no end on a logarithmic axis.
                xerr=[[min(x[0] - x[1], 0.99 * x[0])], [x[2] - x[0]]],
                yerr=[[y[0] - y[1]], [y[2] - y[0]]],
                color=_colour(arm),
                marker=MARKERS[arm],
                markersize=4.5,
                elinewidth=0.9,
                zorder=4,
            )
        if line:
            axes.plot(*zip(*line, strict=True), color=_colour(arm), linewidth=0.8, zorder=3)
    costs = whole[whole["quantity"] == cost].groupby(["arm", "strength"])["value"].mean()
    axes.set_xscale("log")
    # An interval that reaches further ends at the frame.
    axes.set_xlim(0.7 * costs.min(), 1.4 * costs.max())
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("wiring, Σ|W|d" if cost == "wiring" else "weights above 0.01")
    axes.set_ylabel("performance (share of trials)")
    panels.title(axes, f"performance against {cost}")


def _nulls(axes: Axes, own: pd.DataFrame) -> None:
    """Distance to the null at one strength, turned so that more of a module is to the right."""
    names = ASKED[:4]
    arms = [arm for arm in ARMS if arm != "none" and arm in set(own["arm"])]
    for number, arm in enumerate(arms):
        part = own[(own["arm"] == arm) & (own["strength"] == _shown(own))]
        for place, name in enumerate(names):
            z = part.loc[part["quantity"] == name, "z"]
            mean, low, high = means.average(-z if name == "locality" else z)
            y = place + (number - (len(arms) - 1) / 2) * 0.18
            axes.plot([low, high], [y, y], color=_colour(arm), linewidth=1.1)
            axes.plot([mean], [y], color=_colour(arm), marker=MARKERS[arm], markersize=4.5)
    axes.axvline(0, color="0.35", linewidth=0.8, linestyle=style.DASHED)
    axes.set_yticks(range(len(names)), [name.replace(" are ", "\nare ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("distance from the null (SD)")
    panels.title(axes, f"modules at strength {_shown(own):g}")


def _shown(own: pd.DataFrame) -> float:
    known = own.loc[own["strength"] > 0, "strength"].unique()
    return float(min(known, key=lambda strength: abs(np.log(strength / SHOWN))))


def _one(own: pd.DataFrame, arm: str, quantity: str) -> pd.DataFrame:
    """Rows of the first seed's network at the strength that is drawn."""
    part = own[(own["arm"] == arm) & (own["strength"] == _shown(own))]
    return part[(part["seed"] == own["seed"].min()) & (part["quantity"] == quantity)]


def _plane(axes: Axes, own: pd.DataFrame, arm: str) -> None:
    places, wires = _one(own, arm, "cluster"), _one(own, arm, "connection")
    xy = places[["x", "y"]].to_numpy()
    ends = wires["of"].str.split(expand=True).astype(int).to_numpy().reshape(-1, 2)
    largest = wires["value"].max()
    axes.add_collection(
        LineCollection(
            list(xy[ends]),
            colors=[(0, 0, 0, float(0.55 * value / largest)) for value in wires["value"]],
            linewidths=0.8,
            zorder=1,
        )
    )
    axes.scatter(
        xy[:, 0], xy[:, 1], c=_cluster_colours(places["value"]), s=17, zorder=2, linewidths=0
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])
    axes.set_xlabel("x (side of the plane)")
    axes.set_ylabel("y (side of the plane)")
    panels.title(axes, f"{arm}: one network")


def _cluster_colours(labels: pd.Series) -> list[Any]:
    palette = sns.color_palette("colorblind", 10)
    return ["0.8" if label < 0 else palette[int(label) % 10] for label in labels]


def _variances(axes: Axes, own: pd.DataFrame) -> None:
    labels = _one(own, "both", "cluster")["value"].to_numpy()
    found = _one(own, "both", "task variance")["value"].to_numpy().reshape(-1, len(TASKS))
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    shown = found[order] / found[order].max(axis=1, keepdims=True)
    image = axes.imshow(shown, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="none")
    bounds = np.flatnonzero(np.diff(labels[order])) + 0.5
    axes.hlines(bounds, -0.5, len(TASKS) - 0.5, color="white", linewidth=0.8)
    axes.set_xticks(range(len(TASKS)), TASKS, rotation=90)
    axes.set_yticks([])
    axes.set_ylabel("neurons, by cluster")
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05)
    bar.set_label("task variance / largest")
    panels.title(axes, "both: task variance")


def _named(name: str, ends: Iterable[float]) -> dict[str, float]:
    return dict(zip((name, f"{name} low", f"{name} high"), map(float, ends), strict=True))


def _table(
    title: str,
    rows: pd.DataFrame,
    cells: list[dict[str, str]],
    raw: list[dict[str, Any]],
    keys: int,
    notes: tuple[str, ...],
) -> Table:
    lost = rows[rows["quantity"] == "diverged"]
    if len(lost):
        notes = (*notes, f"Diverged and left out: {counted(len(lost), 'network')}.")
    return plain(f"{title}; {means.seeds(rows)}", cells, raw, keys, notes)

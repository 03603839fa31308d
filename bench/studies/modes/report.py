"""The study of modes: tables of what networks learned, of rules and of cost, and a picture."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.measuring.exponents import exponent
from plausibench.bench.measuring.seed_intervals import KINDS, POSITIVE, SIGNED
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.modes.study import IMPORTANT, PSYCHOMETRIC, ROUNDS
from plausibench.kernels.errors import counted

TABLES = ("contextual_integration", "digits", "structure", "rules", "cost")
"""Names of the tables of the report."""

FULL = -1
RANGES = ((1, 9), (10, 19))
"""Ranks of the two parts of the fit to importances."""
PUBLISHED = {(1, 9): -0.10, (10, 19): -0.12}
"""Slopes of Lin & Huang's own networks on MNIST, N = 100 and P = 30."""
TITLES = {"contextual_integration": "Contextual integration", "digits": "Digits, row by row"}
CHANCE = {"contextual_integration": 0.5, "digits": 0.1}
COLUMNS = {
    "accuracy": "accuracy",
    "accuracy, cut": "recurrence cut",
    "accuracy, whole response": "whole response",
    "loss": "loss",
    "rate": "rate (Hz)",
    "dimension": "dimension",
}
EXACT = {"parameters": "parameters", "optimiser bytes": "Adam (kB)", "trace bytes": "trace (kB)"}


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    tables = {
        "contextual_integration": trained(rows, "contextual_integration"),
        "digits": trained(rows, "digits"),
        "structure": structure(rows),
        "rules": rules(rows),
        "cost": cost(rows),
    }
    return tables, [picture(rows)]


def _modes(number: int) -> str:
    return "full" if number == FULL else str(number)


def _ordered(groups: Iterable[Any]) -> list[tuple[str, int, int]]:
    """Kind, neurons, modes: spiking first, larger first, a full matrix last."""
    return sorted(groups, key=lambda g: (g[0] != "spiking", -g[1], g[2] if g[2] >= 0 else 10**9))


def trained(rows: pd.DataFrame, task: str) -> Table:
    """Table of what networks learned on a task."""
    own = rows[(rows["part"] == "training") & (rows["task"] == task)]
    cells, raw = [], []
    keys = ["kind", "neurons", "modes"]
    for kind, neurons, modes in _ordered(own.groupby(keys).groups):
        part = own[(own[keys] == [kind, neurons, modes]).all(axis=1)]
        line = {"neurons": str(kind), "N": str(neurons), "P": _modes(modes)}
        numbers: dict[str, object] = {"kind": kind, "neurons": neurons, "modes": modes}
        values = {name: one["value"].to_numpy() for name, one in part.groupby("quantity")}
        for name, heading in COLUMNS.items():
            if name in values:
                ends = means.average(values[name], KINDS.get(name, SIGNED))
                line[heading] = notation.number(*ends)
                numbers |= means.columns(name, ends)
        for name, heading in EXACT.items():
            if name not in values:  # all have diverged
                continue
            value = float(values[name].mean())
            numbers[name] = value
            line[heading] = f"{value:.0f}" if name == "parameters" else f"{value / 1000:.0f}"
        outcomes = part.groupby("seed")["outcome"].first()
        told = [
            f"{outcome} ({n})" for outcome, n in outcomes[outcomes != ""].value_counts().items()
        ]
        line["outcome"] = numbers["outcome"] = ", ".join(told) or "–"
        cells.append(line)
        raw.append(numbers)
    note = (
        f"Means over {means.seeds(own)} with 95 % intervals (Student's t); chance is "
        f"{CHANCE[task]:g}. P modes, or a full matrix; rates have fixed scores of 1/N. Recurrence "
        "cut: the same networks without their recurrent weights. Dimension: participation ratio "
        "of filtered spikes. Trace: what one trial leaves for the way back."
    )
    lost = int((own["quantity"] == "diverged").sum())
    if lost:
        note += f" Diverged and left out of the means: {counted(lost, 'network')}."
    if task == "contextual_integration":
        note += (
            " Accuracy is of the sign of the mean output in the last fifth of the response, whole "
            "response of that in all of it, in which synaptic filters help for a while."
        )
    laid = pd.DataFrame(cells, dtype=object).fillna("–")
    return plain(f"{TITLES[task]}: what networks of P modes learn", laid, raw, 3, (note,))


def structure(rows: pd.DataFrame) -> Table:
    """Table of overlaps of modes, and of slopes of their importances."""
    own = rows[rows["part"] == "structure"]
    cells, raw = [], []
    for (task, neurons, modes), part in own.groupby(["task", "neurons", "modes"]):
        found = {}
        for name in ("input and output modes", "input modes", "output modes"):
            for when in ("before", "after"):
                which = (part["quantity"] == f"overlap of {name}") & (part["series"] == when)
                ends = means.average(part.loc[which, "value"])
                found[f"overlap of {name}", when] = ends, 1.0
        if modes == IMPORTANT:
            for between in RANGES:
                name = f"slope of importance, ranks {between[0]} to {between[1]}"
                for when in ("before", "after"):
                    found[name, when] = _slope(part, when, between), PUBLISHED[between]
        for (name, when), (ends, beside) in found.items():
            if np.isfinite(ends[0]):
                about = {"task": TITLES[str(task)], "N": str(neurons), "P": str(modes)}
                text = {"quantity": name, "training": when, "value": notation.number(*ends)}
                cells.append({**about, **text, "null or published": f"{beside:g}"})
                raw.append(
                    {
                        "task": task,
                        "neurons": neurons,
                        "modes": modes,
                        "quantity": name,
                        "training": when,
                        **means.columns("value", ends),
                        "beside": beside,
                    }
                )
    note = (
        "Overlap: root mean square of cosines between modes, times the root of N, which is 1 for "
        "random vectors. Slopes: of the logarithm of importance against that of the rank, beside "
        "those of the networks that Lin & Huang published, on MNIST."
    )
    return plain("Structure of the modes", cells, raw, 4, (note,))


def _slope(part: pd.DataFrame, when: str, between: tuple[int, int]) -> tuple[float, float, float]:
    own = part[(part["quantity"] == "importance") & (part["series"] == when)]
    wide = own[own["x"].between(*between)].pivot_table(index="seed", columns="x", values="value")
    found = exponent(np.array(wide.columns, dtype=float), wide.to_numpy())
    return found.value, found.low, found.high


def _ratios(rows: pd.DataFrame, rule: str, modes: int) -> dict[str, Iterable[float]]:
    own = rows[(rows["part"] == "rules") & (rows["rule"] == rule) & (rows["modes"] == modes)]
    wide = own.pivot_table(index="seed", columns="series", values="value")
    return {
        **{name: wide[name] for name in ("modes", "weights")},
        "ratio": wide["modes"] / wide["weights"],
    }


def rules(rows: pd.DataFrame) -> Table:
    """Table of bias and variance of rules by modes and by weights."""
    own = rows[(rows["part"] == "rules") & (rows["rule"] != "")]
    cells, raw = [], []
    for rule in dict.fromkeys(own["rule"]):
        for modes in sorted(set(own["modes"])):
            ratios = _ratios(rows, rule, modes)
            found = {name: means.average(values, POSITIVE) for name, values in ratios.items()}
            quantity = own.loc[own["rule"] == rule, "quantity"].iloc[0]
            cells.append(
                {
                    "rule": style.label(rule),
                    "quantity": quantity.replace("_", " "),
                    "P": str(modes),
                    "by modes": notation.number(*found["modes"]),
                    "by weights": notation.number(*found["weights"]),
                    "modes / weights": notation.number(*found["ratio"]),
                }
            )
            raw.append(
                {
                    "rule": rule,
                    "quantity": quantity,
                    "modes": modes,
                    **means.columns("by_modes", found["modes"]),
                    **means.columns("by_weights", found["weights"]),
                    **means.columns("ratio", found["ratio"]),
                }
            )
    size, seeds = own["neurons"].iloc[0], means.seeds(own)
    note = (
        f"Networks of {size} leaky rates at initialisation and the same networks with their matrix "
        f"formed, relative to |g|² in the same parameters; means over {seeds} with 95 % "
        "intervals (Student's t). Bias is of rules without noise."
    )
    return plain("Rules by modes and by weights", cells, raw, 3, (note,))


def cost(rows: pd.DataFrame) -> Table:
    """Table of times of the recurrent product and of an update."""
    own = rows[rows["part"] == "cost"]
    cells, raw = [], []
    for neurons, part in own.groupby("neurons"):
        wide = part.pivot_table(index="modes", columns="quantity", values="value")
        for modes in [*(n for n in wide.index if n >= 0), FULL]:
            product, update = (wide.loc[modes, f"seconds of a {w}"] for w in ("product", "update"))
            ratios = [
                wide.loc[FULL, f"seconds of a {w}"] / wide.loc[modes, f"seconds of a {w}"]
                for w in ("product", "update")
            ]
            cells.append(
                {
                    "N": str(neurons),
                    "P": _modes(modes),
                    "parameters": f"{wide.loc[modes, 'parameters']:.0f}",
                    "product (µs)": "–" if modes == 0 else f"{1e6 * product:.3g}",
                    "full / modes": "–" if modes == 0 else f"{ratios[0]:.2g}",
                    "update (ms)": f"{1e3 * update:.3g}",
                    "full / modes, update": f"{ratios[1]:.2g}",
                }
            )
            raw.append(
                {
                    "neurons": neurons,
                    "modes": modes,
                    "product_seconds": product,
                    "update_seconds": update,
                    "parameters": wide.loc[modes, "parameters"],
                }
            )
    note = (
        "Recurrent product and update (activity and gradient, 20 steps) of spiking networks, 32 "
        f"examples, float64, one thread, the shortest of {ROUNDS} in turns. P = 0 is the time that "
        "neurons take without recurrence. Times are of the machine at that moment, beside what "
        "else it did."
    )
    return plain("Time with P modes and with a full matrix", cells, raw, 2, (note,))


def picture(rows: pd.DataFrame) -> Picture:
    """Draw accuracy against P, structure, choices, what modes see, and variance of rules."""
    palette = sns.color_palette("colorblind").as_hex()
    with style.theme():
        entries = [
            Line2D([], [], color=palette[0], marker="o", markersize=4, label="N = 100"),
            Line2D([], [], color=palette[1], marker="s", markersize=4, label="N = 30"),
            Line2D([], [], color=palette[2], marker="D", markersize=4, label="rates, N = 100"),
            Line2D(
                [],
                [],
                color="0.35",
                marker="o",
                markersize=4,
                markerfacecolor="none",
                linestyle=style.DASHED,
                label="recurrence cut after training",
            ),
            Line2D([], [], color="0.35", linestyle=style.DOTTED, label="chance, or no change"),
        ]
        figure, part = style.canvas(style.PAGE, 4.6, entries, [])
        axes = part.subplots(2, 3).flat
        _accuracies(axes[0], rows, "contextual_integration", palette)
        _accuracies(axes[1], rows, "digits", palette)
        _importances(axes[2], rows, palette)
        _choices(axes[3], rows, palette)
        _seen(axes[4], rows, palette)
        _variances(axes[5], rows)
    caption = (
        f"Networks of P modes, means over {means.seeds(rows)} with 95 % intervals "
        "(Student's t). Accuracy with recurrence and, open, with it cut after training; "
        f"importance of {IMPORTANT} modes by rank; choices of networks of {PSYCHOMETRIC} modes by "
        "the offset of the stream that the context names and of the other; mean activity as the "
        "two modes with the largest scores see it, one network, from the cross to the dot; "
        "variance and squared bias of rules by modes relative to those by weights."
    )
    return style.finished("modes", figure, caption)


def _accuracies(axes: Axes, rows: pd.DataFrame, task: str, palette: list[str]) -> None:
    own = rows[(rows["part"] == "training") & (rows["task"] == task)]
    numbers = sorted(n for n in set(own["modes"]) if n >= 0)
    places = {n: place for place, n in enumerate([*numbers, FULL])}
    looks = (
        ("spiking", 100, palette[0], "o"),
        ("spiking", 30, palette[1], "s"),
        ("rate", 100, palette[2], "D"),
    )
    for shift, (kind, neurons, colour, marker) in enumerate(looks):
        arm = own[(own["kind"] == kind) & (own["neurons"] == neurons)]
        for quantity, filled in (("accuracy", True), ("accuracy, cut", False)):
            parts = arm[arm["quantity"] == quantity].groupby("modes", sort=False, dropna=False)
            shares = [(modes, *means.share(part["value"])) for modes, part in parts]
            found = pd.DataFrame(shares, columns=["modes", *means.ENDS])
            found = found.assign(place=found["modes"].map(places)).sort_values("place")
            means.bars(
                axes,
                found["place"] + 0.12 * (shift - 1),
                found[means.ENDS],
                color=colour,
                marker=marker,
                markersize=4,
                markerfacecolor=colour if filled else "none",
                linestyle=style.SOLID if filled else style.DASHED,
                linewidth=0.8,
            )
    axes.axhline(CHANCE[task], color="0.35", linewidth=0.8, linestyle=style.DOTTED)
    axes.set_xticks(list(places.values()), [_modes(n) for n in places])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("number of modes P")
    axes.set_ylabel("accuracy")
    panels.title(axes, TITLES[task])


def _importances(axes: Axes, rows: pd.DataFrame, palette: list[str]) -> None:
    own = rows[(rows["quantity"] == "importance") & (rows["modes"] == IMPORTANT)]
    first = own[(own["task"] == "digits") & (own["series"] == "before")]
    after = own[own["series"] == "after"]
    for part, colour, dashes, label in (
        (first, "0.35", style.DASHED, "before training"),
        (after[after["task"] == "contextual_integration"], palette[3], style.SOLID, "integration"),
        (after[after["task"] == "digits"], palette[4], style.SOLID, "digits"),
    ):
        found = means.over_seeds(part, ["x"]).sort_values("x")
        look = {"color": colour, "linestyle": dashes, "linewidth": 1.0, "label": label}
        means.band(axes, found["x"], found[means.ENDS], **look)
    if not own.empty:
        axes.legend(loc="lower left", handlelength=1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, ticks in ((axes.xaxis, (1, 2, 5, 10, 20)), (axes.yaxis, (0.5, 1, 2))):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("rank of the mode")
    axes.set_ylabel("importance")
    panels.title(axes, f"importance of {IMPORTANT} modes")


def _choices(axes: Axes, rows: pd.DataFrame, palette: list[str]) -> None:
    own = rows[rows["quantity"] == "positive answers"]
    for series, colour, marker, away in (
        ("relevant", palette[3], "o", 6),
        ("irrelevant", palette[7], "s", -22),
    ):
        found = means.over_seeds(own[own["series"] == series], ["x"]).sort_values("x")
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        means.bars(axes, found["x"], found[means.ENDS], linewidth=0.8, **look)
        if len(found):
            axes.annotate(
                f"{series} stream",
                tuple(found[["x", "value"]].iloc[-1]),
                (0, away),
                ha="right",
                textcoords="offset points",
                color=colour,
                fontsize=style.SMALL,
            )
    axes.set_ylim(-0.05, 1.15)
    axes.set_xlabel("offset of the stream")
    axes.set_ylabel("share of positive answers")
    panels.title(axes, "choices")


def _seen(axes: Axes, rows: pd.DataFrame, palette: list[str]) -> None:
    own = rows[rows["quantity"].str.startswith("seen by mode")]
    own = own[own["seed"] == own["seed"].min()]
    for number, part in own.groupby("series"):
        wide = part.pivot_table(index="x", columns="quantity", values="value").to_numpy()
        context, choice = int(number) % 2, int(number) // 2
        axes.plot(
            *wide.T,
            color=palette[context],
            linewidth=1.0,
            linestyle=style.SOLID if choice else style.DASHED,
        )
        axes.plot(*wide[0], marker="x", color="0.35", markersize=4)
        axes.plot(
            *wide[-1],
            marker="o",
            color=palette[context],
            markersize=4,
            markerfacecolor=palette[context] if choice else "none",
        )
    axes.set_xlabel("seen by the first mode")
    axes.set_ylabel("seen by the second mode")
    panels.title(axes, "contexts (colours), choices (filled)")


def _variances(axes: Axes, rows: pd.DataFrame) -> None:
    own = rows[(rows["part"] == "rules") & (rows["rule"] != "")]
    looks = style.styles(own["rule"])
    numbers = sorted(set(own["modes"]))
    for place, rule in enumerate(style.ordered(set(own["rule"]), looks)):
        look = looks[rule]
        means.bars(
            axes,
            np.array(numbers) * (1.0 + 0.03 * (place - 3)),
            [means.average(_ratios(rows, rule, modes)["ratio"], POSITIVE) for modes in numbers],
            logarithmic=True,
            color=look.colour,
            marker=look.marker,
            markersize=4,
            linestyle=look.dashes,
            linewidth=0.8,
            label=look.label,
        )
    axes.axhline(1, color="0.35", linewidth=0.8, linestyle=style.DOTTED)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.set_ylim(0.04, 6)
    axes.set_yticks((0.2, 0.5, 1, 2, 5), ("0.2", "0.5", "1", "2", "5"))
    axes.minorticks_off()
    axes.legend(
        fontsize=5,
        handlelength=1.2,
        labelspacing=0.2,
        columnspacing=0.6,
        borderaxespad=0.1,
        ncols=2,
        loc="lower left",
    )
    axes.set_xlabel("number of modes P")
    axes.set_ylabel("by modes / by weights")
    panels.title(axes, "variance or bias² of rules")

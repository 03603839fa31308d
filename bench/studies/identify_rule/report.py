"""The study of identification: which observables tell rules apart, and which rules are confused."""

import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns

from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.identify_rule.study import (
    GROUPS,
    PERFORMANCE,
    RATES,
    accuracies,
    by_kind,
    wide,
)

TABLES = ("observables", "confusion")
"""Names of the tables of the report."""

NULLS = 20
"""Deals of the names of rules."""
TREES = 100
"""Trees of a forest."""
FEW = 25
"""Trees of a forest that sees a single observable, or dealt names."""
ALIKE = "all, rules of one range of rates"
"""Rules that all draw their learning rates from one range, named among themselves."""
BEST = 8
"""Single observables that the picture shows."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    found = identify(rows)
    return found.tables, [identify_rule(found)]


@dataclass(frozen=True)
class Identified:
    """What was found.

    Attributes
    ----------
    tables
        By name.
    groups
        Accuracy by what the classifier saw.
    single
        The same for every observable alone, best first.
    confusion
        Share of the networks of each rule (rows) that were named each rule (columns).
    null
        Accuracy with dealt names: mean, and the 2.5 and 97.5 % quantiles over deals.
    networks
        How many there were.
    """

    tables: dict[str, Table]
    groups: dict[str, Ends]
    single: dict[str, Ends]
    confusion: pd.DataFrame
    null: Ends
    networks: int


def _accuracy(data: pd.DataFrame, held: str = "kind", trees: int = 0) -> Ends:
    return means.share(by_kind(accuracies(data, held, trees or TREES)).values())


def identify(rows: pd.DataFrame) -> Identified:
    """Train the classifiers and make the tables."""
    data = wide(rows)
    seen = data[list(GROUPS)]
    whole = accuracies(seen, "kind", TREES)
    groups = {"all observables": means.share(by_kind(whole).values())}
    groups |= {f"{group} alone": _accuracy(data[[group]]) for group in GROUPS}
    groups |= {
        f"all but {group}": _accuracy(data[[other for other in GROUPS if other != group]])
        for group in GROUPS
    }
    groups[f"{PERFORMANCE} (control)"] = _accuracy(data[[PERFORMANCE]])
    trained = seen.index.to_frame()["rule"]
    alike = (~trained.str.partition("[")[0].isin(RATES)).to_numpy()
    if not alike.all() and trained[alike].nunique() > 1:
        groups[ALIKE] = _accuracy(seen[alike])
    for held in ("objective", "seed"):
        if data.index.get_level_values(held).nunique() > 1:
            groups[f"all, {held} held out"] = _accuracy(seen, held)
    single = {
        ": ".join(column): _accuracy(seen[[column]], trees=FEW) for column in seen.columns.to_list()
    }
    single = dict(sorted(single.items(), key=lambda item: -item[1][0]))
    dealt = [
        np.mean(list(by_kind(accuracies(seen, "kind", FEW, number, deal=True)).values()))
        for number in range(NULLS)
    ]
    low, high = np.quantile(dealt, [0.025, 0.975])
    null = (float(np.mean(dealt)), float(low), float(high))
    rules = list(dict.fromkeys(rows["rule"]))
    confusion = pd.crosstab(whole["rule"], whole["named"], normalize="index")
    confusion = confusion.reindex(index=rules, columns=rules, fill_value=0.0)
    tables = {
        "observables": _observables(groups, single, null, len(rules), len(data)),
        "confusion": _confusion(confusion),
    }
    return Identified(tables, groups, single, confusion, null, len(data))


def _observables(
    groups: dict[str, Ends], single: dict[str, Ends], null: Ends, rules: int, networks: int
) -> Table:
    cells, raw = [], []
    for kind, listed in (("group", groups), ("single", single)):
        for name, ends in listed.items():
            cells.append({"seen": kind, "observables": name, "accuracy": notation.number(*ends)})
            raw.append({"seen": kind, "observables": name, **means.columns("accuracy", ends)})
    cells.append(
        {"seen": "dealt names", "observables": "all (null)", "accuracy": notation.number(*null)}
    )
    raw.append(
        {"seen": "dealt names", "observables": "all (null)", **means.columns("accuracy", null)}
    )
    notes = (
        (
            f"Share of {networks} networks whose rule is named, by a random forest that has not "
            "seen their kind of architecture (or what else is held out): mean over kinds of "
            f"architecture [95 % interval, Student's t]. Chance: {1 / rules:.3f} ({rules} rules)."
        ),
        (
            f"Null: names of rules dealt anew; mean and 95 % range of {NULLS} deals. Forests of "
            f"{TREES} trees; of {FEW} for dealt names and single observables."
        ),
        (
            "Node and weight perturbation learn at lower rates than the others, so that sizes of "
            f"changes carry this hyper-parameter for these two; {ALIKE}: without them. An mlp is "
            "of one kind, whatever its activation function."
        ),
    )
    return plain("What tells which rule it was", cells, raw, 2, notes)


def _confusion(found: pd.DataFrame) -> Table:
    cells = [
        {
            "rule": style.label(str(rule)),
            **{style.label(str(n)): f"{v:.2f}" for n, v in row.items()},
        }
        for rule, row in found.iterrows()
    ]
    raw = [{"rule": rule, **{str(n): v for n, v in row.items()}} for rule, row in found.iterrows()]
    notes = ("Rows: the rule that trained; columns: the rule that was named, share of networks.",)
    return plain("Which rules are confused", cells, raw, 1, notes)


def identify_rule(found: Identified) -> Picture:
    """Draw accuracy by what was observed, and the confusion between rules."""
    names = [*found.groups, *list(found.single)[:BEST]]
    ends = [*found.groups.values(), *list(found.single.values())[:BEST]]
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.0, [], [])
        left, right = part.subplots(1, 2, width_ratios=[1.0, 1.0])
        places = np.arange(len(names))
        split = len(found.groups)
        for chosen, colour, marker in (
            (slice(None, split), "#1a1a1a", "o"),
            (slice(split, None), sns.color_palette("colorblind").as_hex()[0], "D"),
        ):
            means.bars(
                left,
                places[chosen],
                ends[chosen],
                across=True,
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=4,
            )
        left.axvspan(*found.null[1:], color="0.85", linewidth=0)
        chance = 1 / len(found.confusion)
        left.axvline(chance, color="0.5", linewidth=0.8, linestyle=style.DASHED)
        left.axhline(split - 0.5, color="0.8", linewidth=0.7)
        left.set_yticks(places, names)
        left.set_ylim(len(names) - 0.5, -0.5)
        left.set_xlim(0, 1)
        left.set_xlabel("share named rightly")
        panels.title(left, "by what is seen")
        numbers = [str(number) for number in range(1, len(found.confusion) + 1)]
        labels = [
            f"{textwrap.fill(style.label(str(name)), 18)} {number}"
            for name, number in zip(found.confusion, numbers, strict=True)
        ]
        percent = (100 * found.confusion).round().astype(int)
        sns.heatmap(
            percent.set_axis(labels).set_axis(numbers, axis=1),
            ax=right,
            vmin=0,
            vmax=100,
            cmap="viridis",
            annot=percent.astype(str).mask(percent == 0, "").to_numpy(),
            fmt="",
            annot_kws={"size": style.SMALL},
            cbar=False,
        )
        right.tick_params(length=0)
        right.tick_params(axis="x", rotation=0)
        right.set_xlabel("rule that was named (%)")
        right.set_ylabel("")
        panels.title(right, "rule that trained")
    caption = (
        f"Rules named from observables of {found.networks} networks, by a classifier that has not "
        "seen their kind of architecture: mean over kinds of architecture with 95 % intervals "
        "(Student's t); grey: 95 % of "
        f"{NULLS} smaller classifiers with dealt names, dashed: chance; blue: the best single "
        "observables. Right: with all observables."
    )
    return style.finished("identify_rule", figure, caption)

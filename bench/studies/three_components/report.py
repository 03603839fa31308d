"""The study of three components: shares of variance, and every combination's score."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns

from plausibench.bench.measuring.statistics import interval
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.three_components.study import TERMS, decompose, grid

TABLES = ("components", "without", "cells")
"""Names of the tables of the report."""

Array = np.ndarray

SAID = {
    "O": "objective",
    "A": "architecture",
    "R": "rule",
    "OA": "objective × architecture",
    "OR": "objective × rule",
    "AR": "architecture × rule",
    "OAR": "all three",
}
INTERACTIONS = ("OA", "OR", "AR", "OAR")
NOTES = (
    (
        "Variance of mean accuracy over combinations in squared percentage points, with the noise "
        "of seeds taken off: a term without effect is zero on average and may come out negative. "
        "95 % intervals by the delete-one-seed jackknife."
    ),
    (
        "share: of the sum of all terms, of these levels; one level left out: its smallest and "
        "largest value when a single objective, architecture or rule is left out. Null: labels "
        "dealt anew, where no component has an effect."
    ),
    (
        "Learning rates were chosen on one seed, and are common to all: a choice that is bad by "
        "chance counts as interaction. A network that diverged is scored as guessing."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    tables = {"components": components(rows), "without": without(rows), "cells": cells(rows)}
    return tables, [three_components(rows)]


def terms(rows: pd.DataFrame, labels: str) -> dict[str, Ends]:
    """Variance of each term, in squared percentage points, with its jackknife interval.

    ``interactions`` is the sum of all interactions; ``share X`` is relative to the total.
    """
    scores, _ = grid(rows, labels)
    seeds = scores.shape[3]
    left = [np.delete(scores, one, axis=3) for one in range(seeds)]
    each = [decompose(100 * part) for part in (scores, *left)]
    for found in each:
        found["interactions"] = sum(found[term] for term in INTERACTIONS)
        for term in (*TERMS, "interactions"):
            found[f"share {term}"] = found[term] / found["total"] if found["total"] else np.nan
    return {name: interval(np.array([found[name] for found in each])) for name in each[0]}


def levels_left_out(rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, Ends]]:
    """As :func:`terms`, true labels, without each level of each component that has three or more.

    Keys are the component and the level that is left out.
    """
    return {
        (component, level): terms(rows[rows[component] != level], "true")
        for component in ("objective", "architecture", "rule")
        if rows[component].nunique() > 2
        for level in rows[component].unique()
    }


def without(rows: pd.DataFrame) -> Table:
    """Table of shares with every single objective, architecture or rule left out."""
    shown = {"O": "objective", "A": "architecture", "R": "rule", "interactions": "interactions"}
    found = {("", "nothing"): terms(rows, "true"), **levels_left_out(rows)}
    cells, raw = [], []
    for (component, level), each in found.items():
        line = {
            "left out": component or "–",
            "level": style.label(level) if component else level,
            "total": notation.number(*each["total"]),
        }
        numbers: dict[str, object] = {"left_out": component, "level": level}
        numbers |= means.columns("total", each["total"])
        for term, said in shown.items():
            line[said] = notation.number(*each[f"share {term}"])
            numbers |= means.columns(f"share_{said}", each[f"share {term}"])
        cells.append(line)
        raw.append(numbers)
    notes = (
        (
            "Total variance of mean accuracy in squared percentage points, and the shares of it; "
            "95 % intervals by the delete-one-seed jackknife. A share that moves with one level "
            "is of that level, not of its component."
        ),
    )
    return plain(f"Shares with one level left out; {means.seeds(rows)}", cells, raw, 2, notes)


def _range(left: dict[tuple[str, str], dict[str, Ends]], term: str) -> tuple[str, dict[str, Any]]:
    """Smallest and largest share of a term with a level left out: as text, and as raw values."""
    shares = sorted(
        (each[f"share {term}"][0], level)
        for (_, level), each in left.items()
        if f"share {term}" in each and np.isfinite(each[f"share {term}"][0])
    )
    if not shares:
        return "–", {}
    text = " to ".join(
        f"{round(value, 2) + 0.0:.2f} (no {style.label(level)})"
        for value, level in (shares[0], shares[-1])
    )
    (least, without_least), (most, without_most) = shares[0], shares[-1]
    return text, {
        "share_least": least,
        "least_without": without_least,
        "share_most": most,
        "most_without": without_most,
    }


def components(rows: pd.DataFrame) -> Table:
    """Table of the variance that each component and interaction explains."""
    true, null = terms(rows, "true"), terms(rows, "shuffled")
    left = levels_left_out(rows)
    names = {**SAID, "interactions": "all interactions", "total": "total", "noise": "seeds"}
    cells, raw = [], []
    for term, said in names.items():
        share = true.get(f"share {term}", (float("nan"),) * 3)
        span, ends = _range(left, term)
        cells.append(
            {
                "component": said,
                "variance": notation.number(*true[term]),
                "share": notation.number(*share),
                "one level left out": span,
                "null: variance": notation.number(*null[term]),
            }
        )
        raw.append(
            {
                "component": said,
                **means.columns("variance", true[term]),
                **means.columns("share", share),
                **ends,
                **means.columns("null_variance", null[term]),
            }
        )
    seeds = means.seeds(rows)
    notes = (*NOTES, f"{_diverged(rows)}.")
    return plain(f"What performance is due to; {seeds}", cells, raw, 1, notes)


def _diverged(rows: pd.DataFrame) -> str:
    """How many networks are scored as guessing."""
    lost = rows["diverged"].astype(bool)
    true = rows["labels"] == "true"
    return (
        f"{(lost & true).sum()} of {true.sum()} networks diverged, and {(lost & ~true).sum()} of "
        f"{(~true).sum()} with shuffled labels"
    )


def cells(rows: pd.DataFrame) -> Table:
    """Table of the accuracy of every combination."""
    found, raw = [], []
    keys = ["objective", "architecture", "rule"]
    for names, part in rows.groupby(keys, sort=False):
        line = dict(zip(keys, map(str, names), strict=True))
        numbers: dict[str, object] = dict(line)
        line["parameters"] = str(part["parameters"].iloc[0])
        line["learning rate"] = f"{part['rate'].iloc[0]:g}"
        for labels, name in (("true", "accuracy"), ("shuffled", "null: accuracy")):
            ends = means.share(part.loc[part["labels"] == labels, "accuracy"])
            line[name] = notation.number(*ends)
            numbers |= means.columns(f"accuracy_{labels}", ends)
        found.append(line)
        raw.append(numbers)
    notes = (
        (
            "Accuracy on the test set, mean over seeds [95 % interval, Student's t], which share "
            f"the digits. {_diverged(rows)}; they count as guessing."
        ),
    )
    return plain(f"Accuracy of every combination; {means.seeds(rows)}", found, raw, 3, notes)


def three_components(rows: pd.DataFrame) -> Picture:
    """Draw accuracies as a grid for each objective, and the variance by component."""
    scores, names = grid(rows, "true")
    count = len(names["objective"])
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.1, [], [])
        halves = part.subfigures(2, 1, squeeze=False, height_ratios=[2.0, 2.1])
        upper, lower = np.asarray(halves).flat
        boxes = upper.subplots(1, count, squeeze=False)[0]
        for number, axes in enumerate(boxes):
            laid = pd.DataFrame(
                100 * scores[number].mean(axis=2).T,
                index=[style.label(one) for one in names["rule"]],
                columns=[textwrap.fill(style.label(one), 13) for one in names["architecture"]],
            )
            sns.heatmap(
                laid,
                ax=axes,
                vmin=0,
                vmax=100,
                cmap="viridis",
                annot=True,
                fmt=".0f",
                annot_kws={"size": style.SMALL},
                cbar=False,
                yticklabels=number == 0,
            )
            axes.tick_params(length=0)
            axes.tick_params(axis="x", rotation=90)
            panels.title(axes, names["objective"][number].replace("_", " "))
        axes = lower.subplots()
        shown = (*TERMS, "interactions")
        for labels, label, shift, marker, colour, face in (
            ("true", "true labels", -0.1, "o", "#1a1a1a", "#1a1a1a"),
            ("shuffled", "shuffled labels (null)", 0.1, "s", "0.6", "none"),
        ):
            found = terms(rows, labels)
            means.bars(
                axes,
                np.arange(len(shown)) + shift,
                [found[term] for term in shown],
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=4,
                markerfacecolor=face,
                label=label,
            )
        left = levels_left_out(rows).values()
        for place, term in enumerate(shown):
            axes.plot(
                np.full(len(left), place + 0.25),
                [each[term][0] for each in left],
                linestyle="none",
                color=sns.color_palette("colorblind").as_hex()[0],
                marker="_",
                label="one level left out" if place == 0 and left else None,
            )
        axes.axhline(0, color="0.7", linewidth=0.7, zorder=1)
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(top=30 * axes.get_ylim()[1])  # room for the legend
        said = [{**SAID, "interactions": "all interactions"}[term] for term in shown]
        axes.set_xticks(range(len(shown)), [text.replace(" × ", "\n× ") for text in said])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("variance of accuracy\n(percentage points²)")
        axes.legend(loc="upper center", ncols=3)
    seeds = means.seeds(rows)
    caption = (
        "Accuracy in % of every combination of objective, architecture and rule on digits (mean "
        f"over {seeds}), and the variance between combinations by component, with the noise "
        "of seeds taken off and 95 % jackknife intervals over seeds; logarithmic above 1. Dashes: "
        "with a single objective, architecture or rule left out."
    )
    return style.finished("three_components", figure, caption)

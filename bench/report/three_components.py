"""The study of three components: shares of variance, and every combination's score."""

import textwrap

import numpy as np
import pandas as pd
import seaborn as sns

from plausibench.bench.experiments.three_components import TERMS, decompose, grid
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.means import Ends
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.statistics import interval

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
    "share: of the sum of all terms. Null: labels dealt anew, where no component has an effect.",
    (
        "Learning rates were chosen on one seed, and are common to all: a choice that is bad by "
        "chance counts as interaction. A network that diverged is scored as guessing."
    ),
)


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


def components(rows: pd.DataFrame) -> Table:
    """Table of the variance that each component and interaction explains."""
    true, null = terms(rows, "true"), terms(rows, "shuffled")
    names = {**SAID, "interactions": "all interactions", "total": "total", "noise": "seeds"}
    cells, raw = [], []
    for term, said in names.items():
        share = true.get(f"share {term}", (float("nan"),) * 3)
        cells.append(
            {
                "component": said,
                "variance": notation.number(*true[term]),
                "share": notation.number(*share),
                "null: variance": notation.number(*null[term]),
            }
        )
        raw.append(
            {
                "component": said,
                **means.columns("variance", true[term]),
                **means.columns("share", share),
                **means.columns("null_variance", null[term]),
            }
        )
    seeds = rows["seed"].nunique()
    notes = (*NOTES, f"{_diverged(rows)}.")
    return plain(f"What performance is due to; {seeds} seeds", cells, raw, 1, notes)


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
    seeds = rows["seed"].nunique()
    notes = (
        (
            "Accuracy on the test set, mean over seeds [95 % interval, Student's t], which share "
            f"the digits. {_diverged(rows)}; they count as guessing."
        ),
    )
    return plain(f"Accuracy of every combination; {seeds} seeds", found, raw, 3, notes)


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
        axes.axhline(0, color="0.7", linewidth=0.7, zorder=1)
        axes.set_yscale("symlog", linthresh=1.0)
        said = [{**SAID, "interactions": "all interactions"}[term] for term in shown]
        axes.set_xticks(range(len(shown)), [text.replace(" × ", "\n× ") for text in said])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("variance of accuracy\n(percentage points²)")
        axes.legend(loc="upper center")
    seeds = rows["seed"].nunique()
    caption = (
        "Accuracy in % of every combination of objective, architecture and rule on digits (mean "
        f"over {seeds} seeds), and the variance between combinations by component, with the noise "
        "of seeds taken off and 95 % jackknife intervals over seeds; logarithmic above 1."
    )
    return style.finished("three_components", figure, caption)

"""How much a rule's training depends on what was searched."""

import pandas as pd
import seaborn as sns

from plausibench.bench.report import style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.tuning.search import SEEDS, edge, mean, scores_of
from plausibench.bench.studies.tuning.study import best

TABLES = ("tuning",)
"""Names of the tables of the report."""
LOWEST = 1.6
"""Height in inches that the label of the colours takes."""
NEAR = 0.05
"""Accuracy that a trial may be below the best one and still count as good."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """Tables by name, and pictures."""
    pictures = () if rows.empty else (sensitivity_picture(rows),)
    return {"tuning": sensitivity(rows)}, pictures


def sensitivity(rows: pd.DataFrame) -> Table:
    """Best trial of each rule, how many others come near it, and whether its range was left.

    Parameters
    ----------
    rows
        Of the study tuning, in classification.
    """
    lines = []
    for rule, group in rows.groupby("rule", sort=False):
        scores = scores_of(group.to_dict("records"))
        accuracy = pd.Series([max(mean(values), 0.0) for values in scores.values()])
        found = best(group)
        near = accuracy >= accuracy.max() - NEAR
        lost = group.loc[group["diverged"] != "", ["tried", "learning_rate"]].drop_duplicates()
        lines.append(
            {
                "rule": str(rule),
                "best trial": found["tried"],
                "learning rate": f"{found['learning_rate']:.2g}",
                "best of its range": edge(scores) or "inside",
                "loss": f"{found['loss']:.3g}" if pd.notna(found["loss"]) else "-",
                "accuracy": f"{found['accuracy']:.3f}" if pd.notna(found["accuracy"]) else "-",
                "median accuracy": f"{accuracy.median():.3f}",
                "trials near the best": f"{near.sum()} of {len(scores)}",
                "trainings": str(len(group)),
                "diverged": str(len(lost)),
            }
        )
    notes = (
        f"Means over {len(SEEDS)} seeds; trials that were left behind have fewer.",
        f"Near the best: accuracy at most {NEAR:g} below that of the best trial.",
        "Best of its range: lowest or highest where the search would have gone on beyond.",
        "Learning rate: the lowest whose mean is at most 0.01 below the best (of losses, 1 %).",
    )
    title = "Search on a quarter of the training set that was held out"
    return plain(title, lines, rows, 1, notes)


def sensitivity_picture(rows: pd.DataFrame) -> Picture:
    """Accuracy of every rule against its learning rate, best option of its own at each."""
    trials = rows.groupby(["rule", "tried", "learning_rate"])["accuracy"].mean()
    grid = trials.groupby(["rule", "learning_rate"]).max().unstack()
    grid = grid.loc[list(dict.fromkeys(rows["rule"]))]
    grid.index = [style.label(str(rule)) for rule in grid.index]
    grid.columns = [f"{rate:.2g}" for rate in grid.columns]
    with style.theme():
        figure, part = style.canvas(style.PAGE, max(LOWEST, 0.7 + 0.145 * len(grid)), [], [])
        axes = part.subplots()
        sns.heatmap(
            grid,
            ax=axes,
            vmin=0,
            vmax=1,
            cmap="viridis",
            linewidths=0.3,
            cbar_kws={"label": "held-out accuracy", "shrink": 0.8},
        )
        axes.set_xlabel("learning rate (blank: not tried, or diverged)")
        axes.set_ylabel("")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)
    return style.finished(
        "sensitivity",
        figure,
        "Accuracy on held-out training examples after the search's training, by learning rate.",
    )

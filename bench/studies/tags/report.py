"""The study of tags: what changes, by tag and by reward-prediction error."""

import numpy as np
import pandas as pd

from plausibench.bench.report import means, panels, style
from plausibench.bench.report.render import Table
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.tags.study import CELLS

TABLES = ("tags",)
"""Names of the tables of the report."""

QUANTITIES = {
    **{cell: cell for cell in CELLS.values()},
    "sign": "sign as predicted",
    "factor": "factor of error × tag",
    "correlation": "correlation with it",
    "without error": "without error",
    "expected": "expected update off by",
}
LABELS = {
    ("tagged", "positive"): "tag\nerror +",
    ("tagged", "negative"): "tag\nerror −",
    ("untagged", "positive"): "no tag\nerror +",
    ("untagged", "negative"): "no tag\nerror −",
}
"""What a bar shows."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"tags": predictions(rows)}, [tags(rows)]


def predictions(rows: pd.DataFrame) -> Table:
    """Table of all predictions by rule."""
    found = means.over_seeds(rows, ["rule", "quantity"])
    found["rule"] = [style.label(rule) for rule in found["rule"]]
    note = (
        "Changes of synapses onto hidden units in single trials, along the weight to the action "
        "that the unit feeds: mean over seeds [95 % interval by Student's t]. Sign, factor and "
        "correlation: of the changes of tagged synapses against error × tag. Without error: "
        "largest change, relative to the mean one. Expected update off by: largest relative "
        "distance between the mean over actions and the descent of the rule's reference."
    )
    return means.table(
        f"Tags and reward-prediction errors; {means.seeds(rows)}",
        found,
        {"rule": "rule"},
        QUANTITIES,
        (note,),
    )


def tags(rows: pd.DataFrame) -> Picture:
    """Draw the change of tagged and untagged synapses after positive and negative errors.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    looks = style.styles(rows["rule"])
    names = list(dict.fromkeys(rows["rule"]))
    with style.theme():
        figure, part = style.canvas(style.PAGE, 2.1, [], [])
        grid = part.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(grid, names, strict=True):
            own = rows[(rows["rule"] == name) & rows["quantity"].isin(CELLS.values())]
            found = means.over_seeds(own, ["quantity"]).set_index("quantity")
            found = found.reindex(list(CELLS.values())).reset_index()
            value, low, high = (found[end].to_numpy() for end in means.ENDS)
            filled = [tag == "tagged" for tag, _ in CELLS]
            axes.bar(
                np.arange(len(CELLS)),
                value,
                yerr=[value - low, high - value],
                width=0.62,
                color=[looks[name].colour if full else "white" for full in filled],
                edgecolor=looks[name].colour,
                error_kw={"elinewidth": 1.0, "ecolor": "0.1"},
            )
            axes.axhline(0, color="0.35", linewidth=0.8)
            axes.set_xticks(np.arange(len(CELLS)), [LABELS[cell] for cell in CELLS])
            panels.title(axes, looks[name].label)
        grid[0].set_ylabel("change per synapse and trial")
    seeds = means.seeds(rows)
    caption = (
        "Change of synapses onto hidden units whose target is the chosen action (tagged) or the "
        "other one (untagged), after positive (+) and negative (−) reward-prediction errors, along "
        f"the weight to that action: means over {seeds} with 95 % intervals (Student's t). "
        "REINFORCE, which has no gate, is the null."
    )
    return style.finished("tags", figure, caption)

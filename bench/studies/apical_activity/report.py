"""The study of apical activity: how it changes by tuning, condition and model."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from plausibench.bench.report import means, panels, style
from plausibench.bench.report.render import Table
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.apical_activity.study import BEFORE, CONDITIONS, TUNED

TABLES = ("apical_activity",)
"""Names of the tables of the report."""

KEYS = ["model", "stimuli", "feedback", "reward"]
MODELS = {"reward": "reward model", "microcircuit": "dendritic microcircuit"}
QUANTITIES = {
    "A in A": "A-tuned, trials of A",
    "B in A": "B-tuned, trials of A",
    "A in B": "A-tuned, trials of B",
    "B in B": "B-tuned, trials of B",
    "A in all": "A-tuned, all trials",
    "B in all": "B-tuned, all trials",
    "licks A": "licks to A",
    "licks B": "licks to B",
}
MARKER: dict[str, Any] = {"marker": "o", "markersize": 4.5, "elinewidth": 1.0}


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"apical_activity": changes(rows)}, [apical_activity(rows)]


def by_condition(rows: pd.DataFrame) -> pd.DataFrame:
    """Changes and final licks over seeds, by model and condition."""
    own = rows[rows["quantity"] != "course"].copy()
    change = own["quantity"] == "change"
    own["quantity"] = np.where(
        change, own["tuned"] + " in " + own["trials"], "licks " + own["trials"]
    )
    return means.over_seeds(own, [*KEYS, "quantity"])


def predictions(found: pd.DataFrame) -> pd.Series:
    """Whether the intervals of both predictions lie on their side of 0, by model and condition."""

    def both(part: pd.DataFrame) -> bool:
        rises, falls = (part[part["quantity"] == f"{tuned} in A"].iloc[0] for tuned in TUNED)
        return bool(rises["low"] > 0 and falls["high"] < 0)

    return pd.Series({group: both(part) for group, part in found.groupby(KEYS, sort=False)})


def changes(rows: pd.DataFrame) -> Table:
    """Table of the change of apical activity by model and condition."""
    found = by_condition(rows)
    hold = predictions(found)
    found["both"] = [
        "yes" if hold[tuple(row)] else "no" for row in found[KEYS].itertuples(index=False)
    ]
    note = (
        "Apical activity in rewarded trials minus that in the trials before: mean over seeds [95 % "
        "interval by Student's t]. Both predictions: in trials of the reinforced stimulus A the "
        "interval of A-tuned neurons lies above 0 and that of B-tuned neurons below. Licks: share "
        "in the last 100 trials. Coin: a reward of 1 or -1 by chance, the null."
    )
    return means.table(
        f"Apical activity after reinforcement of A; {means.seeds(rows)}",
        found,
        {name: name for name in KEYS} | {"both": "both predictions"},
        QUANTITIES,
        (note,),
    )


def apical_activity(rows: pd.DataFrame) -> Picture:
    """Draw the time course and the change in every condition, one row a model.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    palette: list[str] = sns.color_palette("colorblind").as_hex()
    colours = dict(zip(TUNED, (palette[3], palette[0]), strict=True))
    found = by_condition(rows)
    with style.theme():
        figure, part = style.canvas(style.PAGE, 3.9, _legend(colours), [])
        grid = part.subplots(len(MODELS), 2, width_ratios=[1, 1.6], squeeze=False)
        for (course, change), (model, name) in zip(grid, MODELS.items(), strict=True):
            _course(course, rows[rows["model"] == model], colours)
            panels.title(course, f"{name}, trials of A")
            _changes(change, found[found["model"] == model], colours)
            panels.title(change, f"{name}, change by reward")
        grid[-1, 0].set_xlabel("trial")
        for axes in grid[:, 0]:
            axes.set_ylabel("apical activity")
    seeds = means.seeds(rows)
    caption = (
        "Apical activity of neurons tuned to the reinforced stimulus A and to B. Left: orthogonal "
        "stimuli, aligned feedback, in trials of A; reward begins at the grey line. Right: change "
        "from the trials without reward, in trials of A (filled) and of B (open), for each "
        f"condition. Means over {seeds} with 95 % intervals (Student's t)."
    )
    return style.finished("apical_activity", figure, caption)


def _course(axes: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    first = dict(zip(KEYS[1:], CONDITIONS[0], strict=True))
    own = rows[rows["quantity"] == "course"]
    for name, value in first.items():
        own = own[own[name] == value]
    for tuned, colour in colours.items():
        line = means.over_seeds(own[own["tuned"] == tuned], ["at"])
        look = {**MARKER, "color": colour, "linestyle": style.SOLID, "linewidth": 0.9}
        means.bars(axes, line["at"], line[means.ENDS], **look)
    axes.axhline(0, color="0.35", linewidth=0.8)
    axes.axvline(BEFORE, color="0.6", linewidth=0.8)


def _changes(axes: Axes, found: pd.DataFrame, colours: dict[str, str]) -> None:
    for place, condition in enumerate(CONDITIONS):
        own = found
        for name, value in zip(KEYS[1:], condition, strict=True):
            own = own[own[name] == value]
        for step, trials in enumerate(("A", "B")):
            for shift, (tuned, colour) in enumerate(colours.items()):
                one = own[own["quantity"] == f"{tuned} in {trials}"]
                x = place + 0.3 * (step - 0.5) + 0.12 * (shift - 0.5)
                face = colour if trials == "A" else "white"
                look = {**MARKER, "color": colour, "markerfacecolor": face, "linestyle": "none"}
                means.bars(axes, [x], one[means.ENDS], **look)
    axes.axhline(0, color="0.35", linewidth=0.8)
    labels = [
        f"{stimuli}\n{feedback}" if reward == "contingent" else f"{stimuli}\n{feedback}, coin"
        for stimuli, feedback, reward in CONDITIONS
    ]
    axes.set_xticks(range(len(CONDITIONS)), labels)


def _legend(colours: dict[str, str]) -> list[Line2D]:
    tuned = [
        Line2D([], [], color=colour, marker="o", markersize=4.5, label=f"{name}-tuned")
        for name, colour in colours.items()
    ]
    fills = [
        Line2D(
            [],
            [],
            color="0.2",
            marker="o",
            markersize=4.5,
            markerfacecolor=fill,
            linestyle="none",
            label=label,
        )
        for fill, label in (("0.2", "trials of A"), ("white", "trials of B"))
    ]
    return [*tuned, *fills]

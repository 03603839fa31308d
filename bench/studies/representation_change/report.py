"""The study of representation change: profiles over layers, minus those of the control."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.report import means, panels, style
from plausibench.bench.report.render import Table
from plausibench.bench.report.style import Picture, Style
from plausibench.bench.studies.representation_change.study import LAYERS, LEARNED
from plausibench.kernels.errors import counted

TABLES = ("representation_change",)
"""Names of the tables of the report."""

FIRST, LAST = next(iter(LAYERS)), list(LAYERS)[-1]


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"representation_change": changes(rows)}, [representation_change(rows)]


def accuracies(rows: pd.DataFrame) -> pd.Series:
    """Share of right answers after learning with earned rewards, by rule and seed."""
    own = rows[(rows["quantity"] == "accuracy") & (rows["reward"] == "earned")]
    return own.set_index(["rule", "seed"])["value"]


def profiles(rows: pd.DataFrame) -> pd.DataFrame:
    """Change of each layer (columns) by rule, seed and reward, in networks that have learned.

    ``reward`` is earned, shuffled, or excess: the first minus the second.
    """
    right = accuracies(rows)
    own = rows[rows["quantity"] == "change"]
    # Networks that diverged have no change: there may be none with rewards of either kind.
    earned, shuffled = (
        own[own["reward"] == reward]
        .pivot(index=["rule", "seed"], columns="layer", values="value")
        .reindex(columns=list(LAYERS))
        for reward in ("earned", "shuffled")
    )
    both = {"earned": earned, "shuffled": shuffled, "excess": (earned - shuffled).dropna()}
    found = pd.concat(both, names=["reward"])
    learned = right[right > LEARNED].index
    kept = pd.MultiIndex.from_frame(found.index.to_frame()[["rule", "seed"]]).isin(learned)
    return found[kept]


def long(found: pd.DataFrame) -> pd.DataFrame:
    """Profiles with a row for each layer."""
    return found.reset_index().melt(
        ["reward", "rule", "seed"], var_name="layer", value_name="value"
    )


def share_of(flags: pd.Series) -> str:
    """How many of them hold, as text."""
    return f"{int(flags.sum())} of {len(flags)}"


def changes(rows: pd.DataFrame) -> Table:
    """Table of the change of tuning by rule and reward, and of what learning adds."""
    found = profiles(rows)
    top = found[LAST] - found[FIRST]
    summary = pd.concat(
        [
            long(found).rename(columns={"layer": "quantity"}),
            top.rename("value").reset_index().assign(quantity="top"),
            rows[rows["quantity"] == "accuracy"],
        ]
    )
    laid = means.over_seeds(summary, ["rule", "reward", "quantity"])
    share = laid["quantity"] == "accuracy"
    laid.loc[share, ["low", "high"]] = laid.loc[share, ["low", "high"]].clip(0, 1)
    places = {kind: place for place, kind in enumerate(("earned", "shuffled", "excess"))}
    laid["place"] = laid["reward"].map(places)
    laid = laid.sort_values(["rule", "place"], kind="stable")
    learned = (accuracies(rows) > LEARNED).groupby("rule").agg(share_of)
    steps = pd.Series((np.diff(found, axis=1) > 0).all(axis=1), index=found.index)
    ordered = steps.groupby(["rule", "reward"]).agg(share_of)
    laid["learned"] = [learned[rule] for rule in laid["rule"]]
    pairs = laid[["rule", "reward"]].itertuples(index=False, name=None)
    laid["ordered"] = [ordered.get(pair, "–") for pair in pairs]
    laid["rule"] = [style.label(rule) for rule in laid["rule"]]
    note = (
        "Change of tuning relative to what it was: mean over the networks that have learned "
        f"(more than {LEARNED:.0%} right) [95 % interval by Student's t]. Excess: earned minus "
        "shuffled rewards, seed by seed. Ordered: networks in which each layer changes more than "
        "the one below. Right: share of right answers, networks that have not learned included."
    )
    lost = int(rows.loc[rows["quantity"] == "accuracy", "value"].isna().sum())
    notes = (note, f"Diverged and left out: {counted(lost, 'network')}.") if lost else (note,)
    return means.table(
        f"Change of tuning by layer; {means.seeds(rows)}",
        laid,
        {"rule": "rule", "learned": "learned", "reward": "reward", "ordered": "ordered"},
        {**LAYERS, "top": "top - bottom", "accuracy": "right, all networks"},
        notes,
    )


def representation_change(rows: pd.DataFrame) -> Picture:
    """Draw for each rule the profile over layers, that of the control, and their difference.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    found = long(profiles(rows))
    right = accuracies(rows)
    looks = style.styles(rows["rule"])
    names = list(dict.fromkeys(rows["rule"]))
    kinds = {
        "earned": Style("0.1", "o", style.SOLID, "rewards earned"),
        "shuffled": Style("0.1", "s", style.DASHED, "rewards shuffled (control)"),
        "excess": Style("0.1", "D", style.SOLID, "earned minus shuffled"),
    }
    with style.theme():
        handles = [style.handle(kinds[kind], line=True) for kind in ("earned", "shuffled")]
        handles[1].set_markerfacecolor("white")
        figure, part = style.canvas(style.PAGE, 3.4, handles, [])
        grid = part.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
        for column, name in enumerate(names):
            own, look = found[found["rule"] == name], looks[name]
            upper, lower = grid[:, column]
            for kind in ("earned", "shuffled"):
                _profile(upper, own[own["reward"] == kind], look, filled=kind == "earned")
            _profile(lower, own[own["reward"] == "excess"], look, filled=True)
            lower.axhline(0, color="0.35", linewidth=0.8)
            learned = int((right[name] > LEARNED).sum())
            panels.title(upper, f"{style.label(name, 24)}\n{learned} of {len(right[name])} learned")
            lower.set_xticks(range(len(LAYERS)), LAYERS.values(), rotation=45, ha="right")
        grid[0, 0].set_ylabel("relative change of tuning")
        grid[1, 0].set_ylabel("earned minus shuffled")
    count = rows["seed"].nunique()
    caption = (
        "Change of tuning to orientation in each layer after learning a fine discrimination by "
        f"reward: means over those of {count} networks that answer more than {LEARNED:.0%} right, "
        "with 95 % intervals (Student's t). Top: with rewards, and with rewards shuffled among "
        "trials. Bottom: the difference, network by network."
    )
    return style.finished("representation_change", figure, caption)


def _profile(axes: Axes, rows: pd.DataFrame, look: Style, *, filled: bool) -> None:
    found = means.over_seeds(rows, ["layer"])
    means.bars(
        axes,
        [list(LAYERS).index(layer) for layer in found["layer"]],
        found[means.ENDS],
        color=look.colour,
        marker="o" if filled else "s",
        markersize=4.5,
        markerfacecolor=look.colour if filled else "white",
        linestyle=style.SOLID if filled else style.DASHED,
        linewidth=0.9,
        elinewidth=1.0,
    )

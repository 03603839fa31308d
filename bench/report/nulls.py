"""Nulls beside the rules of a run: how much more accurate rules are, and what nulls reach."""

import pandas as pd

from plausibench.bench.report import notation
from plausibench.bench.report.aggregate import aggregate
from plausibench.bench.training.nulls import CHANCE, LINEAR, NULL, READOUT
from plausibench.kernels.errors import counted

ABOVE = {READOUT: "above_readout_only", LINEAR: "above_linear"}
"""Quantities that say how much more accurate a rule is than a null, by the rule of the null."""
CALLED = {READOUT: "readout only", LINEAR: "linear"}
"""What the nulls are called, by their rules."""
BY_CHANCE = "chance"
PERFORMANCE = ("test_accuracy", "test_loss", "train_loss")
PLACE = ["task", "architecture", "objective"]
WITHIN = {READOUT: PLACE, LINEAR: ["task", "objective"]}
"""What a null shares with the rules that stand beside it."""


def parted(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the rules, and rows of the nulls, of any table with the column ``protocol``."""
    null = table["protocol"] == NULL
    return table[~null], table[null]


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the rules of a run, with those of :func:`differences` and without those of nulls."""
    rules, _ = parted(frame)
    above = differences(frame)
    return rules if above.empty else pd.concat([rules, above], ignore_index=True)


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """How much more accurate the rules of a run are than its nulls, seed by seed.

    Parameters
    ----------
    frame : DataFrame
        Tidy long table of a run.

    Returns
    -------
    DataFrame
        Rows of the kind ``null``: the accuracy of a rule less that of the null with the same seed,
        which has the same weights at first, the same data and the same number of steps. So means
        over seeds are paired differences. A rule that has no null beside it has no such row.
    """
    rules, nulls = parted(frame)
    accurate = rules[rules["quantity"] == "test_accuracy"]
    reached = nulls[nulls["quantity"] == "test_accuracy"]
    if accurate.empty or reached.empty:
        return rules.iloc[:0]
    parts = []
    for rule, quantity in ABOVE.items():
        keys = [*WITHIN[rule], "seed", "step"]
        level = reached[reached["rule"] == rule].set_index(keys)["value"]
        places = pd.MultiIndex.from_frame(accurate[keys])
        above = accurate.assign(
            kind="null",
            quantity=quantity,
            value=accurate["value"].to_numpy() - level.reindex(places).to_numpy(),
        )
        # A seed that lacks a null is told, where others have it.
        cell = [above[name] for name in (*PLACE, "rule", "protocol", "step")]
        parts.append(above[above["value"].notna().groupby(cell).transform("any")])
    return pd.concat(parts, ignore_index=True)


def courses(frame: pd.DataFrame) -> pd.DataFrame:
    """Performance of the nulls along training, beside every network and objective of the rules.

    Returns
    -------
    DataFrame
        Columns ``task``, ``architecture``, ``objective`` (of the rules that they stand beside),
        ``null``, ``step``, ``quantity``, and those of ``aggregate`` for the average over seeds.
    """
    rules, nulls = parted(frame)
    if nulls.empty:
        return aggregate(nulls).assign(null="")
    places = rules[PLACE].drop_duplicates()
    chance = {level: quantity for quantity, level in CHANCE.items()}
    found = aggregate(nulls[nulls["quantity"].isin([*PERFORMANCE, *chance])])
    by_chance = found["quantity"].isin(list(chance))
    level = found[by_chance].drop_duplicates(["task", "objective", "step", "quantity"])
    level = level.assign(quantity=level["quantity"].map(chance), null=BY_CHANCE)
    parts = [
        found[(found["rule"] == rule) & ~by_chance].assign(null=called)
        for rule, called in CALLED.items()
    ]
    shared = [*WITHIN.values(), WITHIN[LINEAR]]
    return pd.concat(
        [
            places.merge(part.drop(columns=[n for n in PLACE if n not in keys]), on=keys)
            for part, keys in zip([*parts, level], shared, strict=True)
        ],
        ignore_index=True,
    )


def sentences(frame: pd.DataFrame, units: pd.DataFrame | None, step: int) -> list[str]:
    """What the nulls of a run reach at a step, and why one is not there.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work.
    step
        The checkpoint.

    Returns
    -------
    list of str
        One for each task, about accuracy where it has one, else about the loss on the test set.
    """
    reached = courses(frame)
    reached = reached[reached["step"] == step]
    said = []
    for task, own in reached.groupby("task", sort=False):
        quantity = next(name for name in PERFORMANCE if (own["quantity"] == name).any())
        own = own[own["quantity"] == quantity]
        several = len(own[["architecture", "objective"]].drop_duplicates()) > 1
        levels = [
            f"{null} {_levels(part, several)}" for null, part in own.groupby("null", sort=False)
        ]
        what = quantity.replace("_", " ")
        said.append(f"Nulls on {task} after {step} steps, {what}: {'; '.join(levels)}.")
    return [*said, *absent(units)]


def _levels(rows: pd.DataFrame, several: bool) -> str:
    """Different values of a null, each with the networks and objectives beside which it stands."""
    texts: dict[str, None] = {}
    for _, row in rows.iterrows():
        value, low, high = (float(row[end]) for end in ("value", "low", "high"))
        names = {
            CALLED[READOUT]: (row["architecture"], row["objective"]),
            CALLED[LINEAR]: (row["objective"],),
        }.get(row["null"], ())
        place = f" ({', '.join(names)})" if several and names else ""
        texts[f"{notation.number(value, low, high, exact=True)}{place}"] = None
    return ", ".join(texts)


def absent(units: pd.DataFrame | None) -> list[str]:
    """Why nulls could not be trained, or came to no end."""
    if units is None or units.empty:
        return []
    nulls = parted(units)[1]
    bad = nulls[~nulls["status"].isin(["done", "due"])]
    said = []
    for (rule, *place, status, reason), own in bad.groupby(
        ["rule", *WITHIN[READOUT], "status", "reason"], sort=False
    ):
        where = dict(zip(PLACE, place, strict=True))
        told = ", ".join(str(where[name]) for name in WITHIN[str(rule)])
        seeds = counted(len(own), "seed")
        said.append(f"No {CALLED[str(rule)]} beside {told} ({status}, {seeds}): {reason}.")
    return said

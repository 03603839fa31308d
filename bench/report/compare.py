"""Two runs compared: which differences between them the seeds support."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import false_discovery_control

from plausibench.bench.report import notation
from plausibench.bench.report.aggregate import (
    CELL,
    KEYS,
    ROUNDING,
    aggregate,
    least,
    open_range,
    settings,
)
from plausibench.bench.report.columns import COLUMNS, MEASURED, QUANTITIES, RELATIVE, Column
from plausibench.bench.report.nulls import differences
from plausibench.bench.report.render import Table
from plausibench.kernels.errors import choose, counted, number

Array = np.ndarray

VALUE = list(KEYS)
DEFAULT = (
    "bias_squared",
    "variance",
    "scale_free_bias",
    "progress",
    "marginal_bias_squared",
    "marginal_variance",
    "test_accuracy",
    "forward_passes",
)
"""Columns that are compared by default: each further one makes all others harder to support."""
NUMBERS = [
    *("first", "first_low", "first_high", "second", "second_low", "second_high"),
    *("difference", "low", "high", "test", "p", "adjusted", "flag", "only"),
]
"""Columns of a comparison besides those that tell values apart."""
JACKKNIFE = 19
"""Degrees of freedom of the intervals of one seed."""


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    projection: str = "all",
    rate: float = 0.05,
) -> pd.DataFrame:
    """Compare the values that two runs share, and say which differences are supported.

    Parameters
    ----------
    first, second : DataFrame
        Tidy long tables of two runs.
    columns
        Names of columns of the comparison table; by default ``DEFAULT``.
    projection
        ``all`` for the whole net, or a parameter's name.
    rate
        Share of false ones, at most in expectation, among the differences flagged: p-values
        are adjusted for the number of comparisons by the procedure of Benjamini & Hochberg
        1995. Without any true difference it bounds the chance of a single flag. What does not
        vary is not counted.

    Returns
    -------
    DataFrame
        One row per value, those of the first run first: task, architecture, objective, rule,
        protocol, step, kind, projection, quantity, and

        ``first``, ``second``
            Means over seeds, with ``_low`` and ``_high`` ends of their intervals.
        ``difference``, ``low``, ``high``
            Second less first, and its 95 % interval.
        ``test``
            ``paired`` where both runs have the same seeds (Student's t over the differences),
            ``Welch`` where they have other seeds; ``intervals`` with one and the same seed
            (and about this seed only); ``exact`` where nothing varies; empty where nothing can
            be said.
        ``p``, ``adjusted``
            Two-sided, without and with the adjustment.
        ``flag``
            ``higher`` or ``lower`` in the second run, empty where that is not supported.
        ``only``
            ``first`` or ``second`` for what has a finite value in one run alone, else empty.

        Differences at the level of rounding errors count as none.

    Raises
    ------
    InputError
        If the rate, a column or the projection is not allowed.
    """
    rate = number("rate", rate, above=0, below=1)
    chosen = [COLUMNS[choose("columns", name, COLUMNS)] for name in columns or DEFAULT]
    known = [*first["projection"].unique(), *second["projection"].unique()]
    projection = choose("projection", projection, ["all", *dict.fromkeys(known)])
    sides = [
        _chosen(frame if above.empty else pd.concat([frame, above]), chosen, projection)
        for frame in (first, second)
        for above in [differences(frame)]
    ]
    means = [_means(side) for side in sides]
    found = means[0].merge(means[1], on=VALUE, how="outer", suffixes=("_1", "_2"))
    found = found.merge(_changes(*sides), on=VALUE, how="left")
    order = pd.concat([side[VALUE] for side in sides]).drop_duplicates()
    found = with_tests(order.merge(found, on=VALUE).reset_index(drop=True))
    both = pd.concat(sides)
    unknown = pd.MultiIndex.from_frame(found[VALUE]).isin(
        pd.MultiIndex.from_frame(both.loc[open_range(both), VALUE])
    )
    found.loc[unknown, ["low", "high", "p"]] = np.nan
    found.loc[unknown, "test"] = ""
    return flagged(found, VALUE, rate)


def flagged(found: pd.DataFrame, keys: Sequence[str], rate: float) -> pd.DataFrame:
    """Columns of :func:`compare`, of what :func:`with_tests` gives for each of the ``keys``."""
    flagged = found.assign(adjusted=found["p"], only="")
    varies = found["p"].notna() & (found["test"] != "exact")
    if varies.any():
        flagged.loc[varies, "adjusted"] = false_discovery_control(found.loc[varies, "p"])
    direction = np.where(found["difference"] > 0, "higher", "lower")
    flagged["flag"] = np.where(flagged["adjusted"] <= rate, direction, "")
    flagged.loc[found["first"].isna(), "only"] = "second"
    flagged.loc[found["second"].isna(), "only"] = "first"
    return flagged[[*keys, *NUMBERS]]


def difference_table(
    found: pd.DataFrame,
    *,
    every: bool = False,
    rate: float = 0.05,
    names: tuple[str, str] = ("first", "second"),
) -> Table:
    """Lay out what :func:`compare` found.

    Parameters
    ----------
    found : DataFrame
        Result of :func:`compare`.
    every
        Whether to show all values instead of the flagged ones.
    rate
        The rate that was given to :func:`compare`.
    names
        What to call the runs.

    Returns
    -------
    Table
        Supported differences are marked; cells that are in one run only are named below it.
    """
    if names[0] == names[1]:
        names = ("first", "second")
    both = found[found["only"] == ""]
    shown = both if every else both[both["flag"] != ""]
    shown = shown.reset_index(drop=True)
    said, cells = [], {}
    names_of_rows = ["rule", *(name for name in VALUE if name not in ("rule", "quantity"))]
    if (settings(found) == found["task"]).all():
        names_of_rows = [n for n in names_of_rows if n not in ("architecture", "objective")]
    for name in names_of_rows:
        texts = shown[name].astype(str)
        if name == "rule" or texts.nunique() > 1:
            cells[name] = texts
        elif len(shown):
            said.append(f"{name} {texts.iloc[0]}")
    cells["quantity"] = shown["quantity"].map(lambda name: QUANTITIES.get(name, (name,))[0])
    return laid_out(cells, shown, found, names, said, _notes(found, rate, names))


def laid_out(
    cells: Mapping[str, pd.Series],
    shown: pd.DataFrame,
    found: pd.DataFrame,
    names: tuple[str, str],
    said: Sequence[str],
    notes: Sequence[str],
) -> Table:
    """Table of differences.

    Parameters
    ----------
    cells
        What tells rows apart, by heading.
    shown, found
        The rows, with the columns of :func:`compare`, and all that there are.
    names
        What the runs are called.
    said, notes
        What the title says besides, and sentences below.
    """
    numbers = {}
    for heading, first in zip((*names, "difference"), (0, 3, 6), strict=True):
        ends = shown[NUMBERS[first : first + 3]].itertuples(index=False)
        texts = [notation.number(*row, exact=True) for row in ends]
        numbers[heading] = pd.Series(texts, dtype=object)
    numbers["test"] = shown["test"]
    numbers["adjusted p"] = shown["adjusted"].map(lambda p: "–" if math.isnan(p) else f"{p:.2g}")
    numbers["flag"] = shown["flag"]
    laid = pd.DataFrame({**cells, **numbers}, dtype=object)
    best = pd.DataFrame(False, index=laid.index, columns=laid.columns)
    best["difference"] = shown["flag"] != ""
    title = "; ".join([f"{names[1]} less {names[0]}", *said])
    return Table(title, laid, best, found, len(cells), tuple(notes))


def tally(both: pd.DataFrame, rate: float) -> str:
    """How many values of two runs were compared, and how many differ."""
    tested, flags = int(both["p"].notna().sum()), int((both["flag"] != "").sum())
    return (
        f"{counted(tested, 'value')} compared; {counted(flags, 'supported difference')}, at most "
        f"{rate:.0%} of them false in expectation (Benjamini-Hochberg over all that vary)."
    )


def _notes(found: pd.DataFrame, rate: float, names: tuple[str, str]) -> list[str]:
    both = found[found["only"] == ""]
    summary = (
        f"{tally(both, rate)} Values are means over seeds, whatever their bounds; intervals are "
        "95 % by Student's t, not adjusted; a value without one is exact or from one seed."
    )
    said = [summary]
    if untested := int(both["p"].isna().sum()):
        said.append(
            f"{counted(untested, 'value')} could not be tested: one seed without an interval, one "
            "seed against several or another, or equal accuracies."
        )
    for side, name in zip(("first", "second"), names, strict=True):
        cells = found.loc[found["only"] == side, list(CELL)].drop_duplicates()
        rest = both[list(CELL)].drop_duplicates()
        cells = cells.merge(rest, how="left", indicator="where")
        for where, what in (("left_only", "cells"), ("both", "values in cells")):
            listed = _listed(cells[cells["where"] == where], settings(found).nunique() > 1)
            if listed:
                said.append(f"Only {name} has these {what}: {listed}.")
    return said


def _listed(cells: pd.DataFrame, several: bool) -> str:
    texts = []
    for (task, architecture, objective, rule), own in cells.groupby(list(CELL[:4]), sort=False):
        places = ", ".join(f"{p} {s}" for p, s in zip(own["protocol"], own["step"], strict=True))
        setting = f" on {task}, {architecture}, {objective}" if several else ""
        texts.append(f"{rule}{setting} ({places})")
    return "; ".join(texts)


def _chosen(frame: pd.DataFrame, columns: list[Column], projection: str) -> pd.DataFrame:
    """Rows to compare, with rounding errors set to the zeros they stand for."""
    wanted = pd.MultiIndex.from_tuples([(c.kind, c.quantity) for c in columns])
    of_net = ~frame["kind"].isin(MEASURED)
    rows = frame[
        np.isfinite(frame["value"])
        & pd.MultiIndex.from_frame(frame[["kind", "quantity"]]).isin(wanted)
        & (of_net | (frame["projection"] == projection))
    ]
    relative = rows["kind"].isin(RELATIVE) & ~rows["quantity"].str.startswith("absolute_")
    ends = rows[["value", "low", "high"]]
    zeros = least(rows["quantity"], rows["method"])
    return rows.assign(**ends.mask(ends.abs().lt(zeros, axis=0), 0.0).where(relative, ends))


def _means(side: pd.DataFrame) -> pd.DataFrame:
    # A difference is of means, whatever an average of one run alone would be.
    return aggregate(side, plain=True)[[*VALUE, "value", "low", "high", "seeds"]]


def _changes(one: pd.DataFrame, two: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of the differences over the seeds that both runs have."""
    pairs = one[[*VALUE, "seed", "value"]].merge(
        two[[*VALUE, "seed", "value"]], on=[*VALUE, "seed"], suffixes=("_1", "_2")
    )
    change = pairs["value_2"] - pairs["value_1"]
    size = pairs[["value_1", "value_2"]].abs().max(axis=1)
    pairs["change"] = change.where(change.abs() > ROUNDING * size, 0.0)
    return pairs.groupby(VALUE, sort=False)["change"].agg(spread="std", pairs="count").reset_index()


def with_tests(found: pd.DataFrame) -> pd.DataFrame:
    """Difference, interval, test and p-value of each row.

    Parameters
    ----------
    found : DataFrame
        ``kind``, ``spread`` and number of ``pairs`` of the differences over shared seeds, and of
        each run, with the endings ``_1`` and ``_2``: ``value``, ``low``, ``high``, ``seeds``.
    """
    n1, n2 = (found[f"seeds_{side}"].fillna(0).to_numpy() for side in (1, 2))
    half1, half2 = (
        ((found[f"high_{side}"] - found[f"low_{side}"]) / 2).to_numpy() for side in (1, 2)
    )
    difference = (found["value_2"] - found["value_1"]).to_numpy()
    size = found[["value_1", "value_2"]].abs().max(axis=1).to_numpy()
    difference = np.where(np.abs(difference) > ROUNDING * size, difference, difference * 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        v1, v2 = (_variance_of_mean(half, n) for half, n in ((half1, n1), (half2, n2)))
        paired_error = found["spread"].to_numpy() / np.sqrt(n1)
        welch_freedom = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1))
        alone_error = np.hypot(half1, half2) / stdtrit(JACKKNIFE, 0.975)
        several = (n1 > 1) & (n2 > 1)
        shared = (found["pairs"].to_numpy() == n1) & (n1 == n2)
        same, alone = several & shared, (n1 == 1) & shared
        constant = (several & (v1 + v2 == 0)) | (alone & (alone_error == 0))
        # Accuracies are shares of few examples: equal ones may be a coincidence.
        constant &= (found["kind"] != "training").to_numpy()
        cases = [
            constant,
            same & (paired_error > 0),
            several & (v1 + v2 > 0),
            alone & (alone_error > 0),
        ]
        error = np.select(cases, [0.0, paired_error, np.sqrt(v1 + v2), alone_error], np.nan)
        freedom = np.select(cases, [1.0, n1 - 1, welch_freedom, JACKKNIFE], np.nan)
        p = 2 * stdtr(freedom, -np.abs(difference) / error)
        reach = stdtrit(freedom, 0.975) * error
    p = np.where((error == 0) | (difference == 0), np.where(difference == 0, 1.0, 0.0), p)
    p = np.where(np.isnan(error), np.nan, p)
    renamed = {
        f"{name}_{side}": f"{run}{end}"
        for side, run in ((1, "first"), (2, "second"))
        for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    return found.rename(columns=renamed).assign(
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        test=np.select(cases, ["exact", "paired", "Welch", "intervals"], ""),
        p=p,
    )


def _variance_of_mean(half: Array, seeds: Array) -> Array:
    """Square of the standard error behind an interval over seeds."""
    freedom = np.where(seeds > 1, seeds - 1, np.nan)
    return (half / stdtrit(freedom, 0.975)) ** 2

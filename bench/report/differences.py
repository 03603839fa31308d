"""Two runs of one study compared by its keys: which differences the seeds support."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from plausibench.bench.report.compare import flagged, laid_out, tally, with_tests
from plausibench.bench.report.render import Table
from plausibench.kernels.errors import InputError, counted, number

ENDS = ("low", "high")
"""Columns that say how certain a value is."""


def differences(
    first: pd.DataFrame, second: pd.DataFrame, keys: Sequence[str], *, rate: float = 0.05
) -> pd.DataFrame:
    """Compare every number that two runs of a study share, over their seeds.

    Parameters
    ----------
    first, second : DataFrame
        Tables of two runs.
    keys
        Columns that tell rows apart; over ``seed``, if it is among them, is averaged.
    rate
        Share of false ones, at most in expectation, among the differences flagged, by the
        procedure of Benjamini & Hochberg 1995.

    Returns
    -------
    DataFrame
        One row per value: the keys but the seed, ``column`` (which number it is), and the
        columns of :func:`plausibench.bench.report.compare.compare` from ``first`` on.

    Raises
    ------
    InputError
        If the rate is not allowed, or a run has no results.
    """
    rate = number("rate", rate, above=0, below=1)
    longs = [_long(frame, keys) for frame in (first, second)]
    cell = [name for name in longs[0].columns if name not in ("seed", "value")]
    means = [_means(long, cell) for long in longs]
    found = means[0].merge(means[1], on=cell, how="outer", suffixes=("_1", "_2"), sort=False)
    order = pd.concat([mean[cell] for mean in means]).drop_duplicates()
    found = order.merge(
        found.merge(_changes(longs[0], longs[1], cell), on=cell, how="left"), on=cell
    )
    found = with_tests(found.assign(kind=""))
    return flagged(found, cell, rate)


def _long(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row for each number that is no key: keys, ``column``, ``seed`` and ``value``."""
    if frame.empty:
        raise InputError("run: there are no results to compare yet")
    kept = [name for name in keys if name in frame]
    numbers = [
        name
        for name in frame.select_dtypes("number").columns
        if name not in kept and name not in ENDS
    ]
    long = frame[[*kept, *numbers]].melt(kept, var_name="column", value_name="number")
    long = long.rename(columns={"number": "value"})
    long = long[np.isfinite(long["value"])]
    # Keys that a kind of row does not have are no reason to lose it.
    named = [name for name in (*kept, "column") if name != "seed"]
    long[named] = long[named].astype(object).fillna("")
    return long if "seed" in long else long.assign(seed=np.nan)


def _means(long: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    """Mean over seeds with the 95 % interval of Student's t.

    A single seed has none, and what has no seed does not vary.
    """
    means = (
        long.groupby(cell, sort=False)
        .agg(
            value=("value", "mean"),
            spread=("value", "std"),
            seeds=("value", "count"),
            seeded=("seed", "count"),
        )
        .reset_index()
    )
    seeds = means["seeds"].to_numpy()
    freedom = np.where(seeds > 1, seeds - 1.0, np.nan)
    half = stdtrit(freedom, 0.975) * means.pop("spread").to_numpy() / np.sqrt(seeds)
    half = np.where(means.pop("seeded").to_numpy() == 0, 0.0, half)
    return means.assign(low=means["value"] - half, high=means["value"] + half)


def _changes(one: pd.DataFrame, two: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    """Spread of the differences over the seeds that both runs have, and how many there are."""
    pairs = one.merge(two, on=[*cell, "seed"], suffixes=("_1", "_2"))
    pairs["change"] = pairs["value_2"] - pairs["value_1"]
    return pairs.groupby(cell, sort=False)["change"].agg(spread="std", pairs="count").reset_index()


def table_of(
    found: pd.DataFrame,
    *,
    every: bool = False,
    rate: float = 0.05,
    names: tuple[str, str] = ("first", "second"),
) -> Table:
    """Lay out what :func:`differences` found; ``every`` shows what is not flagged, too."""
    if names[0] == names[1]:
        names = ("first", "second")
    both = found[found["only"] == ""]
    shown = (both if every else both[both["flag"] != ""]).reset_index(drop=True)
    told = list(found.columns[: list(found.columns).index("first")])
    if set(found["column"]) == {"value"}:
        told.remove("column")
    cells = {name: shown[name].astype(str) for name in told}
    summary = (
        f"{tally(both, rate)} Values are means over seeds; intervals are 95 % by Student's t, not "
        "adjusted."
    )
    notes = [summary]
    if untested := int(both["p"].isna().sum()):
        notes.append(f"{counted(untested, 'value')} of one seed could not be tested.")
    for side, name in zip(("first", "second"), names, strict=True):
        alone = int((found["only"] == side).sum())
        notes += [f"Only {name} has {counted(alone, 'further value')}."] if alone else []
    return laid_out(cells, shown, found, names, [], notes)

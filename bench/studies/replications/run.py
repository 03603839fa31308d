"""Find recipes, measure them, and judge what they found."""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plausibench.bench.measuring.statistics import mean_interval
from plausibench.bench.studies.replications import REPLICATIONS
from plausibench.bench.studies.replications.recipe import (
    NEEDS,
    REPRODUCED,
    SMALLER,
    Recipe,
    Setting,
    Target,
    overall,
)
from plausibench.kernels.errors import Divergence, choose

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Compared:
    """A published figure and ours.

    Attributes
    ----------
    target
        The published one.
    value, low, high
        Ours: mean over seeds and its 95 % interval by Student's t; NaN if a seed diverged.
    seeds
        Number of seeds.
    verdict
        On this figure.
    """

    target: Target
    value: float
    low: float
    high: float
    seeds: int
    verdict: str


@dataclass(frozen=True)
class Replication:
    """What became of a recipe.

    Attributes
    ----------
    recipe, setting
        The setting is None where data are missing.
    compared
        Its figures.
    verdict
        On all of them.
    """

    recipe: Recipe
    setting: Setting | None
    compared: tuple[Compared, ...]
    verdict: str


def find(name: str) -> Recipe:
    """Recipe of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    choose("replication", name, REPLICATIONS)
    recipe: Recipe = importlib.import_module(
        f"plausibench.bench.studies.replications.{name}"
    ).RECIPE
    return recipe


def measured(name: str, seed: int, data: str) -> Iterator[dict[str, Any]]:
    """A row for every target of a recipe; the folder of data is empty where none are given.

    Raises
    ------
    Divergence
        If training diverged and the recipe says nothing of it: every value is NaN.
    """
    setting = find(name).setting(data=bool(data))
    assert setting is not None
    try:
        found = setting.work(seed, data)
    except Divergence:
        for target in setting.targets:
            yield {"what": target.what, "value": float("nan")}
        raise
    for target in setting.targets:
        yield {"what": target.what, "value": float(found[target.what])}


def judged(names: Iterable[str], rows: "pd.DataFrame") -> list[Replication]:
    """Every recipe with its verdict, from the rows of all seeds; one without rows needs data."""
    return [_judged(find(name), rows[rows["recipe"] == name]) for name in names]


def _judged(recipe: Recipe, rows: "pd.DataFrame") -> Replication:
    if rows.empty:
        return Replication(recipe, None, (), NEEDS)
    smaller = "smaller" in set(rows["setting"])
    setting = recipe.smaller if smaller else recipe.whole
    assert setting is not None
    compared = []
    for target in setting.targets:
        values = rows.loc[rows["what"] == target.what, "value"].to_numpy(float)
        value, low, high = mean_interval(values)
        verdict = target.verdict(value, low, high)
        shown = SMALLER if smaller and verdict == REPRODUCED else verdict
        compared.append((verdict, Compared(target, value, low, high, values.size, shown)))
    whole = overall([verdict for verdict, _ in compared], smaller=smaller)
    return Replication(recipe, setting, tuple(one for _, one in compared), whole)

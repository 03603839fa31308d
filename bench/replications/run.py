"""Run recipes over seeds, and judge what they found."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausibench.bench.experiments.parts import Part, Rows
from plausibench.bench.replications import REPLICATIONS
from plausibench.bench.replications.recipe import (
    NEEDS,
    REPRODUCED,
    SMALLER,
    Recipe,
    Setting,
    Target,
    overall,
)
from plausibench.bench.statistics import mean_interval
from plausibench.bench.tasks.mnist import Mnist
from plausibench.kernels.errors import InputError, choose, integer


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
    recipe: Recipe = importlib.import_module(f"plausibench.bench.replications.{name}").RECIPE
    return recipe


def parts(names: Sequence[str], data: Path | None, seeds: int = 3, seed: int = 0) -> list[Part]:
    """Independent parts: every recipe that has its data, for every seed.

    Parameters
    ----------
    names
        Recipes.
    data
        Folder with the files of MNIST, or None.
    seeds, seed
        Number of seeds, at least 2, and the first.

    Raises
    ------
    InputError
        If an argument is not allowed, or the data cannot be read or are asked for by none.
    """
    seeds = integer("seeds", seeds, least=2)
    seed = integer("seed", seed, least=0)
    recipes = [find(name) for name in names]
    if data is not None and not any(recipe.needs for recipe in recipes):
        raise InputError(f"data: {', '.join(names)} needs none; leave {data} out")
    digest = "" if data is None else str(Mnist(data).identity)
    return [
        Part(recipe.name, measured, (recipe.name, one, *((str(data), digest) if given else ())))
        for recipe in recipes
        if recipe.setting(data=data is not None) is not None
        for given in [data is not None and bool(recipe.needs)]
        for one in range(seed, seed + seeds)
    ]


def measured(name: str, seed: int, data: str = "", digest: str = "") -> Rows:
    """A row for every target of a recipe; the digest says which data lie in the folder."""
    recipe = find(name)
    setting = recipe.setting(data=bool(data))
    assert setting is not None
    found = setting.work(seed, data)
    return [
        {"recipe": name, "what": target.what, "seed": seed, "value": float(found[target.what])}
        for target in setting.targets
    ]


def judged(names: Sequence[str], rows: Rows, *, given: bool) -> list[Replication]:
    """Every recipe with its verdict, from the rows of all parts, with data given or not."""
    return [_judged(find(name), given, rows) for name in names]


def _judged(recipe: Recipe, given: bool, rows: Rows) -> Replication:
    setting = recipe.setting(data=given)
    if setting is None:
        return Replication(recipe, None, (), NEEDS)
    smaller = setting is recipe.smaller
    compared = []
    for target in setting.targets:
        values = np.array(
            [
                row["value"]
                for row in rows
                if (row["recipe"], row["what"]) == (recipe.name, target.what)
            ]
        )
        value, low, high = mean_interval(values)
        verdict = target.verdict(value, low, high)
        shown = SMALLER if smaller and verdict == REPRODUCED else verdict
        compared.append((verdict, Compared(target, value, low, high, values.size, shown)))
    whole = overall([verdict for verdict, _ in compared], smaller=smaller)
    return Replication(recipe, setting, tuple(one for _, one in compared), whole)

"""Replications: published figures measured again, over seeds."""

import os
from dataclasses import dataclass

from plausibench.bench.running.job import Job
from plausibench.bench.running.provenance import digest
from plausibench.bench.studies.replications import REPLICATIONS as RECIPES
from plausibench.bench.studies.replications.recipe import NEEDS
from plausibench.bench.studies.replications.report import missing
from plausibench.bench.studies.replications.run import find, measured
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.mnist import Mnist
from plausibench.kernels.errors import InputError, integer


@dataclass(frozen=True)
class Options:
    """What to replicate.

    Parameters
    ----------
    names
        Recipes.
    data
        Folder with the files of MNIST, for the recipes that need them.
    seeds, seed
        Number of seeds, at least 2, and the first.

    Raises
    ------
    InputError
        If a value is not allowed, or the data cannot be read or are asked for by none.
    """

    names: tuple[str, ...] = tuple(RECIPES)
    data: str | None = None
    seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        recipes = [find(name) for name in self.names]
        if self.data is not None:
            if not any(recipe.needs for recipe in recipes):
                raise InputError(f"data: {', '.join(self.names)} needs none; leave {self.data} out")
            object.__setattr__(self, "data", os.path.abspath(os.path.expanduser(str(self.data))))
            Mnist(self.data).load()


def jobs(options: Options) -> list[Job]:
    """A job for each recipe and seed; those whose data are missing say which."""
    return [
        _job(name, seed, options.data or "")
        for name in options.names
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def _job(name: str, seed: int, data: str) -> Job:
    recipe = find(name)
    setting = recipe.setting(data=bool(data))
    given = data if recipe.needs else ""
    # Data are the same wherever they lie.
    identity = str(Mnist(given).identity) if given else ""
    label = NEEDS if setting is None else "smaller" if setting is recipe.smaller else "whole"
    return Job(
        about={"recipe": name, "setting": label, "seed": seed},
        work=measured,
        arguments=(name, seed, given),
        depends=digest(f"plausibench.bench.studies.replications.{name}", components=True),
        reason=f"it needs data; {missing(recipe)}" if setting is None else "",
        stands_for=(name, seed, identity),
    )


REPLICATIONS = Study(
    name="replications",
    summary="published figures and ours beside them",
    options=Options,
    keys=("recipe", "setting", "seed", "what"),
    jobs=jobs,
    report="plausibench.bench.studies.replications.report:report",
)

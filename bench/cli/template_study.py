"""The commented plug-in that ``plausibench new-study`` writes: a study that runs at once."""

from pathlib import Path

from plausibench.bench.cli.template import check_form, fill, write_new
from plausibench.bench.studies.study import names
from plausibench.kernels.errors import InputError, show

TEMPLATE = '''"""@NAME@: a study of my own.

    plausibench run @NAME@ --plugin @FILE@
    plausibench table results/@NAME@ --plugin @FILE@

As written it measures the variance of two rules. Change Options, jobs() and measured(), and run the
first line again: --resume, --shard, --scheduler and --jobs work as for every study.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plausibench.bench.measuring.measurement import measure
from plausibench.bench.report.render import Table
from plausibench.bench.report.style import Picture
from plausibench.bench.running.job import Job
from plausibench.bench.components.selectors import select
from plausibench.bench.studies.study import Study
from plausibench.bench.components.networks import build_network
from plausibench.kernels.errors import integer


@dataclass(frozen=True)  # fields are options: --samples 128, or --set width=16 without a flag
class Options:
    rules: tuple[str, ...] = ("node_perturbation", "weight_perturbation")
    width: int = 8
    samples: int = 64
    seeds: int = 3
    seed: int = 0

    def __post_init__(self):  # refuses other values in one sentence, before anything is computed
        integer("width", self.width, least=1)
        integer("samples", self.samples, least=40)
        integer("seeds", self.seeds, least=1)
        for rule in self.rules:
            select("rule", rule).make()


# What is independent is a job of its own: its identity, a function of this file, and its arguments.
# What a job finds may depend on nothing else.
def jobs(options):
    return [
        Job({"rule": rule, "seed": seed}, measured, (rule, options.width, options.samples, seed))
        for rule in options.rules
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def measured(rule, width, samples, seed):
    task = select("task", "teacher_student").make()
    network = build_network("mlp", task, (width,), seed)
    objective = select("objective", "mean_squared_error").make()
    batch = task.batch(16, seed=seed)
    found = measure(select("rule", rule).make(), network, objective, batch, samples, seed)
    for row in found.rows:
        if row["projection"] == "all" and row["quantity"] in ("bias_squared", "variance"):
            # Text, numbers and truth values; the identity of the job comes before them.
            yield {"quantity": row["quantity"], "value": row["value"]}


# From the rows of all jobs to tables by name, and pictures.
def report(frame):
    means = frame.groupby(["rule", "quantity"], sort=False)["value"].mean().unstack().reset_index()
    cells = means.map(lambda cell: cell if isinstance(cell, str) else f"{cell:.3g}")
    best = pd.DataFrame(False, index=cells.index, columns=cells.columns)
    notes = ("Means over seeds, relative to the squared gradient.",)
    table = Table("@NAME@", cells, best, raw=means, keys=1, notes=notes)
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(len(means)), means["variance"], tick_label=means["rule"])
    axes.set_ylabel("variance / |gradient|²")
    return {"@NAME@": table}, [Picture("@NAME@", figure, "Variance, mean over seeds.")]


@UPPER@ = Study(
    name="@NAME@",
    summary="variance of rules",
    options=Options,
    keys=("rule", "seed", "quantity"),  # columns that tell rows apart; compare goes by them
    jobs=jobs,
    report=f"{__name__}:report",
)
'''


def write_study(name: str, out: Path, *, force: bool = False) -> Path:
    """Write the plug-in file of a new study, and return its path.

    Parameters
    ----------
    name
        Of the study, for example ``my_study``.
    out
        The file, or a folder that gets ``<name>.py``.
    force
        Whether to replace a file that is there.

    Raises
    ------
    InputError
        If the name cannot be used, or the file is there or cannot be written.
    """
    check_form(name)
    if name in names():
        raise InputError(
            f"name: {show(name)} is taken by a study ({names()[name]}); choose another, such as "
            f"'my_{name}'"
        )
    return write_new(name, out, lambda file: fill(TEMPLATE, name, file), force=force)

"""Tags: what a trial leaves behind in synapses."""

from dataclasses import dataclass

from plausibench.bench.experiments import tags
from plausibench.bench.running.job import Job
from plausibench.bench.studies.study import Study
from plausibench.kernels.errors import integer


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        Selectors of rules that learn from one action.
    samples
        Trials of each seed, at least 20.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, trials and actions.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule has no action to choose.
    """

    rules: tuple[str, ...] = tags.RULES
    samples: int = 200
    seeds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=20)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for rule in self.rules:
            tags.cell(rule, self.seed)


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed."""
    return [
        Job({"rule": rule, "seed": seed}, tags.rows_of, (rule, options.samples, seed))
        for rule in options.rules
        for seed in range(options.seed, options.seed + options.seeds)
    ]


TAGS = Study(
    name="tags",
    summary="what a trial leaves behind in synapses, and what the reward makes of it",
    options=Options,
    keys=("rule", "seed", "quantity"),
    jobs=jobs,
    report="plausibench.bench.experiments.tags:report",
)

"""The pilot of a precision: what every rule needs at every cell, a trajectory a job."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.studies.benchmark.precision import Pilot, pilots
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import alone, sources
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.study import Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Spec):
    """The specification of what is to be measured.

    Parameters
    ----------
    timed
        Whether to time the draws, for a budget of time.
    """

    timed: bool = False

    @classmethod
    def to(cls, spec: Spec, *, timed: bool) -> "Options":
        """Those of a specification, without its draws, which the pilot finds."""
        return cls(**{**spec.as_dict(), "samples_of": {}, "timed": timed})


def jobs(options: Options) -> list[Job]:
    """A job for each trajectory with all its checkpoints."""
    return [
        Job(
            about=unit.identity(),
            work=measured,
            arguments=(unit, _alone(unit, options), options.timed),
            depends=sources(unit, measured),
            cost=select("rule", unit.rule).make().card.forward_passes,
            reason=unit.reason or "",
        )
        for unit in units(options)
    ]


def _alone(unit: Unit, options: Options) -> Spec:
    """The specification of a trajectory, without the draws and the precision of a measurement."""
    return replace(
        alone(unit, options), samples=1, marginal_samples=1, averaging_samples=1, precision=0.0
    )


def measured(unit: Unit, spec: Spec, timed: bool) -> Iterator[dict[str, Any]]:
    """A row for each checkpoint of a rule that is sampled."""
    for step, pilot in pilots(unit, spec):
        row = {
            "step": step,
            "spread": pilot.spread,
            "along": pilot.along,
            "operations": pilot.operations,
            "fewest": pilot.fewest,
        }
        yield {**row, "seconds": pilot.seconds} if timed else row


def pilots_of(rows: "pd.DataFrame") -> list[Pilot]:
    """Pilots from the rows of all jobs."""
    columns = ["rule", "spread", "along", "operations", "fewest"]
    columns += ["seconds"] if "seconds" in rows else []
    # Without a row, as of rules that are not sampled, there are no such columns.
    return [Pilot(*values) for values in rows[columns].itertuples(index=False)] if len(rows) else []


PILOT = Study(
    name="pilot",
    summary="what a precision of the benchmark takes: the noise of every rule at every cell",
    options=Options,
    keys=("task", "architecture", "objective", "rule", "seed", "protocol", "step"),
    jobs=jobs,
    report="plausibench.bench.studies.pilot.report:report",
)

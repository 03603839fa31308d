"""The pilot as a study: kept, and it finds the draws that it finds in this process."""

import numpy as np
import pytest

from plausibench.bench.running.executor import Processes
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.precision import resolve, resolved
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.pilot.report import PRECISIONS, report
from plausibench.bench.studies.pilot.study import PILOT, Options, jobs, pilots_of
from plausibench.bench.studies.run import run
from plausibench.kernels.errors import InputError

SPEC = Spec(
    tasks=("teacher_student",),
    architectures=("mlp",),
    objectives=("mean_squared_error",),
    rules=("feedback_alignment", "weight_perturbation", "node_perturbation[sigma=2]"),
    hidden=(4,),
    protocols=("shared",),
    checkpoints=(0, 2),
    seeds=2,
    precision=0.2,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    (run_of_pilot,) = run(PILOT, Options.to(SPEC, timed=False), tmp_path_factory.mktemp("pilot"))
    return run_of_pilot


def test_finds_the_draws_that_are_found_in_this_process(found):
    assert resolved(SPEC, pilots_of(found.frame)) == resolve(SPEC, 0.2)
    assert set(found.frame["rule"]) == set(SPEC.rules) - {"feedback_alignment"}


@pytest.mark.acceptance
def test_is_the_same_in_processes(found, tmp_path):
    (other,) = run(PILOT, Options.to(SPEC, timed=False), tmp_path, executor=Processes(2))
    assert other.frame.equals(found.frame)
    assert "seconds" not in found.frame


def test_is_kept(found):
    again = []
    run(
        PILOT,
        Options.to(SPEC, timed=False),
        found.path,
        on_done=lambda job, *_: again.append(job),
    )
    assert again == []
    assert PILOT.choose(Run.open(found.path).options) == Options.to(SPEC, timed=False)


def test_does_not_depend_on_the_draws_of_the_measurement():
    """Nor on the precision: another one takes no other pilot."""
    first = jobs(Options.to(SPEC, timed=False))
    other = SPEC.with_values(precision=0.05, samples=77, samples_of={"weight_perturbation": 9})
    assert [job.key for job in first] == [job.key for job in jobs(Options.to(other, timed=False))]
    for changed in ({"hidden": (5,)}, {"batch_size": 16}, {"checkpoints": (0, 3)}):
        some = jobs(Options.to(SPEC.with_values(**changed), timed=False))
        assert not {job.key for job in first} & {job.key for job in some}


def test_a_budget_of_time_is_timed(tmp_path):
    spec = SPEC.with_values(rules=("weight_perturbation",), checkpoints=(0,), seeds=1)
    (timed,) = run(PILOT, Options.to(spec, timed=True), tmp_path)
    assert (timed.frame["seconds"] > 0).all()
    assert resolved(spec, pilots_of(timed.frame), 3600.0).samples_of
    with pytest.raises(InputError, match="budget: 1e-06s is less than"):
        resolved(spec, pilots_of(timed.frame), 1e-6)


def test_rules_without_noise_need_no_draws(tmp_path):
    spec = SPEC.with_values(rules=("feedback_alignment",))
    (done,) = run(PILOT, Options.to(spec, timed=False), tmp_path)
    assert done.frame.empty
    assert resolved(spec, pilots_of(done.frame)).samples_of == {}


def test_the_report_says_what_a_precision_takes(found):
    (table,) = report(found.frame)[0].values()
    column = table.cells[f"{PRECISIONS[0]:g}"].str.replace(",", "").astype(int)
    draws = resolve(SPEC, PRECISIONS[0]).samples_of
    assert dict(zip(table.cells["rule"], column, strict=True)) == draws
    counts = [int(cell.replace(",", "")) for cell in table.cells.iloc[-1, 1:]]
    # The fewest allowed suffice for the coarse ones.
    assert (np.diff(counts) >= 0).all()
    assert counts[-1] > counts[0]

"""What a report that lacks results says."""

import pytest

from plausibench.bench.running import driver
from plausibench.bench.running.job import Job
from plausibench.bench.studies import reading
from plausibench.bench.studies.study import Study
from plausibench.kernels.errors import InputError


def half(seed):
    if seed:
        raise RuntimeError("a choice of the test")
    yield {"value": 1.0}


def report(frame):
    raise KeyError("seed 1")


STUDY = Study("half", "half of it fails", Study, ("seed",), list, f"{__name__}:report")


@pytest.mark.parametrize(("due", "said"), [(2, r"seed 1'\)$"), (3, "2 of 3 jobs .* finished")])
def test_what_a_report_lacks_is_told_in_one_sentence(tmp_path, monkeypatch, due, said):
    monkeypatch.setattr(reading, "study_of", lambda run: STUDY)
    jobs = [Job({"seed": seed}, half, (seed,)) for seed in range(due)]
    run = driver.run("half", {}, jobs, tmp_path)
    if due > 2:
        run.file(jobs[2].key).unlink()
    with pytest.raises(InputError, match=f"^run: .* lacks results .*{said}"):
        reading.reported(type(run).open(tmp_path))

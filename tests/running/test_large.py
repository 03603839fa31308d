"""A run of very many jobs, as a directory has to hold them."""

import os
import time

import pytest

from plausibench.bench.running import driver
from plausibench.bench.running.store import Run
from toy_jobs import job

JOBS = 100_000


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_jobs(tmp_path, monkeypatch, record_figure):
    """Of two rows each. Durability is left out: it takes what the disk takes, job by job."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    listed = [job(number) for number in range(JOBS)]
    taken = {}

    def timed(what, call):
        started = time.perf_counter()
        found = call()
        taken[what] = time.perf_counter() - started
        record_figure(f"100 000 jobs: {what}, seconds", taken[what], "seconds")
        return found

    timed("computed and written", lambda: driver.run("toy", {}, listed, tmp_path / "run"))
    run = timed("opened", lambda: Run.open(tmp_path / "run"))
    assert timed("counted", lambda: run.finished) == JOBS
    assert len(timed("table", lambda: run.frame)) == 2 * JOBS
    assert len(timed("table of jobs", lambda: run.jobs)) == JOBS
    assert timed("origins", run.remarks) == []
    timed("resumed with nothing to do", lambda: driver.run("toy", {}, listed, run.path))
    assert taken["counted"] < 10
    assert taken["table"] < 60

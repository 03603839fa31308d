"""Nothing is lost or done twice: driver and workers are killed at random moments."""

import textwrap
from pathlib import Path

import pytest

from kills import SAYING, faults_of
from plausibench.bench.running import driver
from toy_jobs import files, job, slow

JOBS = 24
SCRIPT = SAYING + textwrap.dedent(f"""
    import sys
    from plausibench.bench.running import driver
    from plausibench.bench.running.executor import IN_PROCESS, Processes
    from toy_jobs import job, slow
    if __name__ == "__main__":
        jobs = [job(number, slow, 0.02) for number in range({JOBS})]
        executor = Processes(2) if sys.argv[2] == "2" else IN_PROCESS
        driver.run("toy", {{}}, jobs, sys.argv[1], executor, on_done=on_done)
""")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Of one process, never interrupted."""
    listed = [job(number, slow, 0.02) for number in range(JOBS)]
    return driver.run("toy", {}, listed, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
class TestKills:
    def test_a_few_times_nothing_is_lost(self, tmp_path, whole, record_figure):
        faults, _ = faults_of(SCRIPT, tmp_path, whole, kills=4, seed=1)
        record_figure("jobs lost, changed or doubled by 4 kills of driver or worker", faults, "0")
        assert faults == 0

    @pytest.mark.acceptance
    @pytest.mark.timeout(3600)
    def test_two_hundred_times_nothing_is_lost(self, tmp_path, whole, record_figure):
        faults, finished = faults_of(SCRIPT, tmp_path, whole, kills=200, seed=2)
        record_figure("jobs lost, changed or doubled by 200 kills", faults, "0")
        assert faults == 0
        assert finished >= 10


def test_what_an_interruption_leaves_is_no_record(whole):
    assert set(files(whole)) == {f"{key}.json" for key in whole.due}

"""Processes that compute jobs: they end with their driver, and may die."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

import toy_jobs
from plausibench.bench.components import registry
from plausibench.bench.running import driver, executor
from plausibench.bench.running.executor import KILLED, Processes
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError
from toy_jobs import job

TESTS = str(Path(__file__).parent.parent)

PLUGIN = """\
from plausibench.bench.running.job import Job

def work(number):
    return [{"value": number}]

JOBS = [Job({"number": number}, work, (number,)) for number in range(3)]
"""


def statuses(path, listed, count=2, **options):
    found = driver.run("toy", {}, listed, path, Processes(count), **options)
    return found.jobs["status"].tolist()


class TestDeath:
    def test_of_a_process_at_the_first_job_that_kills_it_is_its_failure(self, tmp_path):
        listed = [job(number) for number in range(6)]
        listed[1] = job(1, toy_jobs.killed)
        found = driver.run("toy", {}, listed, tmp_path / "run", Processes(2))
        assert found.jobs["status"].tolist() == ["done", "failed", "done", "done", "done", "done"]
        assert found.jobs["reason"][1] == KILLED.reason
        assert found.origins[listed[1].key].keys() == {"seconds", "command"}

    def test_by_accident_fails_no_job(self, tmp_path):
        listed = [job(number) for number in range(6)]
        listed[1] = job(1, toy_jobs.killed_once, str(tmp_path / "mark"))
        assert statuses(tmp_path / "run", listed) == ["done"] * 6

    @pytest.mark.parametrize("count", [1, 2])
    def test_of_every_job_fails_every_job(self, tmp_path, count):
        listed = [job(number, toy_jobs.killed) for number in range(2)]
        assert statuses(tmp_path / "run", listed, count) == ["failed"] * 2

    def test_at_the_start_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(executor, "_start_worker", toy_jobs.killed_at_start)
        with pytest.raises(InputError, match="a worker process cannot start"):
            statuses(tmp_path / "run", [job(0), job(1)])


def test_several_processes_share_the_work(tmp_path):
    listed = [job(number, toy_jobs.process) for number in range(30)]
    found = driver.run("toy", {}, listed, tmp_path / "run", Processes(2)).frame
    assert 1 <= found["process"].nunique() <= 2
    assert os.getpid() not in set(found["process"])


@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_no_process_is_refused(count):
    with pytest.raises(InputError, match="jobs: "):
        Processes(count)


def test_plugins_are_loaded_where_jobs_are_computed(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    listed = registry.import_plugin(path).JOBS
    assert statuses(tmp_path / "run", listed, plugins=[str(path)]) == ["done"] * 3
    assert Run.open(tmp_path / "run").plugins == (str(path),)


def test_an_edited_plugin_has_other_jobs(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    before = [one.key for one in registry.import_plugin(path).JOBS]
    path.write_text(PLUGIN.replace("number}]", "number + 1}]"))
    after = registry.import_plugin(path).JOBS
    assert not set(before) & {one.key for one in after}


SCRIPT = textwrap.dedent("""
    import sys
    from plausibench.bench.running import driver
    from plausibench.bench.running.executor import Processes
    from toy_jobs import job, slow
    if __name__ == "__main__":
        def on_done(job, outcome, done, total):
            print(done, flush=True)
        jobs = [job(0), job(1), job(2, slow, 100)]  # one process is busy, one waits
        driver.run("toy", {}, jobs, sys.argv[1], Processes(2), on_done=on_done)
""")


def workers_of(pid):
    """Spawned workers of a driver, without the process that tracks its resources."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def gone(pid):
    """Whether a process has ended, if only its parent knew."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_driver(tmp_path, end):
    """Killed, or interrupted as from a terminal, where all processes get the signal."""
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "script.py", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": TESTS},
        start_new_session=True,
    ) as running:
        assert [running.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        workers = workers_of(running.pid)
        assert len(workers) == 2
        os.killpg(running.pid, end) if end == signal.SIGINT else running.kill()
        stderr = running.stderr.read()
        running.wait()
    deadline = time.monotonic() + 30
    while not all(map(gone, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(gone, workers))
    assert stderr.count("Traceback") == (1 if end == signal.SIGINT else 0)
    assert "KeyboardInterrupt" in stderr or end == signal.SIGKILL
    assert Run.open(tmp_path / "run").finished == 2


@pytest.mark.parametrize("masks", [True, False])
def test_an_interruption_is_the_affair_of_the_driver(tmp_path, monkeypatch, masks):
    """Also where systems have no masks of signals."""
    if not masks:
        monkeypatch.delattr(signal, "pthread_sigmask")
        monkeypatch.setattr(resource_tracker, "_HAVE_SIGMASK", False)
    assert statuses(tmp_path / "run", [job(0, toy_jobs.interrupting)]) == ["done"]


def test_the_environment_is_as_it_was(tmp_path):
    before = dict(os.environ)
    statuses(tmp_path / "run", [job(0)])
    assert dict(os.environ) == before


def test_jobs_are_asked_for_as_processes_are_free(tmp_path):
    """So that what others have done meanwhile is left out."""
    asked = []

    def todo():
        for number in range(20):
            asked.append(number)
            yield job(number)

    outcomes = Processes(2).outcomes(todo())
    for done in range(1, 5):
        next(outcomes)
        assert len(asked) <= 4 + done
    outcomes.close()

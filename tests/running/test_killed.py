"""Nothing is lost: driver and workers are killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from plausibench.bench.running import driver
from plausibench.bench.running.store import Run
from toy_jobs import files, job, slow

JOBS = 24
SCRIPT = textwrap.dedent(f"""
    import sys
    from plausibench.bench.running import driver
    from plausibench.bench.running.executor import IN_PROCESS, Processes
    from toy_jobs import job, slow
    if __name__ == "__main__":
        def on_done(job, outcome, done, total):
            print(job.key, outcome.status, flush=True)
        jobs = [job(number, slow, 0.02) for number in range({JOBS})]
        executor = Processes(2) if sys.argv[2] == "2" else IN_PROCESS
        driver.run("toy", {{}}, jobs, sys.argv[1], executor, on_done=on_done)
""")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Of one process, never interrupted."""
    listed = [job(number, slow, 0.02) for number in range(JOBS)]
    return driver.run("toy", {}, listed, tmp_path_factory.mktemp("whole") / "run")


def kept(folder):
    """Records of a run directory that is there or not."""
    records = folder / "records"
    listed = records.glob("[!.]*") if records.is_dir() else ()
    return {file.name: file.read_bytes() for file in listed}


def children(pid):
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in listed}
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [one for one, command in commands.items() if b"spawn_main" in command]


def killed_once(place, folder, choice):
    """Run a driver and kill it, or a worker of it, at a random moment.

    Returns whether something was killed, and the keys of what the driver said it had finished.
    """
    processes = choice.choice("12")
    victim = "driver" if processes == "1" else choice.choice(["driver", "worker"])
    after, delay = choice.randrange(12), choice.uniform(0, 0.05)
    with subprocess.Popen(
        [sys.executable, "script.py", str(folder), processes],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as running:
        said = [running.stdout.readline() for _ in range(after)]
        time.sleep(delay)
        victims = [running.pid] if victim == "driver" else children(running.pid)
        killed = bool(victims) and running.poll() is None
        if killed:
            os.kill(choice.choice(victims), signal.SIGKILL)
        said += running.stdout.readlines()
        complaint = running.stderr.read()
    if killed and victim == "worker" and running.returncode == 1:
        assert "jobs: a worker process cannot start" in complaint  # it was killed while it did
    else:
        assert running.returncode in ((0, -signal.SIGKILL) if victim == "driver" else (0,))
    return killed, [line.split() for line in said if line.endswith("\n")]


def faults_of(place, whole, kills, seed):
    """Kill until ``kills`` have hit; number of jobs that were lost or changed, and of runs."""
    choice = random.Random(seed)
    (place / "script.py").write_text(SCRIPT)
    right, hits, faults, number = kept(whole.path), 0, 0, 0
    while hits < kills:
        folder = place / f"run{number}"
        before = kept(folder)
        killed, said = killed_once(place, folder, choice)
        hits += killed
        after = kept(folder)
        faults += sum(after.get(name) != content for name, content in before.items())
        faults += sum(f"{key}.json" not in after for key, status in said if status == "done")
        faults += sum(right.get(name) != content for name, content in after.items())
        number += len(after) == JOBS
    last = place / f"run{number}"
    subprocess.run(
        [sys.executable, "script.py", str(last), "1"],
        cwd=place,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
    )
    for done in range(number + 1):
        run = Run.open(place / f"run{done}")
        assert kept(run.path) == right
        assert run.frame.equals(whole.frame)
    return faults, number + 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
class TestKilled:
    def test_a_few_times_nothing_is_lost(self, tmp_path, whole, record_figure):
        faults, _ = faults_of(tmp_path, whole, kills=4, seed=1)
        record_figure("jobs lost or changed by 4 kills of driver or worker", faults, "0")
        assert faults == 0

    @pytest.mark.acceptance
    @pytest.mark.timeout(3600)
    def test_two_hundred_times_nothing_is_lost(self, tmp_path, whole, record_figure):
        faults, finished = faults_of(tmp_path, whole, kills=200, seed=2)
        record_figure("jobs lost or changed by 200 kills of driver or worker", faults, "0")
        assert faults == 0
        assert finished >= 10


def test_what_an_interruption_leaves_is_no_record(whole):
    assert set(files(whole)) == {f"{key}.json" for key in whole.due}

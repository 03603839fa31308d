"""Nothing is lost: processes are killed at random moments, and disks fill up."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from plausibench.bench.store import Run, encode
from plausibench.bench.sweep import run
from sweeps import TINY, results

DRIVER = """
import sys
from pathlib import Path
from plausibench.bench.spec import Spec
from plausibench.bench.sweep import run

if __name__ == "__main__":
    def on_done(record, done, total):
        print(record["key"], record["status"], flush=True)
    run(Spec.read(Path("spec.toml")), sys.argv[1], jobs=2, on_done=on_done)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep in one process, never interrupted."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


def children(pid):
    """Processes just below a process, as Linux lists them."""
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def workers_of(pid):
    """Spawned workers of a driver, without the process that tracks its resources."""
    found = []
    for child in children(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"spawn_main" in command:
            found.append(child)
    return found


def kept_lines(folder):
    """Whole lines of the records of a run directory."""
    file = folder / "results" / "driver.jsonl"
    content = file.read_bytes() if file.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines()


def killed_once(place, folder, choice):
    """Run a driver and kill it, or a worker of it, at a random moment.

    Returns whether something was killed, and what the driver said it had finished.
    """
    victim = choice.choice(["driver", "worker"])
    after, delay = choice.randrange(4), choice.uniform(0, 0.15)
    arguments = [sys.executable, "driver.py", str(folder)]
    killed, said = False, []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, cwd=place, **pipes) as driver:
        if after == 0:
            delay += choice.uniform(0, 3)  # while it starts
        for line in driver.stdout if after else ():
            said.append(line.split())
            if len(said) == after:
                break
        time.sleep(delay)
        victims = [driver.pid] if victim == "driver" else workers_of(driver.pid)
        if victims and driver.poll() is None:
            os.kill(choice.choice(victims), signal.SIGKILL)
            killed = True
        said += [line.split() for line in driver.stdout]
        complaint = driver.stderr.read()
    if killed and victim == "worker" and driver.returncode == 1:
        assert "jobs: a worker process cannot start" in complaint  # it was killed while it did
    else:
        assert driver.returncode in ((0, -signal.SIGKILL) if victim == "driver" else (0,))
    return killed, said


def survives(place, whole, kills, seed):
    """Kill until ``kills`` have hit.

    Returns how many runs were brought to their end, and how many cells were lost or doubled.
    """
    choice = random.Random(seed)
    (place / "driver.py").write_text(DRIVER)
    TINY.write(place / "spec.toml")
    hits, finished, faults = 0, 0, 0
    while hits < kills:
        folder = place / f"run{finished}"
        before = kept_lines(folder)
        killed, said = killed_once(place, folder, choice)
        hits += killed
        after = kept_lines(folder)
        assert after[: len(before)] == before  # nothing recorded is touched
        found = [json.loads(line) for line in after]
        done = Counter(record["key"] for record in found if record["status"] != "failed")
        faults += sum(done.values()) - len(done)  # twice
        faults += len({key for key, status in said if status == "done"} - set(done))  # lost
        if len(done) == len(whole.units):
            assert_whole(Run.open(folder), whole)
            finished += 1
    last = run(TINY, place / f"run{finished}")
    assert_whole(last, whole)
    return finished + 1, faults


def assert_whole(found, whole):
    """The same final records, byte for byte, and the same table."""
    assert b"".join(map(encode, found.records())) == results(whole)
    assert found.frame.equals(whole.frame)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
class TestKilled:
    """Clocks do not matter: no record, key, lock or order of records holds or reads a time."""

    def test_ten_times_loses_and_doubles_nothing(self, tmp_path, whole, record_figure):
        finished, faults = survives(tmp_path, whole, kills=10, seed=1)
        record_figure("cells lost or doubled by 10 kills of driver or worker", faults, "0")
        assert faults == 0
        assert finished >= 1

    @pytest.mark.acceptance
    def test_two_hundred_times_loses_and_doubles_nothing(self, tmp_path, whole, record_figure):
        finished, faults = survives(tmp_path, whole, kills=200, seed=2)
        record_figure("cells lost or doubled by 200 kills of driver or worker", faults, "0")
        assert faults == 0
        assert finished >= 10


def test_records_hold_no_time(whole):
    """So that a clock that is set back, or differs between machines, changes nothing."""
    for record in whole.records():
        assert set(record) == {"key", "unit", "status", "reason", "rows"}
        assert not any(
            "time" in name or "seconds" in name for row in record["rows"] for name in row
        )


@pytest.mark.parametrize("room", [0, 1, 700, 40_000])
def test_a_full_disk_is_said_and_damages_nothing(tmp_path, whole, room):
    """A limit on the size of files stands in for it: a write is cut short, the next one fails."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from plausibench.bench.spec import Spec
        from plausibench.bench.sweep import run
        from plausibench.kernels.errors import InputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        def on_done(record, done, total):
            if done == 3:
                size = Path("run/results/driver.jsonl").stat().st_size + int(sys.argv[1])
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            run(Spec.read(Path("spec.toml")), "run", on_done=on_done)
        except InputError as error:
            sys.exit(str(error))
    """)
    TINY.write(tmp_path / "spec.toml")
    done = subprocess.run(
        [sys.executable, "-c", script, str(room)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("out: 'run' cannot be written (")
    assert done.stderr.count("\n") == 1
    kept = Run.open(tmp_path / "run").records()
    assert 3 <= len(kept) < len(whole.units)
    assert results(whole).startswith(b"".join(map(encode, kept)))
    assert_whole(run(TINY, tmp_path / "run"), whole)
    assert results(Run.open(tmp_path / "run")) == results(whole)

"""Runs of a script that are killed at random moments: what they lose, change or do twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from plausibench.bench.running.store import Run

SAYING = """
def on_done(job, outcome, done, total):
    print(job.key, outcome.status, flush=True)
"""
"""What a script says of each job."""


def kept(folder):
    """Records of a run directory that is there or not."""
    records = folder / "records"
    listed = records.glob("[!.]*") if records.is_dir() else ()
    return {file.name: file.read_bytes() for file in listed}


def faults_of(script, place, whole, kills, seed):
    """Kill a driver, or a worker of it, until so many kills have hit.

    The script takes a run directory and the number of processes; it runs what the run ``whole``,
    which was never interrupted, has, and says what is done by ``SAYING``. In ``place`` one run
    directory after another is finished by it, and all of them are compared with the whole.

    Returns the number of jobs that were lost, changed or done twice, and of runs.
    """
    choice = random.Random(seed)
    (place / "script.py").write_text(script)
    right, hits, faults, number = kept(whole.path), 0, 0, 0
    while hits < kills:
        folder = place / f"run{number}"
        before = kept(folder)
        killed, said = _run_and_kill(place, folder, len(right), choice)
        hits += killed
        after = kept(folder)
        faults += sum(after.get(name) != content for name, content in before.items())
        faults += sum(f"{key}.json" not in after for key, status in said if status == "done")
        faults += sum(f"{key}.json" in before for key, _ in said)
        faults += sum(right.get(name) != content for name, content in after.items())
        number += len(after) == len(right)
    last = place / f"run{number}"
    subprocess.run(_command(last, "1"), cwd=place, check=True, env=_surroundings())
    table = whole.frame.to_csv()
    for done in range(number + 1):
        run = Run.open(place / f"run{done}")
        assert kept(run.path) == right
        assert run.frame.to_csv() == table
    return faults, number + 1


def _run_and_kill(place, folder, jobs, choice):
    """Whether something was killed, and what the driver said of each job that it did."""
    processes = choice.choice("12")
    victim = "driver" if processes == "1" else choice.choice(["driver", "worker"])
    after, delay = choice.randrange(jobs // 2), choice.uniform(0, 0.05)
    with subprocess.Popen(
        _command(folder, processes),
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_surroundings(),
    ) as running:
        said = [running.stdout.readline() for _ in range(after)]
        time.sleep(delay)
        victims = [running.pid] if victim == "driver" else _workers(running.pid)
        killed = bool(victims) and running.poll() is None
        if killed:
            os.kill(choice.choice(victims), signal.SIGKILL)
        said += running.stdout.readlines()
        complaint = running.stderr.read()
    if killed and victim == "worker" and running.returncode == 1:
        assert "jobs: a worker process cannot start" in complaint  # it was killed while it did
    else:
        expected = (0, -signal.SIGKILL) if victim == "driver" else (0,)
        assert running.returncode in expected, complaint
    return killed, [line.split() for line in said if line.endswith("\n")]


def _command(folder, processes):
    return [sys.executable, "script.py", str(folder), processes]


def _surroundings():
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _workers(pid):
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in listed}
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for child, command in commands.items() if b"spawn_main" in command]

"""Jobs that take no time, for the tests of what runs jobs."""

import os
import signal
import time
from pathlib import Path

from plausibench.bench.running.job import Job
from plausibench.kernels.errors import Divergence


def squares(number, count=2):
    """Rows of a number."""
    for power in range(1, count + 1):
        yield {"power": power, "value": float(number) ** power, "low": float("nan")}


def remarked(number):
    yield {"power": 0, "value": 1.0}
    return "unfit  for\nmuch"


def diverging(number):
    yield {"power": 0, "value": 1.0}
    raise Divergence("the weights overflow")


def failing(number):
    yield {"power": 0, "value": 1.0}
    raise ValueError("no  luck")


def interrupted(number):
    raise KeyboardInterrupt


def interrupting(number):
    signal.raise_signal(signal.SIGINT)
    return list(squares(number))


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_start(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(number, file):
    """Take the process down, but not a second time."""
    if not Path(file).exists():
        Path(file).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return list(squares(number))


def failing_once(number, file):
    if not Path(file).exists():
        Path(file).write_text("")
        raise ValueError("no luck")
    return list(squares(number))


def slow(number, seconds):
    time.sleep(seconds)
    return list(squares(number, 20))


def process(number):
    return [{"process": os.getpid()}]


def job(number, work=squares, *arguments, **options):
    """A job about a number."""
    return Job({"number": number}, work, (number, *arguments), depends="toy", **options)


def jobs(count=5):
    return [job(number, cost=float(number % 3)) for number in range(count)]


def due(listed):
    """What a directory has to know of jobs."""
    return {one.key: one.about for one in listed}


def files(run, folder="records"):
    """Every file of a folder of a run, drafts included."""
    return {file.name: file.read_bytes() for file in (run.path / folder).iterdir()}

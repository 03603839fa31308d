"""Steps of training, timed beside an eager loop in PyTorch in turns; peak memory of measurements.

Data, loss, optimiser and update are part of a step, as users write them there. ``processor`` is the
time of all threads together: it holds on a machine that does other things too.
"""

import itertools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from plausibench import bench
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import trajectory

IMAGE = {
    "shape": (28, 28),
    "channels": (16, 32),
    "kernel": 3,
    "stride": 1,
    "padding": 0,
    "outputs": 10,
}
NETWORKS = {
    "64-32-32-10": [64, 32, 32, 10],
    "784-256-128-10": [784, 256, 128, 10],
    "784-1024-1024-10": [784, 1024, 1024, 10],
    "convolutions": None,
}
SIZE, RATE = 32, 1e-3


@dataclass(frozen=True)
class Numbers(Task):
    """Random inputs and classes."""

    name: ClassVar[str] = "numbers"
    summary: ClassVar[str] = "random inputs and classes, to be timed"
    kind: ClassVar[str] = "classification"
    inputs: int = 784

    @property
    def inputs_size(self):
        """Of random numbers."""
        return self.inputs

    @property
    def outputs_size(self):
        """Of ten classes."""
        return 10

    def load(self):
        """1024 examples to train with."""
        random = np.random.default_rng(0)
        return tuple(
            bench.Batch(random.standard_normal((n, self.inputs)), random.integers(0, 10, n))
            for n in (1024, SIZE)
        )


def network_of(kind):
    """Network by its name above."""
    if NETWORKS[kind] is None:
        return bench.make("architecture", "convolutional", **IMAGE)
    return bench.make("architecture", "mlp", sizes=NETWORKS[kind])


def ours(kind, rule, optimiser, dtype, steps):
    """Function that takes so many steps."""
    network = network_of(kind)
    parts = (network, bench.make("objective", "cross_entropy"), Numbers(network.inputs))
    course = trajectory(
        *(2 * (bench.make("rule", rule),)),
        *parts,
        make_optimiser(optimiser, RATE),
        range(0, 10**7, steps),
        SIZE,
        0,
        dtype=dtype,
    )
    return lambda: next(course)


def theirs(torch, kind, optimiser, dtype, steps):
    """Function that takes so many steps there."""
    nn, kept = torch.nn, getattr(torch, dtype)
    if NETWORKS[kind] is None:
        layers = [nn.Conv2d(1, 16, 3), nn.Tanh(), nn.Conv2d(16, 32, 3), nn.Tanh(), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(32 * 24 * 24, 10)).to(kept)
    else:
        pairs = itertools.pairwise(NETWORKS[kind])
        layers = [part for pair in pairs for part in (nn.Linear(*pair), nn.Tanh())][:-1]
        model = nn.Sequential(*layers).to(kept)
    data = Numbers(network_of(kind).inputs).train
    inputs, classes = torch.tensor(data.inputs).to(kept), torch.tensor(data.targets)
    if NETWORKS[kind] is None:
        inputs = inputs.reshape(-1, 1, 28, 28)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    descent, loss = kinds[optimiser](model.parameters(), RATE), nn.CrossEntropyLoss()

    def batches():
        while True:
            order = torch.randperm(len(inputs))
            for first in range(0, len(inputs), SIZE):
                rows = order[first : first + SIZE]
                yield inputs[rows], classes[rows]

    endless = batches()

    def run():
        for shown, wanted in itertools.islice(endless, steps):
            descent.zero_grad()
            loss(model(shown), wanted).backward()
            descent.step()

    return run


def in_turns(runs, threads, rounds, steps):
    """Least seconds a step of each, on the wall and of processors, ``(runs, 2)``."""
    best = np.full((len(runs), 2), np.inf)
    with threadpool_limits(threads):
        for number in range(2 + rounds):  # the first two begin, and compile
            for who, run in enumerate(runs):
                before = np.array([perf_counter(), process_time()])
                run()
                spent = np.array([perf_counter(), process_time()]) - before
                best[who] = np.minimum(best[who], spent / steps) if number > 1 else best[who]
    return best


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_step_beside_pytorch(benchmark, kind, optimiser, dtype, threads):
    torch = pytest.importorskip("torch")
    steps = {"64-32-32-10": 50, "784-256-128-10": 10}.get(kind, 2)
    rounds = 0 if benchmark.disabled else 30
    if benchmark.disabled and kind != "64-32-32-10":
        pytest.skip("timed by make performance")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    runs = (
        ours(kind, "backprop", optimiser, dtype, steps),
        theirs(torch, kind, optimiser, dtype, steps),
    )
    try:
        found = in_turns(runs, threads, rounds, steps)
    finally:
        torch.set_num_threads(before)
    benchmark.extra_info.update(
        step=[kind, optimiser, dtype, threads], seconds=(found.tolist() if rounds else [])
    )
    benchmark.pedantic(runs[0], rounds=1)


def test_a_step_of_node_perturbation_beside_backpropagation(benchmark):
    kind, steps = "784-256-128-10", 10
    rounds = 0 if benchmark.disabled else 30
    runs = [ours(kind, rule, "sgd", "float64", steps) for rule in ("node_perturbation", "backprop")]
    found = in_turns(runs, 1, rounds, steps)
    benchmark.extra_info.update(
        step=[f"{kind}: node perturbation beside backpropagation", "sgd", "float64", 1],
        seconds=(found.tolist() if rounds else []),
    )
    benchmark.pedantic(runs[0], rounds=1)


PEAK = """
import resource, sys
import numpy as np
from plausibench import bench
rule, dtype, samples, *sizes = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
random = np.random.default_rng(0)
def batch(inputs):
    return bench.Batch(random.standard_normal((32, inputs)), random.integers(0, 10, 32))
def measured(sizes, samples):
    network = bench.make("architecture", "mlp", sizes=sizes)
    parts = (network, bench.make("objective", "cross_entropy"), batch(sizes[0]))
    bench.measure(bench.make("rule", rule), *parts, samples=samples, threads=2, dtype=dtype)
    return network.size
measured([20, 10], 64)
with open("/proc/self/statm") as told:
    before = int(told.read().split()[1]) * resource.getpagesize()
size = measured(sizes, samples)
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, size)
"""


@pytest.mark.parametrize("draws", [64, 640])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", ["backprop", "node_perturbation", "weight_perturbation"])
def test_peak_memory_of_a_measurement(benchmark, rule, dtype, draws):
    """In a process of its own, above what it holds after a small measurement, network included."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is looked up where Linux tells it")
    if benchmark.disabled and (rule, dtype, draws) != ("weight_perturbation", "float64", 64):
        pytest.skip("measured by make performance")
    if rule == "backprop" and draws != 64:
        pytest.skip("it is drawn once")
    sizes = [20, 12, 10] if benchmark.disabled else [3072, 1024, 1024, 10]
    asked = [sys.executable, "-c", PEAK, rule, dtype, str(draws), *map(str, sizes)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    peak, size = map(int, told)
    assert size >= sum(below * above for below, above in itertools.pairwise(sizes))
    if not benchmark.disabled:
        assert peak < 700e6
        assert rule != "backprop" or dtype != "float64" or peak <= 8 * 8 * size
    benchmark.extra_info.update(peak=[rule, dtype, draws, size, peak])
    benchmark.pedantic(lambda: None, rounds=1)

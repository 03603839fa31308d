"""Steps of training, timed in turns beside PyTorch and JAX; peak memory of measurements.

PyTorch runs an eager loop, JAX a compiled step. Data, loss, optimiser and update are part of a
step, as users write them there. ``processor`` is the time of all threads together: it holds on a
machine that does other things too. JAX is timed with two threads, as it takes what it finds.
"""

import itertools
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import ClassVar

import numpy as np
import pytest
from frameworks import jax_modules
from threadpoolctl import threadpool_limits

from plausibench import bench
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import trajectory
from plausibench.kernels.threads import all_threads

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
    "rate_rnn 2-64-1, 20 steps": [2, 64, 1],
}
SIZE, RATE = 32, 1e-3
PAUSE = 0.02
"""Seconds after which the threads of the one before have stopped to wait in a busy loop."""
LEAK = 0.1
"""dt / tau of the recurrent network."""


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


def in_time(kind):
    """Whether the network is recurrent."""
    return kind.startswith("rate_rnn")


def network_of(kind):
    """Network by its name above."""
    if NETWORKS[kind] is None:
        return bench.make("architecture", "convolutional", **IMAGE)
    if in_time(kind):
        return bench.make("architecture", "rate_rnn", sizes=NETWORKS[kind], leak=LEAK)
    return bench.make("architecture", "mlp", sizes=NETWORKS[kind])


def task_of(kind):
    """What it is trained on."""
    return bench.make("task", "adding") if in_time(kind) else Numbers(network_of(kind).inputs)


def ours(kind, rule, optimiser, dtype, steps):
    """Function that takes so many steps."""
    loss = "mean_squared_error" if in_time(kind) else "cross_entropy"
    parts = (network_of(kind), bench.make("objective", loss), task_of(kind))
    course = trajectory(
        *(2 * (bench.make("rule", rule),)),
        *parts,
        make_optimiser(optimiser, RATE),
        range(0, 10**7, steps),
        SIZE,
        0,
        dtype=dtype,
    )

    def run():
        with all_threads():  # as train has it
            next(course)

    return run


def rows_of(count):
    """Rows of the batches, epoch after epoch."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(count)
        yield from (order[first : first + SIZE] for first in range(0, count - SIZE + 1, SIZE))


def in_pytorch(kind, optimiser, dtype, steps):
    """Function that takes so many steps there."""
    torch = pytest.importorskip("torch")
    nn, kept = torch.nn, getattr(torch, dtype)
    if NETWORKS[kind] is None:
        layers = [nn.Conv2d(1, 16, 3), nn.Tanh(), nn.Conv2d(16, 32, 3), nn.Tanh(), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(32 * 24 * 24, 10))
    elif in_time(kind):
        model = leaky(torch, *NETWORKS[kind])
    else:
        pairs = itertools.pairwise(NETWORKS[kind])
        layers = [part for pair in pairs for part in (nn.Linear(*pair), nn.Tanh())][:-1]
        model = nn.Sequential(*layers)
    model = model.to(kept)
    data = task_of(kind).train
    inputs, targets = torch.tensor(data.inputs).to(kept), torch.tensor(data.targets)
    if NETWORKS[kind] is None:
        inputs = inputs.reshape(-1, 1, 28, 28)
    targets = targets.to(kept) if in_time(kind) else targets
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    descent = kinds[optimiser](model.parameters(), RATE)
    loss = nn.MSELoss() if in_time(kind) else nn.CrossEntropyLoss()
    endless = rows_of(len(inputs))

    def run():
        for rows in itertools.islice(endless, steps):
            chosen = torch.from_numpy(rows)
            descent.zero_grad()
            loss(model(inputs[chosen]), targets[chosen]).backward()
            descent.step()

    return run


def leaky(torch, inputs, neurons, outputs):
    """Rates that leak, with a linear readout of the last step."""

    class Leaky(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.arriving = torch.nn.Linear(inputs, neurons)
            self.recurrent = torch.nn.Linear(neurons, neurons, bias=False)
            self.readout = torch.nn.Linear(neurons, outputs)

        def forward(self, x):
            driven = self.arriving(x)
            rates = torch.zeros_like(driven[:, 0])
            for step in range(x.shape[1]):
                active = torch.tanh(driven[:, step] + self.recurrent(rates))
                rates = torch.lerp(rates, active, LEAK)
            return self.readout(rates)

    return Leaky()


def in_jax(kind, optimiser, dtype, steps):
    """Function that takes so many steps there, each of them compiled."""
    jax, jnp = jax_modules()
    network, data = network_of(kind), task_of(kind).train
    weights = [jnp.asarray(array.astype(dtype)) for array in network.parameters.values()]
    inputs = data.inputs.astype(dtype)
    targets = data.targets.astype(dtype) if in_time(kind) else data.targets

    def passed(weights, x):
        if in_time(kind):
            arriving, recurrent, bias, readout, last = weights
            driven = jnp.swapaxes(x @ arriving.T + bias, 0, 1)

            def step(rates, now):
                return (1 - LEAK) * rates + LEAK * jnp.tanh(now + rates @ recurrent.T), None

            return jax.lax.scan(step, jnp.zeros_like(driven[0]), driven)[0] @ readout.T + last
        if NETWORKS[kind] is None:
            x = x.reshape(-1, 28, 28, 1)
            for place in (0, 2):
                kernel = weights[place].reshape(-1, 3, 3, x.shape[-1])
                x = jax.lax.conv_general_dilated(
                    x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "OHWI", "NHWC")
                )
                x = jnp.tanh(x + weights[place + 1])
            return x.reshape(len(x), -1) @ weights[4].T + weights[5]
        for place in range(0, len(weights), 2):
            x = x @ weights[place].T + weights[place + 1]
            x = jnp.tanh(x) if place + 2 < len(weights) else x
        return x

    def loss(weights, x, y):
        output = passed(weights, x)
        if in_time(kind):
            return ((output - y) ** 2).mean()
        return -jax.nn.log_softmax(output)[jnp.arange(len(y)), y].mean()

    @jax.jit
    def step(weights, first, second, time, x, y):
        gradient = jax.grad(loss)(weights, x, y)
        if optimiser == "sgd":
            return [w - RATE * g for w, g in zip(weights, gradient, strict=True)], first, second
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradient, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient, strict=True)]
        scale = RATE * jnp.sqrt(1 - 0.999**time) / (1 - 0.9**time)
        moved = [
            w - scale * m / (jnp.sqrt(v) + 1e-8)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return moved, first, second

    endless = zip(itertools.count(1), rows_of(len(inputs)), strict=False)
    kept = [weights, *([jnp.zeros_like(w) for w in weights] for _ in range(2))]

    def run():
        for time, rows in itertools.islice(endless, steps):
            kept[:] = step(*kept, time, inputs[rows], targets[rows])
        jax.block_until_ready(kept[0])

    return run


def in_turns(runs, threads, rounds, steps):
    """Least seconds a step of each, on the wall and of processors, ``(runs, 2)``."""
    best = np.full((len(runs), 2), np.inf)
    with threadpool_limits(threads):
        for number in range(2 + rounds):  # the first two begin, and compile
            for who, run in enumerate(runs):
                sleep(PAUSE)
                before = np.array([perf_counter(), process_time()])
                run()
                spent = np.array([perf_counter(), process_time()]) - before
                best[who] = np.minimum(best[who], spent / steps) if number > 1 else best[who]
    return best


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_that_are_timed_fit_their_data(kind):
    """Most are not trained here where nothing is timed."""
    network, data = network_of(kind), task_of(kind).train
    output = network.forward(data.inputs[:2]).output
    assert output.shape[-1] == (1 if in_time(kind) else 10)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("beside", ["PyTorch", "JAX"])
def test_a_step_beside_frameworks(benchmark, beside, kind, optimiser, dtype, threads):
    pytest.importorskip({"PyTorch": "torch", "JAX": "jax"}[beside])
    if benchmark.disabled and kind != "64-32-32-10":
        pytest.skip("timed by make performance")
    if (beside, threads) == ("JAX", 1):
        pytest.skip("JAX takes the threads that it finds")
    steps = {"64-32-32-10": 50, "784-256-128-10": 10, "rate_rnn 2-64-1, 20 steps": 20}.get(kind, 2)
    rounds = 0 if benchmark.disabled else 30
    rule = "backpropagation_through_time" if in_time(kind) else "backprop"
    runs = (
        ours(kind, rule, optimiser, dtype, steps),
        {"PyTorch": in_pytorch, "JAX": in_jax}[beside](kind, optimiser, dtype, steps),
    )
    with torch_threads(threads):
        best = in_turns(runs, threads, rounds, steps)
    benchmark.extra_info.update(
        step=[kind, beside, optimiser, dtype, threads], seconds=(best.tolist() if rounds else [])
    )
    benchmark.pedantic(runs[0], rounds=1)


@contextmanager
def torch_threads(count):
    """PyTorch with so many threads, where it is there."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_a_step_of_node_perturbation_beside_backpropagation(benchmark):
    kind, steps = "784-256-128-10", 10
    rounds = 0 if benchmark.disabled else 30
    runs = [ours(kind, rule, "sgd", "float64", steps) for rule in ("node_perturbation", "backprop")]
    found = in_turns(runs, 1, rounds, steps)
    benchmark.extra_info.update(
        step=[f"{kind}, node perturbation", "backprop", "sgd", "float64", 1],
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
with open("/proc/self/status") as told:  # a child's ru_maxrss begins at that of its parent
    peak = 1024 * next(int(line.split()[1]) for line in told if line.startswith("VmHWM"))
print(peak - before, size)
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
        assert rule != "backprop" or peak <= 8 * np.dtype(dtype).itemsize * size
    benchmark.extra_info.update(peak=[rule, dtype, draws, size, peak])
    benchmark.pedantic(lambda: None, rounds=1)

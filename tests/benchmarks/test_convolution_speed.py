"""Forward pass and gradient of a convolutional network, timed beside PyTorch in turns."""

from time import perf_counter

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from plausibench import bench

OPTIONS = {
    "shape": (28, 28),
    "channels": (16, 32),
    "kernel": 3,
    "stride": 1,
    "padding": 0,
    "outputs": 10,
}
EXAMPLES = 32
DTYPES = ("float64", "float32")


def cell(dtype):
    """Network, objective and batch."""
    network = bench.make("architecture", "convolutional", **OPTIONS).astype(dtype)
    generator = np.random.default_rng(0)
    inputs = generator.uniform(0, 1, (EXAMPLES, network.inputs)).astype(dtype)
    batch = bench.Batch(inputs, generator.integers(0, 10, EXAMPLES))
    return network, bench.make("objective", "cross_entropy"), batch


def in_torch(torch, network, batch):
    """Function that computes the gradient there, in the order and layout of ``network``."""
    arrays = {name: torch.tensor(array) for name, array in network.parameters.items()}
    arrays = {
        name: (a.permute(0, 3, 1, 2).contiguous() if a.ndim == 4 else a).requires_grad_()
        for name, a in arrays.items()
    }
    images = torch.tensor(batch.inputs).reshape(-1, 1, *OPTIONS["shape"])
    targets = torch.tensor(batch.targets)
    # Maps are flat with the channel running fastest: the dense layer is laid out for that.
    channels = OPTIONS["channels"][-1]
    last = arrays["layer3.weights"].detach()
    last = last.reshape(10, -1, channels).permute(0, 2, 1).reshape(10, -1).contiguous()
    arrays["layer3.weights"] = last.requires_grad_()

    def gradient():
        a = images
        for layer in ("layer1", "layer2"):
            a = torch.nn.functional.conv2d(a, arrays[f"{layer}.weights"], arrays[f"{layer}.bias"])
            a = torch.tanh(a)
        out = a.flatten(1) @ arrays["layer3.weights"].T + arrays["layer3.bias"]
        loss = torch.nn.functional.cross_entropy(out, targets)
        return dict(zip(arrays, torch.autograd.grad(loss, list(arrays.values())), strict=True))

    def arranged(found):
        rest = {name: a.numpy() for name, a in found.items()}
        for name, a in rest.items():
            if a.ndim == 4:
                rest[name] = a.transpose(0, 2, 3, 1)
        dense = rest["layer3.weights"].reshape(10, channels, -1).swapaxes(1, 2)
        rest["layer3.weights"] = dense.reshape(10, -1)
        return rest

    return gradient, arranged


def ratio(dtype, threads, rounds):
    """Least time of ours over least time of theirs, taken in turns, with as many threads."""
    torch = pytest.importorskip("torch")
    network, objective, batch = cell(dtype)
    theirs, _ = in_torch(torch, network, batch)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    best = [float("inf")] * 2
    try:
        with threadpool_limits(threads, user_api="blas"):
            for _ in range(rounds):
                for who, run in enumerate((lambda: network.gradient(objective, batch), theirs)):
                    start = perf_counter()
                    run()
                    best[who] = min(best[who], perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return best[0] / best[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_compute_the_same_gradient(dtype):
    torch = pytest.importorskip("torch")
    network, objective, batch = cell(dtype)
    gradient, arranged = in_torch(torch, network, batch)
    theirs = arranged(gradient())
    for name, ours in network.gradient(objective, batch).items():
        error = np.abs(ours - theirs[name]).max() / np.abs(theirs[name]).max()
        assert error < (1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_milliseconds_of_a_gradient(benchmark, dtype):
    network, objective, batch = cell(dtype)
    benchmark.extra_info["samples"] = 1
    benchmark.group = f"gradient of a convolutional network, {dtype}"
    benchmark.pedantic(network.gradient, args=(objective, batch), rounds=20, warmup_rounds=2)


@pytest.mark.acceptance
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_time_beside_pytorch(record_figure, dtype, threads):
    found = ratio(dtype, threads, 40)
    asked = "<= 1.2" if dtype == "float64" else "reported"
    record_figure(f"convolution, {dtype}, {threads} threads: time over PyTorch's", found, asked)
    if dtype == "float64":
        assert found <= 1.2

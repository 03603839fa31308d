"""The engine against the loops that users write, and against the floor of the machine.

All implementations compute the same statistics of the same estimator on the same network; they
are compared within Monte Carlo error before anything is timed.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from plausibench import bench

sys.path.insert(0, str(Path(__file__).parent))
import floors
from frameworks import FRAMEWORKS, NEEDS, Problem

SIZES = (784, 256, 128, 10)
EXAMPLES = 32
DTYPES = ("float64", "float32")
# Rounding of the loss limits how small the noise may be in single precision.
SIGMA = {"float64": 1e-3, "float32": 3e-2}


@cache
def cell():
    """Rule's network, objective and batch."""
    generator = np.random.default_rng(0)
    network = bench.make("architecture", "mlp", sizes=SIZES, seed=0)
    inputs = generator.random((EXAMPLES, SIZES[0]))
    batch = bench.Batch(inputs, generator.integers(0, SIZES[-1], EXAMPLES))
    return network, bench.make("objective", "cross_entropy"), batch


@cache
def problem(dtype):
    """The same cell for the other frameworks."""
    network, objective, batch = cell()
    exact = bench.gradient(network, objective, batch)
    names = [population.name for population in network.populations]
    return Problem(
        [network.parameters[f"{n}.weights"].astype(dtype) for n in names],
        [network.parameters[f"{n}.bias"].astype(dtype) for n in names],
        batch.inputs.astype(dtype),
        batch.targets,
        [exact[f"{n}.{part}"].astype(dtype) for n in names for part in ("weights", "bias")],
        SIGMA[dtype],
    )


def plausibench(dtype, count):
    """Relative squared bias and variance by the engine, on all cores."""
    network, objective, batch = cell()
    rule = bench.make("rule", "node_perturbation", sigma=SIGMA[dtype])
    found = bench.measure(rule, network, objective, batch, count, dtype=dtype, method="sampled")
    return found.value("bias_squared"), found.value("variance")


def floor(dtype, count):
    """What cannot be left out."""
    network, _, batch = cell()
    floors.node_perturbation(network, batch, np.dtype(dtype), count)


def needs(name):
    """Skip where a framework is not installed."""
    module = NEEDS.get(name)
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'plausibench[performance]'")


def run(name, dtype, count):
    """One implementation by name."""
    if name == "plausibench":
        return plausibench(dtype, count)
    if name == "floor of this machine":
        return floor(dtype, count)
    return FRAMEWORKS[name](problem(dtype), count)


@pytest.mark.parametrize("count", [16, pytest.param(256, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_all_compute_the_same_statistics(name, dtype, count):
    needs(name)
    bias, variance = run(name, dtype, count)
    network, objective, batch = cell()
    rule = bench.make("rule", "node_perturbation", sigma=SIGMA[dtype])
    cell_of_rule = (rule, network, objective, batch)
    frame = bench.measure(*cell_of_rule, 1024, dtype=dtype, method="sampled").frame
    rows = frame[frame["projection"] == "all"].set_index("quantity")
    # With a quarter of the samples twice the error of variance, four times that of unresolved bias.
    fewer = 1024 / count
    half = rows.loc["variance", "high"] - rows.loc["variance", "value"]
    assert abs(variance - rows.loc["variance", "value"]) < 2 * half * np.sqrt(1 + fewer)
    half = rows.loc["bias_squared", "high"] - rows.loc["bias_squared", "value"]
    assert abs(bias - rows.loc["bias_squared", "value"]) < 2 * half * np.sqrt(1 + fewer**2)


NAMES = ("floor of this machine", "plausibench", *FRAMEWORKS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_microseconds_per_sample(benchmark, name, dtype):
    needs(name)
    count = 64 if name.startswith("PyTorch") else 4096 if "JAX" not in name else 1024
    count = min(4, count) if benchmark.disabled else count
    run(name, dtype, count)  # compiled before it is timed
    benchmark.extra_info["samples"] = count
    benchmark.group = f"node perturbation, {dtype}"
    benchmark.pedantic(run, args=(name, dtype, count), rounds=7, warmup_rounds=1)

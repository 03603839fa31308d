"""Situations of rules of bursts and plateaus on small networks, and how far an estimate is off."""

import numpy as np
from hypothesis import strategies as st

from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from plausibench.rules.theory import Situation

SQUARED_ERROR = bench.make("objective", "mean_squared_error")
CROSS_ENTROPY = bench.make("objective", "cross_entropy")


def situation(rule, objective=SQUARED_ERROR, architecture="mlp", seed=0, **options):
    """A rule on a small network whose biases are not zero."""
    network = bench.make("architecture", architecture, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    network = network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * random.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )
    batch = bench.Batch(
        random.standard_normal((6, network.inputs)), random.integers(0, network.output.size, 6)
    )
    return Situation(rule, network, objective, batch, rule.initial_state(network, seed), seed)


def norm(arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays.values()))


def whole_error(at, expected):
    found, wanted = at.draws(), expected(at)
    return norm({k: found[k][0] - v for k, v in wanted.items()}) / norm(wanted)


def parameter_error(at, expected):
    found, wanted = at.draws(), expected(at)
    return max(np.linalg.norm(found[k][0] - v) / np.linalg.norm(v) for k, v in wanted.items())


PAPER = {"leak": 0.1, "loads": True}


def microcircuit(rule, **options):
    return situation(rule, architecture="dendritic", **{"sizes": [6, 5, 4, 3], **options})


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
activations = st.sampled_from(["tanh", "sigmoid", "softplus"])
nudgings = st.sampled_from([0.1, 0.6, 1.0])
scales = st.sampled_from(["declared", "none"])


def assert_twin(at, twin):
    def output_error(output, b):
        return at.objective.error(output[None], at.batch.targets[b : b + 1])[0]

    expected, found = twin(at.network, at.batch, at.rule, at.state, output_error), at.draws()
    scale = max(np.abs(array).max() for array in expected.values())
    for name, array in expected.items():
        np.testing.assert_allclose(found[name][0], array, rtol=1e-9, atol=1e-12 + 1e-11 * scale)


def bench_step(network, at):
    """A step of learning that ended at ``network``."""
    noise = Noise(0, np.zeros(1, np.int64), at.batch.keys, network.dtype)
    applied = {k: v - at.network.parameters[k] for k, v in network.parameters.items()}
    clean = at.network.forward(at.batch.inputs)
    return Step(network, at.objective, at.batch, clean, applied, 0.0, noise)

"""Small networks, deterministic and stochastic, and draws of perturbation and score rules."""

import numpy as np
import pytest
from hypothesis import strategies as st

from plausibench import bench
from plausibench.rules.noise import Noise

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
EXPECTED_REWARD = bench.make("objective", "expected_reward")
OBJECTIVES = {
    "cross_entropy": CROSS_ENTROPY,
    "mean_squared_error": SQUARED_ERROR,
    "expected_reward": EXPECTED_REWARD,
}

shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
deep = st.lists(st.integers(1, 3), min_size=3, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)
laws = st.sampled_from(["gaussian", "rademacher"])
goals = st.sampled_from(["cross_entropy", "mean_squared_error"])


def cell(sizes, seed, architecture="mlp", **options):
    generator = np.random.default_rng(seed)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {n: w + 0.2 * generator.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    examples = int(generator.integers(1, 5))
    inputs = generator.standard_normal((examples, sizes[0]))
    targets = generator.integers(0, sizes[-1], examples)
    return network, bench.Batch(inputs, targets, keys=generator.permutation(50)[:examples])


def noise_of(batch, seed, samples=2):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))


def assert_twins(ours, expected, tolerance=1e-7):
    scale = max(np.abs(array).max() for array in expected.values()) + 1e-300
    for name in expected:
        np.testing.assert_allclose(
            ours[name], expected[name], rtol=tolerance, atol=0.1 * tolerance * scale
        )


def drawn(rule, network, objective, batch, seed, state=None):
    found = bench.estimates(rule, network, objective, batch, samples=2, seed=seed, state=state)
    return [{name: array[k] for name, array in found.items()} for k in range(2)]


def difference(one, two):
    """Largest relative error of a parameter, and that of the whole net."""
    errors = [np.linalg.norm(one[n] - two[n]) / (np.linalg.norm(two[n]) + 1e-300) for n in two]
    length = np.sqrt(sum((a**2).sum() for a in two.values()))
    return max(errors), np.sqrt(sum(((one[n] - two[n]) ** 2).sum() for n in two)) / length


def step_of(network, batch):
    from plausibench.rules.rule import Step

    clean = network.forward(batch.inputs)
    still = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    return Step(network, CROSS_ENTROPY, batch, clean, still, 0.0, noise_of(batch, 0, 1))


def agree(rule, network, batch, record):
    """Variance of 20 000 draws within 5 % of the closed form, for every parameter and in all."""
    exact = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
    found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000, method="sampled")
    for name in ["all", *network.parameters]:
        ratio = found.value("absolute_variance", name) / exact.value("absolute_variance", name)
        record(f"{rule}: variance / law, {name}", ratio, "within 5 %")
        assert ratio == pytest.approx(1, rel=0.05), name
    return found

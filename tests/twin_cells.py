"""Networks of any shape, and how an estimate is compared with its naive twin."""

import numpy as np
from hypothesis import strategies as st

from plausibench import bench
from plausibench.rules.noise import Noise

shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)
laws = st.sampled_from(["gaussian", "rademacher"])


def cell(sizes, activation, seed):
    generator = np.random.default_rng(seed)
    network = bench.make(
        "architecture", "mlp", sizes=sizes, activation=activation, seed=seed, bias=bool(seed % 2)
    )
    examples = int(generator.integers(1, 6))
    inputs = generator.standard_normal((examples, sizes[0]))
    batch = bench.Batch(
        inputs, generator.integers(0, sizes[-1], examples), keys=generator.permutation(examples)
    )
    return network, batch


def assert_twins(ours, twin):
    scale = max(np.abs(array).max() for array in twin.values()) + 1e-300
    for name in twin:
        np.testing.assert_allclose(ours[name], twin[name], rtol=1e-7, atol=1e-8 * scale)


def noise_of(batch, seed, samples=3):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))

"""Networks with batches whose keys are in disorder, and how estimates are compared."""

import numpy as np
from hypothesis import strategies as st

from plausibench import bench

SQUARED_ERROR = bench.make("objective", "mean_squared_error")


def cell(sizes, seed=0, examples=None, **options):
    """A network whose biases are not zero, and a batch whose keys are in disorder."""
    random = np.random.default_rng(seed + 100)
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {n: w + 0.2 * random.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    examples = int(random.integers(1, 6)) if examples is None else examples
    inputs = random.standard_normal((examples, sizes[0]))
    keys = random.permutation(100)[:examples]
    return network, bench.Batch(inputs, random.integers(0, sizes[-1], examples), keys)


NETWORKS = {
    "tanh": cell([7, 6, 5, 3], examples=8),
    "sigmoid": cell([8, 9, 4], seed=1, examples=8, activation="sigmoid"),
}
shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)


def assert_twins(ours, expected, tolerance=1e-9):
    for name, array in expected.items():
        scale = np.abs(array).max(initial=0)
        np.testing.assert_allclose(ours[name], array, rtol=tolerance, atol=tolerance * scale)

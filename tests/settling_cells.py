"""Small networks that settle or have targets, and estimates on them, for tests of such rules."""

import numpy as np

from plausibench import bench

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
OBJECTIVES = ("cross_entropy", "mean_squared_error")


def cell(architecture, sizes, seed=0, examples=4, scale=1.0, **options):
    """A network whose biases are not zero, and a batch of classes."""
    generator = np.random.default_rng(seed)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {
            name: scale * array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )
    inputs = generator.standard_normal((examples, sizes[0]))
    return network, bench.Batch(inputs, generator.integers(0, sizes[-1], examples))


def one(rule, network, objective, batch, **options):
    drawn = bench.estimates(rule, network, objective, batch, samples=1, **options)
    return {name: array[0] for name, array in drawn.items()}


def assert_close(ours, twin, relative=1e-8):
    for name, array in twin.items():
        scale = np.abs(array).max() + 1e-300
        np.testing.assert_allclose(ours[name], array, rtol=relative, atol=relative * scale + 1e-12)

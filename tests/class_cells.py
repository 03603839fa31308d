"""Networks on classes, and estimates on them, for tests of exact limits."""

import numpy as np

from plausibench import bench


def mlp(sizes, seed=0, **options):
    """A network whose biases are not zero."""
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    generator = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def classes(inputs, outputs, examples=6, seed=0):
    generator = np.random.default_rng(seed)
    return bench.Batch(
        generator.standard_normal((examples, inputs)), generator.integers(0, outputs, examples)
    )


def relative_error(ours, theirs):
    """Largest relative distance over parameters."""
    return max(
        np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]) for name in theirs
    )


def one(rule, network, objective, batch, **options):
    """The first draw of a rule."""
    drawn = bench.estimates(rule, network, objective, batch, samples=1, **options)
    return {name: array[0] for name, array in drawn.items()}


CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")

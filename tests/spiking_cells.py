"""Spiking networks and their trials."""

import numpy as np

from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.patterns import drive_noise

SQUARED_ERROR = bench.make("objective", "mean_squared_error")
CROSS_ENTROPY = bench.make("objective", "cross_entropy")


def spiking(sizes, seed=0, **options):
    network = bench.make("architecture", "spiking_mlp", sizes=sizes, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * random.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def classes(network, examples=3, seed=0):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((examples, network.inputs))
    return bench.Batch(inputs, random.integers(0, network.output.size, examples))


def trials_of(network, batch, trials, seed=0):
    """Activity, added noise and losses of many trials."""
    noise = Noise(seed, np.zeros(1, np.int64), batch.keys, np.dtype(float))
    disturbed = drive_noise(network, noise, trials)
    found = network.simulate(batch.inputs, disturbed)
    return found, disturbed, CROSS_ENTROPY.losses(found.output, batch.targets)

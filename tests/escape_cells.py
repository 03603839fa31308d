"""Small networks of neurons with escape noise, and what they are shown."""

import numpy as np

from plausibench import bench
from plausibench.rules.noise import Noise

SQUARED_ERROR = bench.make("objective", "mean_squared_error")


def trials(seed=0, sizes=(3, 2, 2), length=3, examples=2, **options):
    random = np.random.default_rng(seed)
    network = bench.make("architecture", "escape_rnn", sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {n: w + 0.3 * random.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    inputs = random.standard_normal((examples, length, sizes[0]))
    classes = random.integers(0, sizes[-1], examples)
    return network, bench.Batch(inputs, classes, random.permutation(90)[:examples])


def uniform_numbers(network, batch, seed, samples):
    """Numbers below whose probability a neuron spikes, ``(S, T, B, N)``."""
    steps, size = batch.inputs.shape[1], network.population("layer1").size
    noise = Noise(seed, np.arange(samples), batch.keys, np.dtype(float))
    drawn = noise.spikes({"layer1": np.empty((batch.size, steps * size))})["layer1"]
    return drawn.reshape(samples, batch.size, steps, size).swapaxes(1, 2)

"""Networks and batches for tests of objectives."""

import numpy as np

from plausibench import bench
from plausibench.objectives.homeostasis import Homeostasis
from plausibench.objectives.poisson import Poisson
from plausibench.objectives.weight_decay import WeightDecay
from plausibench.objectives.weighted_sum import WeightedSum

SUM = WeightedSum(((0.5, Poisson()), (2, Homeostasis(over="batch")), (0.1, WeightDecay())))


def counts(examples=5, outputs=4, seed=0):
    return np.random.default_rng(seed).poisson(2, (examples, outputs)).astype(float)


def network_and_batch(examples=4):
    generator = np.random.default_rng(0)
    network = bench.make("architecture", "mlp", sizes=[3, 5, 4])
    return network, bench.Batch(generator.standard_normal((examples, 3)), counts(examples))

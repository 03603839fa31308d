"""Networks, situations and draws for tests of rules with feedback pathways."""

import numpy as np
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.components.selectors import select
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from plausibench.rules.theory import Situation

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")


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
    keys = generator.permutation(100)[:examples]
    return bench.Batch(
        generator.standard_normal((examples, inputs)),
        generator.integers(0, outputs, examples),
        keys,
    )


NETWORKS = {
    "tanh": (mlp([7, 6, 5, 3]), CROSS_ENTROPY),
    "sigmoid": (mlp([8, 9, 4], seed=1, activation="sigmoid"), SQUARED_ERROR),
}


def situation(selector, network, objective, seed=0):
    rule = select("rule", selector).make()
    batch = classes(network.inputs, network.output.size, examples=8)
    return Situation(rule, network, objective, batch, rule.initial_state(network, seed), seed)


def errors(at, expected):
    """Largest relative error of a parameter's array, and that of the whole; absolute beside 0."""
    drawn, wanted = at.draws(), expected(at)
    parts = {
        name: (np.linalg.norm(drawn[name][0] - goal), np.linalg.norm(goal))
        for name, goal in wanted.items()
    }
    apart, length = (np.hypot.reduce(part) for part in zip(*parts.values(), strict=True))
    worst = max(far / (size or 1.0) for far, size in parts.values())
    return worst, apart / (length or 1.0)


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
objectives = st.sampled_from(["cross_entropy", "mean_squared_error"])
seeds = st.integers(0, 2**20)


def cell(sizes, activation, seed):
    network = mlp(sizes, seed=seed, activation=activation, bias=bool(seed % 2))
    return network, classes(sizes[0], sizes[-1], examples=1 + seed % 5, seed=seed)


def numpy_noise(batch, seed, samples=2):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))


def assert_close(ours, twin, tolerance=1e-9):
    scale = max(np.abs(array).max() for array in twin.values()) + 1e-300
    for name in twin:
        np.testing.assert_allclose(ours[name], twin[name], rtol=1e-7, atol=tolerance * scale)


def drawn(rule, network, objective, batch, seed, state=None):
    """Two draws, one dict each."""
    chosen = bench.make("objective", objective)
    arrays = bench.estimates(rule, network, chosen, batch, samples=2, seed=seed, state=state)
    return [{name: array[k] for name, array in arrays.items()} for k in range(2)]


def stacked(network, state):
    """Matrices of the state in the order of the layers."""
    return [state[p.name] for p in network.returning]


def held(network, batch, noise, objective="cross_entropy"):
    """A step with the weights held."""
    zero = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    chosen, clean = bench.make("objective", objective), network.forward(batch.inputs)
    return Step(network, chosen, batch, clean, zero, 0.0, noise)

"""Feedback weights keep their size relative to forward weights, whatever the size of an image."""

from itertools import product

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components.selectors import select

SIDES = (8, 14, 28, 56)
"""Pixels of the images."""
SEEDS = range(4)
"""Networks and feedback drawn: some 10^4 weights at least, whose mean square is good to 1 %."""
ARCHITECTURES = [
    "convolutional",
    "locally_connected",
    "what_where",
    "what_where[readout=dense]",
    "what_where[readout=fixed_mask]",
]
KEPT = [
    "burstprop[feedback=random]",
    "feedback_alignment",
    "kolen_pollack",
    "sign_symmetry[variant=fixed]",
    "target_propagation",
]
"""Rules that keep feedback weights in their state."""


def network_on(architecture, side, seed):
    chosen = select("architecture", architecture)
    options = dict(chosen.options)
    return bench.make("architecture", chosen.name, shape=(side, side), seed=seed, **options)


def size(arrays):
    """Root of the mean square."""
    return np.mean([np.mean(array**2) for array in arrays]) ** 0.5


@pytest.mark.parametrize(("architecture", "selector"), list(product(ARCHITECTURES, KEPT)))
def test_kept_feedback(architecture, selector, record_figure):
    rule, ratios = select("rule", selector).make(), {}
    for side in SIDES:
        networks = [network_on(architecture, side, seed) for seed in SEEDS]
        states = [rule.initial_state(each, seed) for seed, each in enumerate(networks)]
        for p in networks[0].returning:
            if p.target != networks[0].output.name:  # which sees the whole map
                feedback = size([state[p.name] for state in states])
                forward = size([each.parameters[p.name] for each in networks])
                ratios.setdefault(p.name, []).append(feedback / forward)
    assert ratios
    for name, found in ratios.items():
        spread = max(found) / min(found) - 1
        record_figure(f"{selector}, {architecture}, {name}: spread over images", spread, 0.02)
        assert spread <= 0.02, (name, found)


@pytest.mark.parametrize(("architecture", "side"), list(product(ARCHITECTURES, SIDES)))
def test_sign_symmetry_has_the_size_of_the_weights(architecture, side):
    """Mean |W| of normal weights of variance gain^2 / inflow is (2 / pi)^(1/2) of its root."""
    network = network_on(architecture, side, seed=0)
    objective = bench.make("objective", "cross_entropy")
    generator = np.random.default_rng(0)
    batch = bench.Batch(generator.standard_normal((2, side * side)), np.array([1, 3]))
    clean = network.forward(batch.inputs)
    drawn = [network_on(architecture, side, seed).parameters for seed in range(40)]
    feedback, allowed = {}, 0.0
    for p in network.returning:
        sizes = np.abs([parameters[p.name] for parameters in drawn])
        feedback[p.name] = np.mean(sizes) * (np.pi / 2) ** 0.5 * np.sign(network.parameters[p.name])
        # Four standard errors of the mean size; errors of the layers add up.
        allowed += 4 * float(sizes.std() / sizes.mean() / sizes.size**0.5)
    error = {network.output.name: objective.batch_error(clean.output, batch)}
    signals = network.credit(clean, error, feedback)
    rule = bench.make("rule", "sign_symmetry")
    estimates = bench.estimates(rule, network, objective, batch, samples=1)
    for p in network.projections:
        expected = p.synapse.outer(signals[p.target], clean.presynaptic(p))
        apart = np.linalg.norm(estimates[p.name][0] - expected) / np.linalg.norm(expected)
        assert apart <= allowed, (p.name, apart)

"""Node perturbation: its twin, and its exact limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from class_cells import CROSS_ENTROPY, classes, mlp
from plausibench import bench
from plausibench.rules.noise import Noise
from twin_cells import activations, assert_twins, cell, laws, noise_of, seeds, shapes


def directional_derivative(network, objective, batch, xi):
    """Exact derivative of each example's loss along noise on the drives, per sample."""
    clean = network.forward(batch.inputs)
    error = objective.error(clean.output, batch.targets)
    signals = network.credit(clean, {network.output.name: error})
    return sum((xi[name] * signals[name]).sum(axis=-1) for name in signals)


def drive_noise(network, batch, law="gaussian", samples=4, seed=0):
    """The noise that the rule saw: it depends on the seed, the population and the example."""

    clean = network.forward(batch.inputs)
    noise = Noise(seed, np.arange(samples), batch.keys, np.dtype(float))
    return noise.examples(clean.drive, law)


@pytest.mark.parametrize(("antithetic", "order"), [(True, 2), (False, 1)])
def test_tends_to_the_forward_gradient(antithetic, order, record_figure):
    network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
    xi = drive_noise(network, batch)
    exact = directional_derivative(network, CROSS_ENTROPY, batch, xi)
    limit = np.einsum("kb,kbn->kn", exact, xi["layer1"]) / batch.size
    errors = []
    for sigma in (1e-1, 1e-2, 1e-3):
        rule = bench.make("rule", "node_perturbation", sigma=sigma, antithetic=antithetic)
        found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)["layer1.bias"]
        errors.append(np.linalg.norm(found - limit) / np.linalg.norm(limit))
    slope = np.log10(errors[1] / errors[2])
    record_figure(f"node perturbation, slope in sigma, antithetic={antithetic}", slope, order)
    assert slope == pytest.approx(order, abs=0.05)
    if antithetic:
        assert errors[-1] < 1e-5


def test_one_sided_it_is_reinforce_with_gaussian_units(record_figure):
    """Williams 1992: units z ~ N(W a + b, sigma^2), reward -F, baseline the clean reward."""
    network, batch = mlp([5, 7, 3]), classes(5, 3)
    sigma = 0.05
    rule = bench.make("rule", "node_perturbation", sigma=sigma, antithetic=False)
    found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)["layer1.bias"]
    xi = drive_noise(network, batch)
    clean = network.forward(batch.inputs)
    noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=sigma)
    reward = -CROSS_ENTROPY.losses(noisy.output, batch.targets)
    baseline = -CROSS_ENTROPY.losses(clean.output, batch.targets)
    score = sigma * xi["layer1"] / sigma**2  # (z - mean) / variance
    reinforce = ((reward - baseline)[..., None] * score).mean(axis=1)
    error = np.abs(found + reinforce).max() / np.abs(found).max()
    record_figure("one-sided node perturbation against gaussian REINFORCE", error, "1e-12")
    assert error < 1e-12


@settings(max_examples=25)
@given(shapes, activations, seeds, laws, st.booleans())
def test_node_perturbation(sizes, activation, seed, law, antithetic):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "node_perturbation", sigma=0.01, antithetic=antithetic, noise=law)
    objective = bench.make("objective", "cross_entropy")
    ours = bench.estimates(rule, network, objective, batch, samples=3, seed=seed)
    xi = noise_of(batch, seed).examples(network.forward(batch.inputs).drive, law)
    for k in range(3):
        drawn = {name: array[k] for name, array in xi.items()}
        twin = naive.node_perturbation(network, "cross_entropy", batch, drawn, 0.01, antithetic)
        assert_twins({name: array[k] for name, array in ours.items()}, twin)

"""Weight perturbation: its twin, and its exact limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from class_cells import CROSS_ENTROPY, SQUARED_ERROR, classes, mlp
from plausibench import bench
from plausibench.rules.noise import Noise
from twin_cells import activations, assert_twins, cell, laws, noise_of, seeds, shapes


@pytest.mark.parametrize(("antithetic", "order"), [(True, 2), (False, 1)])
def test_tends_to_the_forward_gradient(antithetic, order, record_figure):
    network, batch = mlp([3, 4, 3]), classes(3, 3)
    exact = bench.gradient(network, CROSS_ENTROPY, batch)
    errors = []
    for sigma in (1e-2, 1e-3, 1e-4):
        rule = bench.make("rule", "weight_perturbation", sigma=sigma, antithetic=antithetic)
        found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)
        noise = weight_noise(network)
        along = sum((noise[n] * exact[n]).reshape(4, -1).sum(axis=1) for n in noise)
        limit = along[:, None] * noise["layer1.bias"]
        errors.append(np.linalg.norm(found["layer1.bias"] - limit) / np.linalg.norm(limit))
    slope = np.log10(errors[0] / errors[1])
    record_figure(f"weight perturbation, slope in sigma, antithetic={antithetic}", slope, order)
    assert slope == pytest.approx(order, abs=0.05)
    if antithetic:
        assert errors[1] < 1e-5


def test_antithetic_on_a_quadratic_has_no_sigma():
    network = bench.make("architecture", "linear", sizes=[5, 3], seed=0)
    generator = np.random.default_rng(0)
    batch = bench.Batch(generator.standard_normal((4, 5)), generator.standard_normal((4, 3)))
    exact = bench.gradient(network, SQUARED_ERROR, batch)["layer1.weights"]
    noise = weight_noise(network)["layer1.weights"]
    limit = np.einsum("kij,ij->k", noise, exact)[:, None, None] * noise
    for sigma in (1e-2, 1.0, 30.0):
        rule = bench.make("rule", "weight_perturbation", sigma=sigma)
        found = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=4)
        error = np.abs(found["layer1.weights"] - limit).max() / np.abs(limit).max()
        assert error < 1e-9


def weight_noise(network, samples=4, seed=0, law="gaussian"):
    """The noise that weight perturbation saw."""

    keys = np.zeros(1, dtype=np.uint64)
    return Noise(seed, np.arange(samples), keys, np.dtype(float)).parameters(
        network.parameters, law
    )


@settings(max_examples=25)
@given(shapes, activations, seeds, laws, st.booleans())
def test_weight_perturbation(sizes, activation, seed, law, antithetic):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "weight_perturbation", sigma=0.01, antithetic=antithetic, noise=law)
    objective = bench.make("objective", "mean_squared_error")
    ours = bench.estimates(rule, network, objective, batch, samples=3, seed=seed)
    xi = noise_of(batch, seed).parameters(network.parameters, law)
    for k in range(3):
        drawn = {name: array[k] for name, array in xi.items()}
        twin = naive.weight_perturbation(
            network, "mean_squared_error", batch, drawn, 0.01, antithetic
        )
        assert_twins({name: array[k] for name, array in ours.items()}, twin)

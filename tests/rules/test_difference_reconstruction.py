"""Difference target propagation with a reconstruction loss: targets, and feedback that descends."""

import numpy as np
import pytest
from hypothesis import given, settings

import naive_layers
from feedback_cells import (
    activations,
    assert_close,
    cell,
    classes,
    drawn,
    held,
    mlp,
    numpy_noise,
    objectives,
    seeds,
    shapes,
    stacked,
)
from plausibench import bench
from plausibench.kernels.errors import InputError


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_estimates_are_those_of_targets_of_any_step(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "difference_reconstruction")
    state = rule.initial_state(network, seed)
    found = drawn(rule, network, objective, batch, seed, state)[1]
    for step in (0.2, 5.0):
        twin = naive_layers.difference_targets(
            network, objective, batch, stacked(network, state), step
        )
        assert_close(found, twin)


def test_feedback_descends_the_reconstruction_loss():
    """One step against central differences of the loss, with the same noise."""
    network, batch = mlp([5, 4, 3, 2]), classes(5, 2)
    rule = bench.make("rule", "difference_reconstruction", sigma=0.2, rate=0.3, iterations=1)
    state, noise = rule.initial_state(network, 1), numpy_noise(batch, 1, 1)
    after, clean = rule.advance(state, held(network, batch, noise)), network.forward(batch.inputs)
    for layer, p in enumerate(network.returning, start=1):
        streams = {
            f"{p.name}.below.0": clean.activity[p.source],
            f"{p.name}.above.0": clean.activity[p.target],
        }
        epsilon, eta = (array[0] for array in noise.examples(streams).values())
        neurons = network.population(p.target).neurons
        slope = neurons.slope(clean.drive[p.target], clean.activity[p.target])
        share = 0.3 / (np.sum((slope * eta) ** 2) + batch.size)
        before, gradient = state[p.name], np.empty_like(state[p.name])
        for index in np.ndindex(before.shape):
            losses = []
            for h in (1e-5, -1e-5):
                moved = before.copy()
                moved[index] += h
                losses.append(
                    naive_layers.reconstruction_loss(
                        network, batch, layer, moved, epsilon, eta, 0.2
                    )
                )
            gradient[index] = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose(
            after[p.name], before - share / 2 * gradient, rtol=1e-7, atol=1e-9
        )


def test_feedback_learns_the_transposed_weights(record_figure):
    network, batch = mlp([5, 6, 4, 3]), classes(5, 3, examples=60)
    rule = bench.make("rule", "difference_reconstruction", sigma=0.01, rate=0.3, iterations=100)
    state = rule.initial_state(network, 0)
    for number in range(10):
        noise = numpy_noise(batch, number, 1)
        state = rule.advance(state, held(network, batch, noise))
    for p in network.returning:
        goal = network.parameters[p.name].T
        cosine = np.sum(state[p.name] * goal) / np.linalg.norm(state[p.name]) / np.linalg.norm(goal)
        record_figure(f"learned feedback against {p.name}, cosine", cosine, "above 0.95")
        assert cosine > 0.95


@pytest.mark.parametrize("options", [{"sigma": 0}, {"rate": -1}, {"iterations": 0}])
def test_options_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        bench.make("rule", "difference_reconstruction", **options)

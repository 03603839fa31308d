"""Neurons with escape noise: passes, chances, the expected loss and its gradient."""

import numpy as np
import pytest

import naive
import naive_escape
from escape_cells import SQUARED_ERROR, trials, uniform_numbers
from plausibench import bench
from plausibench.kernels.errors import InputError


def test_a_pass_with_spikes():
    network, batch = trials(3, length=5)
    drawn = uniform_numbers(network, batch, 0, 2)
    train = network.sample(batch.inputs, {"layer1": drawn.reshape(2, -1, 2)})
    for k in range(2):
        for b, x in enumerate(batch.inputs):
            course = naive_escape.run(network, x, drawn[k, :, b])
            spikes, outputs = (np.array([step[i] for step in course]) for i in (4, 7))
            np.testing.assert_array_equal(train.spikes["layer1"][k, b::2], spikes)
            np.testing.assert_allclose(train.output[k, b::2], outputs, rtol=1e-12, atol=1e-13)


def test_the_pass_without_noise_has_chances_in_place_of_spikes_and_an_adjoint():
    network, batch = trials(4, length=4)
    clean = network.forward(batch.inputs)
    for b, x in enumerate(batch.inputs):
        expected = naive_escape.expected_pass(network, x)
        np.testing.assert_allclose(clean.output[b::2], expected, rtol=1e-12, atol=1e-13)
    error = np.random.default_rng(0).standard_normal(clean.output.shape)

    def along(parameters):
        return float(
            (network.with_parameters(parameters).forward(batch.inputs).output * error).sum()
        )

    found = network.pull(clean, error)
    expected = naive.finite_difference_gradient(network, along, h=1e-5)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-8)
        moved = np.ones((1, *array.shape))
        change = (network.tangent(clean, parameters={name: moved}).output * error).sum()
        assert change == pytest.approx(float(found[name].sum()), rel=1e-9, abs=1e-12)


def test_loss_and_chances_are_those_of_all_trains():
    network, batch = trials(5)
    chance = network.outcomes(batch.inputs).chance
    assert chance.shape == (2**6, 2)
    np.testing.assert_allclose(chance.sum(axis=0), 1, rtol=1e-12)
    expected = naive_escape.expected_loss(network, batch)
    assert network.loss(SQUARED_ERROR, batch) == pytest.approx(expected, rel=1e-12)


def test_gradient_of_two_layers():
    network = bench.make("architecture", "escape_rnn", sizes=[2, 2, 2, 2], steps=2, recurrence=0.8)
    batch = bench.Batch(np.random.default_rng(0).standard_normal((2, 2)), np.array([0, 1]))

    def loss(parameters):
        return network.with_parameters(parameters).loss(SQUARED_ERROR, batch)

    expected = naive.finite_difference_gradient(network, loss, h=1e-5)
    found = bench.gradient(network, SQUARED_ERROR, batch)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"membrane": 1.5}, "membrane"),
        ({"kept": -1}, "kept"),
        ({"reset": -1}, "reset"),
        ({"width": 0}, "width"),
        ({"steps": 0}, "steps"),
        ({"output": "step"}, "output"),
        ({"sizes": [3, 2]}, "sizes"),
    ],
)
def test_refused(options, field):
    with pytest.raises(InputError, match=field):
        bench.make("architecture", "escape_rnn", **{"sizes": [3, 2, 2], **options})

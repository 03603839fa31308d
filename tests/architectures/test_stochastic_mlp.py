"""Stochastic networks: gradient of the expected loss, and refusals."""

from dataclasses import replace

import numpy as np
import pytest

import naive
import naive_perturbation as twin
from perturbation_cells import (
    CROSS_ENTROPY,
    OBJECTIVES,
    cell,
    difference,
)
from plausibench import bench


@pytest.mark.parametrize("goal", [*OBJECTIVES])
@pytest.mark.parametrize("sizes", [(3, 4, 3), (2, 3, 2, 2)])
def test_gradient_is_that_of_the_expected_loss(goal, sizes, record_figure):
    network, batch = cell(sizes, 11, "stochastic_mlp")

    def loss(parameters):
        return twin.expected_loss(network, goal, batch, parameters)

    ours = bench.loss(network, OBJECTIVES[goal], batch)
    assert ours == pytest.approx(loss(network.parameters), rel=1e-12)
    expected = naive.finite_difference_gradient(network, loss, h=1e-5)
    error = difference(bench.gradient(network, OBJECTIVES[goal], batch), expected)[1]
    record_figure(f"enumerated gradient {sizes} {goal}: relative error", error, "1e-7")
    assert error <= 1e-7


def test_gaussian_expectation_errs_by_sigma_to_the_sixth(record_figure):
    base, batch = cell((2, 2, 1, 2), 9, "stochastic_mlp", units="gaussian")
    errors, sigmas = [], np.array([0.05, 0.025])
    for sigma in sigmas:
        populations = tuple(
            replace(p, neurons=replace(p.neurons, sigma=sigma)) if p in base.stochastic else p
            for p in base.populations
        )
        network = replace(base, populations=populations)
        exact = twin.gaussian_loss(
            network, "cross_entropy", batch, network.parameters, sigma, nodes=12
        )
        errors.append(abs(bench.loss(network, CROSS_ENTROPY, batch) - exact))
    slope = np.log(errors[0] / errors[1]) / np.log(2)
    record_figure("gaussian units: power of sigma in the error of the loss", slope, "6")
    assert abs(slope - 6) < 0.05
    assert errors[-1] < 1e-8

    def loss(parameters):
        return bench.loss(network.with_parameters(parameters), CROSS_ENTROPY, batch)

    expected = naive.finite_difference_gradient(network, loss, h=1e-5)
    assert difference(bench.gradient(network, CROSS_ENTROPY, batch), expected)[1] <= 1e-7


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"sizes": [3, 2]}, "sizes"),
        ({"sizes": [3, 2, 2], "units": "poisson"}, "units"),
        ({"sizes": [3, 2, 2], "sigma": 0}, "sigma"),
        ({"sizes": [3, 2, 2], "activation": "sine"}, "activation"),
    ],
)
def test_options_are_refused(options, field):
    with pytest.raises(bench.InputError, match=field):
        bench.make("architecture", "stochastic_mlp", **options)


@pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
def test_too_many_units_to_enumerate(units):
    network, batch = cell((3, 9, 4, 2), 1, "stochastic_mlp", units=units)
    for call in (bench.loss, bench.gradient):
        with pytest.raises(bench.InputError, match="12 stochastic units, and this one has 13"):
            call(network, CROSS_ENTROPY, batch)
    with pytest.raises(bench.InputError, match="12 stochastic units, and this one has 13"):
        bench.measure(bench.make("rule", "reinforce"), network, CROSS_ENTROPY, batch)


@pytest.mark.parametrize(
    "name",
    [
        "activity_node_perturbation",
        "decorrelated_node_perturbation",
        "forward_gradient",
        "node_perturbation",
        "weight_perturbation",
    ],
)
def test_stochastic_units_have_noise_of_their_own(name):
    network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
    with pytest.raises(bench.InputError, match="stochastic_mlp is stochastic"):
        bench.estimates(bench.make("rule", name), network, CROSS_ENTROPY, batch)

"""Forward gradients: their twin and their variance."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_perturbation as twin
from perturbation_cells import (
    OBJECTIVES,
    activations,
    agree,
    assert_twins,
    cell,
    drawn,
    goals,
    laws,
    noise_of,
    seeds,
    shapes,
)
from plausibench import bench


@settings(max_examples=25)
@given(shapes, activations, seeds, laws, goals, st.sampled_from(["weights", "activity"]))
def test_twin(sizes, activation, seed, law, goal, perturbing):
    network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
    rule = bench.make("rule", "forward_gradient", perturbing=perturbing, noise=law)
    noise = noise_of(batch, seed)
    if perturbing == "weights":
        xi = noise.parameters(network.parameters, law)
    else:
        xi = noise.examples(network.forward(batch.inputs).drive, law)
    for k, ours in enumerate(drawn(rule, network, OBJECTIVES[goal], batch, seed)):
        own = {name: array[k] for name, array in xi.items()}
        assert_twins(ours, twin.forward_gradient(network, goal, batch, own, perturbing))


@pytest.mark.parametrize("law", ["gaussian", "rademacher"])
@pytest.mark.parametrize("perturbing", ["weights", "activity"])
def test_variance(law, perturbing, record_figure):
    network, batch = cell((6, 8, 5, 3), 4)
    rule = bench.make("rule", "forward_gradient", perturbing=perturbing, noise=law)
    agree(rule, network, batch, record_figure)

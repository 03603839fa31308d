"""Node perturbation of activity, plain and decorrelated: twin, variance, and its bias."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_perturbation as twin
from perturbation_cells import (
    CROSS_ENTROPY,
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
@given(shapes, activations, seeds, laws, goals, st.booleans())
def test_twin(sizes, activation, seed, law, goal, antithetic):
    network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
    options = {"sigma": 0.01, "antithetic": antithetic, "noise": law}
    xi = noise_of(batch, seed).examples(network.forward(batch.inputs).drive, law)
    generator = np.random.default_rng(seed)
    matrices = [generator.standard_normal((n, n)) for n in sizes[:-1]]
    names = ["input", *(population.name for population in network.hidden)]
    state = dict(zip(names, matrices, strict=True))
    for name, given_state, used in (
        ("activity_node_perturbation", {}, None),
        ("decorrelated_node_perturbation", state, matrices),
    ):
        rule = bench.make("rule", name, **options)
        ours = drawn(rule, network, OBJECTIVES[goal], batch, seed, given_state)
        for k in range(2):
            own = {n: array[k] for n, array in xi.items()}
            expected = twin.activity_node_perturbation(
                network, goal, batch, own, 0.01, antithetic, used
            )
            assert_twins(ours[k], expected)


@pytest.mark.parametrize("law", ["gaussian", "rademacher"])
def test_variance_of_one_layer(law, record_figure):
    network, batch = cell((6, 5), 4)
    rule = bench.make("rule", "activity_node_perturbation", noise=law)
    found = agree(rule, network, batch, record_figure)
    row = found.frame.query("projection == 'all' and quantity == 'bias_squared'").iloc[0]
    assert abs(row.value) < row.high - row.low


def test_two_layers_are_biased(record_figure):
    network, batch = cell((6, 8, 5), 4)
    rule = bench.make("rule", "activity_node_perturbation", sigma=1e-4)
    found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000)
    row = found.frame.query("projection == 'all' and quantity == 'bias_squared'").iloc[0]
    record_figure("activity node perturbation, two layers: bias^2", row.value, "above 0")
    assert row.low > 0

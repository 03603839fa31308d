"""PEPITA: its twin."""

import numpy as np
from hypothesis import given, settings

import naive_feedback
from feedback_cells import (
    activations,
    assert_close,
    cell,
    drawn,
    objectives,
    seeds,
    shapes,
)
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "pepita", scale=0.3, gain=2.0)
    before = batch.inputs.copy()
    matrix = rule.initial_state(network, seed)["input"]
    twin = naive_feedback.pepita(network, objective, batch, matrix, 2.0)
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)
    np.testing.assert_array_equal(batch.inputs, before)

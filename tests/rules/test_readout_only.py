"""The control with frozen hidden layers: its twin."""

from hypothesis import given, settings

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, objectives, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.readout_only(network, objective, batch)
    rule = bench.make("rule", "readout_only")
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

"""Indirect feedback alignment: its twin."""

from hypothesis import given, settings

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, objectives, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "indirect_feedback_alignment")
    state = rule.initial_state(network, seed)
    twin = naive_feedback.indirect(network, objective, batch, state.get("layer1"))
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

"""Direct random target projection: its twin."""

from hypothesis import given, settings

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, objectives, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "direct_random_target_projection")
    matrices = list(rule.initial_state(network, seed).values())
    twin = naive_feedback.target_projection(network, objective, batch, matrices)
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

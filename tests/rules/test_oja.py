"""Oja's rules: their twins."""

from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, seeds, st.sampled_from(["single", "subspace", "ordered"]))
def test_twin(sizes, activation, seed, variant):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.oja(network, "cross_entropy", batch, variant)
    rule = bench.make("rule", "oja", variant=variant)
    assert_close(drawn(rule, network, "cross_entropy", batch, seed)[1], twin)

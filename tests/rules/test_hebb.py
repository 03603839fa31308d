"""Hebbian learning: its twin."""

from hypothesis import given, settings

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, objectives, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, seeds)
def test_twin(sizes, activation, seed):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.hebb(network, "cross_entropy", batch)
    rule = bench.make("rule", "hebb", readout=False, gain=1)
    assert_close(drawn(rule, network, "cross_entropy", batch, seed)[1], twin)


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin_with_readout(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.hebb(network, objective, batch, readout=True, gain=0.3)
    rule = bench.make("rule", "hebb", gain=0.3)
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

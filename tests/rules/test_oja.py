"""Oja's rules: their twins."""

from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import activations, assert_close, cell, drawn, objectives, seeds, shapes
from plausibench import bench


@settings(max_examples=20)
@given(shapes, activations, seeds, st.sampled_from(["single", "subspace", "ordered"]))
def test_twin(sizes, activation, seed, variant):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.oja(network, "cross_entropy", batch, variant)
    rule = bench.make("rule", "oja", variant=variant, readout=False, gain=1)
    assert_close(drawn(rule, network, "cross_entropy", batch, seed)[1], twin)


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin_with_readout(sizes, activation, objective, seed):
    """Oja's rule below the output, scaled, and the delta rule there."""
    network, batch = cell(sizes, activation, seed)
    below = naive_feedback.oja(network, objective, batch, "subspace")
    readout = naive_feedback.readout_only(network, objective, batch)
    top = f"layer{len(sizes) - 1}"
    twin = {
        name: readout[name] if name.startswith(top) else 0.3 * array
        for name, array in below.items()
    }
    rule = bench.make("rule", "oja", variant="subspace", gain=0.3)
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

"""Sign symmetry: its twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    activations,
    assert_close,
    cell,
    drawn,
    numpy_noise,
    objectives,
    seeds,
    shapes,
)
from plausibench import bench


@settings(max_examples=30)
@given(
    shapes,
    activations,
    objectives,
    seeds,
    st.sampled_from(["uniform", "fixed", "batchwise"]),
)
def test_twin(sizes, activation, objective, seed, variant):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "sign_symmetry", variant=variant, scale=1.5)
    state, weights = rule.initial_state(network, seed), network.parameters
    for k, one in enumerate(drawn(rule, network, objective, batch, seed)):
        feedback = []
        for p in network.returning:
            inputs = weights[p.name].shape[1]
            magnitude = np.full((inputs, len(weights[p.name])), 1.5 / np.sqrt(inputs))
            if variant == "fixed":
                magnitude = state[p.name]
            elif variant == "batchwise":
                shape = {p.name: weights[p.name]}
                numbers = numpy_noise(batch, seed).fractions(shape, shared=True)[p.name][k]
                magnitude = magnitude * numbers.T
            feedback.append(magnitude * np.sign(weights[p.name].T))
            assert (magnitude >= 0).all()
            assert (magnitude <= 1.5 / np.sqrt(inputs)).all()
        assert_close(one, naive_feedback.layerwise(network, objective, batch, feedback))

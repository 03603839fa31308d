"""Direct feedback alignment: its twin, and its exact limits."""

import numpy as np
from hypothesis import given, settings

import naive
from class_cells import CROSS_ENTROPY, SQUARED_ERROR, classes, mlp, one, relative_error
from plausibench import bench
from twin_cells import activations, assert_twins, cell, seeds, shapes


class TestDirectFeedbackAlignment:
    rule = bench.make("rule", "direct_feedback_alignment")

    def test_with_one_hidden_layer_is_feedback_alignment(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        direct = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        other = bench.make("rule", "feedback_alignment")
        same = one(other, network, CROSS_ENTROPY, batch, state={"layer2.weights": state["layer1"]})
        for name in direct:
            np.testing.assert_array_equal(direct[name], same[name])

    def test_with_products_in_a_linear_network_is_backprop(self, record_figure):
        network = bench.make("architecture", "linear", sizes=[5, 6, 4, 3], seed=1)
        batch = classes(5, 3)
        w = network.parameters
        state = {
            "layer1": (w["layer3.weights"] @ w["layer2.weights"]).T,
            "layer2": w["layer3.weights"].T,
        }
        found = one(self.rule, network, SQUARED_ERROR, batch, state=state)
        error = relative_error(found, bench.gradient(network, SQUARED_ERROR, batch))
        record_figure("direct feedback alignment, linear, against backprop", error, "1e-13")
        assert error < 1e-13


@settings(max_examples=25)
@given(shapes, activations, seeds)
def test_direct_feedback_alignment(sizes, activation, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "direct_feedback_alignment")
    objective = bench.make("objective", "cross_entropy")
    state = bench.initial_state(rule, network, seed=seed)
    ours = bench.estimates(rule, network, objective, batch, samples=1, state=state)
    error = objective.error(network.forward(batch.inputs).output, batch.targets)
    direct = [state[f"layer{number}"] for number in range(1, len(sizes) - 1)]
    assert_twins(
        {name: array[0] for name, array in ours.items()},
        naive.returned(network, batch, error, direct=direct),
    )

"""Feedback alignment: its twin, and its exact limit."""

import numpy as np
import pytest
from hypothesis import given, settings

import naive
from class_cells import CROSS_ENTROPY, classes, mlp, one, relative_error
from plausibench import bench
from twin_cells import activations, assert_twins, cell, seeds, shapes


class TestFeedbackAlignment:
    rule = bench.make("rule", "feedback_alignment")

    @pytest.mark.parametrize("sizes", [[5, 7, 3], [5, 7, 4, 3], [5, 4, 6, 5, 3]])
    def test_with_transposed_weights_is_backprop(self, sizes, record_figure):
        network, batch = mlp(sizes), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        for name in state:
            assert state[name].shape == network.parameters[name].T.shape
            state[name] = network.parameters[name].T
        found = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        error = relative_error(found, bench.gradient(network, CROSS_ENTROPY, batch))
        record_figure("feedback alignment with B = W^T against backprop", error, "1e-14")
        assert error <= 1e-14

    def test_agrees_with_its_naive_twin(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        found = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        twin = {name: np.zeros_like(array) for name, array in network.parameters.items()}
        for b in range(batch.size):
            activities, _ = naive.forward(network, batch.inputs[b])
            error = CROSS_ENTROPY.error(activities[-1][None], batch.targets[b : b + 1])[0]
            feedback = [state["layer2.weights"], state["layer3.weights"]]
            signals = naive.backpropagate(network, batch.inputs[b], error, feedback)
            for number, signal in enumerate(signals, start=1):
                twin[f"layer{number}.weights"] += (
                    np.outer(signal, activities[number - 1]) / batch.size
                )
                twin[f"layer{number}.bias"] += signal / batch.size
        assert relative_error(found, twin) < 1e-12

    def test_random_feedback_is_biased(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch)
        assert found.value("bias_squared", "layer1.weights") > 0.1
        assert found.value("bias_squared", "layer3.weights") == pytest.approx(0, abs=1e-28)
        assert found.value("variance") == 0


@settings(max_examples=25)
@given(shapes, activations, seeds)
def test_feedback_alignment(sizes, activation, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "feedback_alignment")
    objective = bench.make("objective", "cross_entropy")
    state = bench.initial_state(rule, network, seed=seed)
    ours = bench.estimates(rule, network, objective, batch, samples=1, state=state)
    error = objective.error(network.forward(batch.inputs).output, batch.targets)
    feedback = [state[f"layer{number}.weights"] for number in range(2, len(sizes))]
    assert_twins(
        {name: array[0] for name, array in ours.items()},
        naive.returned(network, batch, error, feedback=feedback),
    )

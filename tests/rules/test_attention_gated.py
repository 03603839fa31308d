"""Attention-gated learning: twins of rules of one action, and moments over actions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from class_cells import CROSS_ENTROPY, classes, mlp, relative_error
from plausibench import bench
from twin_cells import activations, assert_twins, cell, noise_of, seeds, shapes


def probabilities(network, batch):
    shifted = np.exp(network.forward(batch.inputs).output)
    return shifted / shifted.sum(axis=1, keepdims=True)


class TestAttentionGated:
    rule = bench.make("rule", "attention_gated")

    def test_enumerated_mean_is_the_gradient_of_cross_entropy(self, record_figure):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        error = relative_error(found.mean, bench.gradient(network, CROSS_ENTROPY, batch))
        record_figure("AGREL, enumerated mean against cross-entropy gradient", error, "1e-12")
        assert error < 1e-12

    def test_second_moment_and_variance_at_the_output(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        policy = probabilities(network, batch)[0]
        chance = policy[batch.targets[0]]
        target = (np.arange(3) == batch.targets[0]).astype(float)
        spread = (1 - chance) / chance - np.sum((target - policy) ** 2)
        below = network.forward(batch.inputs).activity["layer1"][0]
        assert found.value("absolute_variance", "layer2.weights") == pytest.approx(
            below @ below * spread, rel=1e-12
        )
        assert found.value("absolute_variance", "layer2.bias") == pytest.approx(spread, rel=1e-12)

    def test_enumeration_agrees_with_sampling(self):
        network, batch = mlp([5, 7, 3], seed=2), classes(5, 3, examples=2)
        options = {"samples": 20000, "seed": 3, "method": "sampled"}
        sampled = bench.measure(self.rule, network, CROSS_ENTROPY, batch, **options).frame
        exact = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        for row in sampled[sampled["quantity"] == "variance"].itertuples():
            # The interval is at 95 %; twice its half-width fails once in 2000 rows.
            half = row.high - row.low
            assert abs(row.value - exact.value("variance", row.projection)) < half

    def test_response_to_one_action_agrees_with_the_equation(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        clean = network.forward(batch.inputs)
        policy = probabilities(network, batch)[0]
        for action in range(3):
            found = self.rule.respond(network, batch, clean, {}, np.array([[action]]))
            rewarded = action == batch.targets[0]
            signal = (1 - policy[action]) / policy[action] if rewarded else -1.0
            output = -signal * (np.arange(3) == action)
            twin = naive.backpropagate(network, batch.inputs[0], output)
            np.testing.assert_allclose(found["layer2.bias"].post[0, 0], twin[1], rtol=1e-12)
            np.testing.assert_allclose(found["layer1.bias"].post[0, 0], twin[0], rtol=1e-12)


@settings(max_examples=25)
@given(shapes, activations, seeds, st.sampled_from(["attention_gated", "brainprop"]))
def test_rules_of_sampled_actions(sizes, activation, seed, name):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", name)
    goal = "cross_entropy" if name == "attention_gated" else "mean_squared_error"
    objective = bench.make("objective", goal)
    ours = bench.estimates(rule, network, objective, batch, samples=3, seed=seed)
    actions = noise_of(batch, seed).actions(rule.policy(network.forward(batch.inputs)))
    twin = {"attention_gated": naive.attention_gated, "brainprop": naive.brainprop}[name]
    for k in range(3):
        drawn = {projection: array[k] for projection, array in ours.items()}
        assert_twins(drawn, twin(network, batch, actions[k]))

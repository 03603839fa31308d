"""Deep feedback control: its twin, its Jacobian and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestDeepFeedbackControl:
    @settings(max_examples=20)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid"]),
        st.sampled_from(["drive", "activity"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, compared, objective, seed):
        network, batch = cell("mlp", sizes, seed, activation=activation)
        options = {"compared": compared, "leak": 0.5, "target_step": 0.078}
        rule = bench.make("rule", "deep_feedback_control", **options)
        state = rule.initial_state(network, seed)
        twin = naive_energy.deep_feedback_control(
            network, objective, batch, state, 0.078, 0.5, compared
        )
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch, state=state), twin, relative=1e-6)

    def test_product_is_the_jacobian_of_a_linear_network(self):
        """And so the rule is backpropagation there, up to the leak."""
        network, batch = cell("linear", [5, 4, 4, 3])
        rule = bench.make("rule", "deep_feedback_control", leak=1e9)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(rule, network, CROSS_ENTROPY, batch), exact, relative=1e-6)

    def test_feedback_follows_the_weights(self):
        network, batch = cell("mlp", [5, 4, 3])
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, network.dtype)
        clean = network.forward(batch.inputs)
        moved = network.with_parameters({n: 2 * a for n, a in network.parameters.items()})
        step = Step(moved, CROSS_ENTROPY, batch, clean, {}, 0.0, noise)
        for feedback, follows in (("product", True), ("random", False)):
            rule = bench.make("rule", "deep_feedback_control", feedback=feedback)
            state = rule.initial_state(network, 0)
            after = rule.advance(state, step)
            assert np.array_equal(after["layer1"], (2 if follows else 1) * state["layer1"])

    def test_average_follows_the_jacobians_of_the_examples(self):
        """Against differences of outputs, of every example, after two steps."""
        network, batch = cell("mlp", [5, 4, 3], activation="sigmoid")
        rule = bench.make("rule", "deep_feedback_control", averaging=0.25)
        still = Step(network, CROSS_ENTROPY, batch, network.forward(batch.inputs), {}, 0.0, None)
        first = rule.initial_state(network, 0)
        state = rule.advance(rule.advance(first, still), still)
        for name, size in (("layer1", 4), ("layer2", 3)):
            mean, h = np.empty((size, 3)), 1e-5
            for k in range(size):
                noise = {name: np.zeros((1, batch.size, size))}
                noise[name][..., k] = h
                up, down = (
                    network.forward(batch.inputs, drive_noise=noise, amplitude=sign).output
                    for sign in (1.0, -1.0)
                )
                mean[k] = ((up - down) / (2 * h)).reshape(-1, 3).mean(axis=0)
            np.testing.assert_allclose(
                state[name], 0.5625 * first[name] + 0.4375 * mean, rtol=1e-8, atol=1e-9
            )

    @pytest.mark.parametrize(
        "options",
        [
            {"averaging": 0},
            {"averaging": 1.5},
            {"leak": 0},
            {"target_step": 0},
            {"compared": "rate"},
            {"feedback": "learned"},
        ],
    )
    def test_options_are_refused(self, options):
        with pytest.raises(InputError, match=rf"\b{list(options)[-1]}: "):
            bench.make("rule", "deep_feedback_control", **options)

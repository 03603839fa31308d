"""Target propagation and difference target propagation: twins, and the feedback that they learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_energy
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestTargets:
    @settings(max_examples=20)
    @given(
        st.booleans(),
        st.lists(st.integers(1, 6), min_size=2, max_size=4),
        st.sampled_from(["identity", "tanh", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, corrected, sizes, activation, objective, seed):
        network, batch = cell("mlp", sizes, seed, activation=activation, output="sigmoid")
        name = "difference_target_propagation" if corrected else "target_propagation"
        rule = bench.make("rule", name, target_step=0.3)
        state = rule.initial_state(network, seed)
        twin = naive_energy.target_propagation(network, objective, batch, state, 0.3, corrected)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch, state=state), twin)

    def learned(self, rule, network, batch, state, steps):
        for number in range(steps):
            clean = network.forward(batch.inputs)
            noise = Noise(0, np.array([number]), batch.keys, network.dtype)
            step = Step(network, CROSS_ENTROPY, batch, clean, {}, 0.0, noise)
            state = rule.advance(state, step)
        return state

    def test_feedback_descends_the_error_of_reconstruction(self):
        network, batch = cell("mlp", [5, 4, 3, 2])
        rule = bench.make("rule", "target_propagation", feedback_rate=0.1, noise=0.2)
        state = rule.initial_state(network, 3)
        found = self.learned(rule, network, batch, state, 1)
        clean = network.forward(batch.inputs)
        noise = Noise(0, np.array([0]), batch.keys, network.dtype)
        disturbed = {}
        for k in (1, 2):
            name = f"layer{k}"
            drawn = noise.examples({f"{name}.reconstruction": clean.activity[name]})
            disturbed[k] = clean.activity[name] + 0.2 * drawn[f"{name}.reconstruction"][0]
        for k in (1, 2):
            weights, bias, _ = naive.layers(network)[k]
            above = (
                np.tanh(disturbed[k] @ weights.T + bias)
                if k == 1
                else (disturbed[k] @ weights.T + bias)
            )
            share = 0.1 / ((above**2).sum() + batch.size)
            for name in (f"layer{k + 1}.weights", f"layer{k}.feedback_bias"):
                slope = np.empty_like(state[name])
                for index in np.ndindex(slope.shape):
                    errors = []
                    for h in (1e-5, -1e-5):
                        moved = {key: array.copy() for key, array in state.items()}
                        moved[name][index] += h
                        errors.append(naive_energy.reconstruction_error(network, moved, disturbed))
                    slope[index] = (errors[0] - errors[1]) / 2e-5
                np.testing.assert_allclose(
                    found[name], state[name] - share * slope, rtol=1e-7, atol=1e-9
                )

    def test_feedback_learns_the_inverse_of_linear_layers(self, record_figure):
        network, _ = cell("linear", [4, 4, 4], seed=5)
        weights = {name: np.linalg.qr(array)[0] for name, array in network.parameters.items()}
        network = network.with_parameters(weights)
        generator = np.random.default_rng(0)
        batch = bench.Batch(generator.standard_normal((30, 4)), generator.integers(0, 4, 30))
        rule = bench.make("rule", "difference_target_propagation", feedback_rate=1.0, noise=0.5)
        state = self.learned(rule, network, batch, rule.initial_state(network, 0), 400)
        identity = state["layer2.weights"] @ weights["layer2.weights"]
        apart = np.abs(identity - np.eye(4)).max()
        record_figure("learned path back against the inverse", apart, 1e-3)
        assert apart < 1e-3

    @pytest.mark.parametrize("options", [{"target_step": 0}, {"feedback_rate": -1}, {"noise": -1}])
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            bench.make("rule", "target_propagation", **options)

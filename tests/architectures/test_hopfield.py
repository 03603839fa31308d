"""The Hopfield network: its gradient, its rest, and what runs on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_energy
from plausibench import bench
from plausibench.architectures.hopfield import Hopfield
from plausibench.architectures.mlp import Mlp
from plausibench.bench.components import registry
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules.noise import Noise
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one

SETTLING = {"backprop", "equilibrium_propagation", "weight_perturbation"}


class TestHopfield:
    @pytest.mark.parametrize(
        "options", [{}, {"activation": "tanh", "output": "sigmoid"}, {"bias": False}]
    )
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_gradient_agrees_with_finite_differences(self, options, objective, record_figure):
        network, batch = cell("hopfield", [5, 6, 4, 3], **options)
        goal = bench.make("objective", objective)
        exact = bench.gradient(network, goal, batch)
        differences = naive.finite_difference_gradient(
            network, lambda q: bench.loss(network.with_parameters(q), goal, batch), h=1e-5
        )
        error = max(
            np.abs(exact[name] - array).max() / np.abs(array).max()
            for name, array in differences.items()
        )
        record_figure("hopfield, gradient against finite differences", error, 1e-7)
        assert error < 1e-7

    @settings(max_examples=15)
    @given(
        st.lists(st.integers(1, 6), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh"]),
        st.integers(0, 2**20),
    )
    def test_fixed_point_twin(self, sizes, activation, seed):
        network, batch = cell("hopfield", sizes, seed, activation=activation, scale=0.4)
        clean = network.forward(batch.inputs)
        for b, x in enumerate(batch.inputs):
            twin = naive_energy.rest(network, x)
            for number in range(1, len(sizes)):
                np.testing.assert_allclose(
                    clean.activity[f"layer{number}"][b], twin[number], rtol=1e-9, atol=1e-11
                )

    def test_samples_settle_as_they_would_alone(self):
        network, batch = cell("hopfield", [5, 4, 3])
        generator = np.random.default_rng(3)
        clean = network.forward(batch.inputs)
        weights = network.parameters["layer1.weights"]
        stacked = weights + 0.1 * generator.standard_normal((2, *weights.shape))
        noise = {"layer1": generator.standard_normal((2, batch.size, 4))}
        passed = network.forward(
            batch.inputs,
            parameters={"layer1.weights": stacked},
            drive_noise=noise,
            amplitude=0.1,
            clean=clean,
        )
        for k in range(2):
            changed = {**network.parameters, "layer1.weights": stacked[k]}
            shifted = network.with_parameters(changed)
            alone = shifted.forward(
                batch.inputs, drive_noise={"layer1": noise["layer1"][k]}, amplitude=0.1
            )
            np.testing.assert_allclose(passed.output[k], alone.output, rtol=1e-10, atol=1e-12)
            drive = alone.drive["layer1"]
            np.testing.assert_allclose(passed.drive["layer1"][k], drive, rtol=1e-10, atol=1e-12)

    def test_signals_are_derivatives_by_the_drive(self):
        """A constant current into one neuron, by central differences."""
        network, batch = cell("hopfield", [5, 4, 3])
        clean, h = network.forward(batch.inputs), 1e-5
        error = CROSS_ENTROPY.error(clean.output, batch.targets)
        signals = network.credit(clean, {"layer2": error})
        for name, size in (("layer1", 4), ("layer2", 3)):
            for neuron in range(size):
                push = np.zeros((batch.size, size))
                push[:, neuron] = h
                losses = [
                    CROSS_ENTROPY.losses(
                        network.forward(batch.inputs, drive_noise={name: sign * push}).output,
                        batch.targets,
                    )
                    for sign in (1, -1)
                ]
                found = (losses[0] - losses[1]) / (2 * h)
                np.testing.assert_allclose(signals[name][:, neuron], found, rtol=1e-6, atol=1e-9)

    def test_without_hidden_layers_it_is_feed_forward(self):
        network, batch = cell("hopfield", [5, 3])
        chain = Mlp([5, 3]).build().with_parameters(network.parameters)
        assert_close(
            bench.gradient(network, CROSS_ENTROPY, batch),
            bench.gradient(chain, CROSS_ENTROPY, batch),
            relative=1e-13,
        )

    def test_other_feedback_is_refused(self):
        network, batch = cell("hopfield", [5, 4, 3])
        clean = network.forward(batch.inputs)
        with pytest.raises(InputError, match="its own weights"):
            network.credit(clean, {"layer2": clean.output}, feedback={})

    def test_activity_without_bound_diverges(self):
        network, batch = cell("hopfield", [5, 6, 4, 3], activation="identity", scale=2.0)
        with pytest.raises(Divergence, match="without end"):
            network.forward(batch.inputs)

    def test_too_few_sweeps_diverge(self):
        network, batch = cell("hopfield", [5, 6, 4, 3], steps=2)
        with pytest.raises(Divergence, match="2 sweeps"):
            network.forward(batch.inputs)

    @pytest.mark.parametrize("options", [{"tolerance": 0}, {"steps": 0}, {"activation": "sine"}])
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            Hopfield([4, 3, 2], **options)

    @pytest.mark.parametrize("name", sorted(registry.entries("rule")))
    def test_rules_for_feed_forward_networks_refuse_it(self, name):
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", name)
        reason = rule.refusal(network, CROSS_ENTROPY)
        assert (reason is None) == ("settling" in rule.dynamics)
        assert reason is None or name not in SETTLING
        if reason is not None:
            assert "hopfield is settling" in reason
            with pytest.raises(InputError, match="hopfield is settling"):
                one(rule, network, CROSS_ENTROPY, batch)

    def test_backprop_is_its_gradient(self):
        network, batch = cell("hopfield", [5, 6, 4, 3])
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(bench.make("rule", "backprop"), network, CROSS_ENTROPY, batch), exact, 0)

    def test_weight_perturbation_is_right_on_it(self, record_figure):
        """One draw is the directional derivative along its noise, to second order in sigma."""
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", "weight_perturbation", sigma=1e-3)
        drawn = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=2)
        keys = np.zeros(1, dtype=np.uint64)
        noise = Noise(0, np.arange(2), keys, np.dtype(float)).parameters(network.parameters)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        along = sum((noise[name] * exact[name]).reshape(2, -1).sum(axis=1) for name in noise)
        expected = along[:, None] * noise["layer1.bias"]
        error = np.abs(drawn["layer1.bias"] - expected).max() / np.abs(expected).max()
        record_figure("weight perturbation in a settling network", error, 1e-5)
        assert error < 1e-5

    @pytest.mark.parametrize("rule", ["backprop", "equilibrium_propagation"])
    def test_it_learns_digits(self, rule, record_figure):
        network = bench.make("architecture", "hopfield", sizes=[64, 32, 10], seed=0)
        found = bench.train(
            bench.make("rule", rule),
            bench.make("task", "digits"),
            network,
            CROSS_ENTROPY,
            steps=80,
            learning_rate=0.3,
            evaluate_every=80,
        )
        losses = [row["value"] for row in found.rows if row["quantity"] == "test_loss"]
        record_figure(
            f"hopfield, digits, loss after 80 steps of {rule}", losses[-1], 0.7 * losses[0]
        )
        assert losses[-1] < 0.7 * losses[0]

"""AuGMEnT: its twin, its closed form and its reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_sequel
from keyed_cells import NETWORKS, SQUARED_ERROR, activations, assert_twins, cell, seeds, shapes
from plausibench import bench
from plausibench.rules.noise import Noise

shares = st.sampled_from([0.0, 0.3, 1.0])


class TestAugment:
    @settings(max_examples=40)
    @given(shapes, activations, seeds, shares, shares)
    def test_twin(self, sizes, activation, seed, discount, trace):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = bench.make("rule", "augment", discount=discount, trace=trace, exploration="softmax")
        clean = network.forward(batch.inputs)
        drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=3, seed=seed)
        noise = Noise(seed, np.arange(3), batch.keys, np.dtype(float))
        for k, actions in enumerate(noise.actions(rule.policy(clean))):
            expected = naive_sequel.augment(network, batch, actions, discount, trace)
            assert_twins({name: array[k] for name, array in drawn.items()}, expected, 1e-8)

    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(st.integers(1, 3), min_size=2, max_size=3),
        seeds,
        shares,
        shares,
        st.sampled_from(["max_boltzmann", "softmax", "uniform"]),
    )
    def test_closed_form_is_the_sum_over_all_sequences_of_actions(
        self, sizes, seed, discount, trace, exploration
    ):
        network, batch = cell(sizes, seed, examples=1 + seed % 4)
        rule = bench.make(
            "rule",
            "augment",
            discount=discount,
            trace=trace,
            exploration=exploration,
            epsilon=(seed % 3) / 2,
        )
        clean = network.forward(batch.inputs)
        action = frozenset({"action"})
        form = rule.closed_form(network, SQUARED_ERROR, batch, clean, action)
        mean, variance = naive_sequel.augment_moments(
            network, batch, rule.policy(clean), discount, trace
        )
        for name, expected in mean.items():
            np.testing.assert_allclose(form.mean[name], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(form.variance[name], variance[name], rtol=1e-8, atol=1e-12)
        assert rule.closed_form(network, SQUARED_ERROR, batch, clean, frozenset()) is None

    @settings(max_examples=20)
    @given(shapes, seeds, shares, shares)
    def test_reference_holds_expected_returns(self, sizes, seed, discount, trace):
        network, batch = cell(sizes, seed)
        rule = bench.make("rule", "augment", discount=discount, trace=trace)
        clean = network.forward(batch.inputs)
        order = np.argsort(batch.keys)
        values, policy = clean.output[order], rule.policy(clean)[order]
        rewards = np.eye(sizes[-1])[batch.targets[order]]
        returns = naive_sequel.expected_returns(rewards, values, policy, discount, trace)

        def loss(moved):
            output = naive.batch_forward(network, batch.inputs[order], parameters=moved)[0][-1]
            return 0.5 * np.sum(policy * (returns - output) ** 2) / batch.size

        expected = naive.finite_difference_gradient(network, loss, h=1e-5)
        found = rule.reference(network, SQUARED_ERROR, batch, clean)
        assert_twins(found, expected, 1e-5)

    @pytest.mark.parametrize("options", [{"discount": 0.0}, {"episode": 1}])
    def test_is_brainprop_without_a_future(self, options):
        network, batch = NETWORKS["tanh"]
        if "episode" in options:
            batch, options = batch.take([3]), {}
        ours, theirs = (
            bench.estimates(rule, network, SQUARED_ERROR, batch, samples=20)
            for rule in (bench.make("rule", "augment", **options), bench.make("rule", "brainprop"))
        )
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-13, atol=1e-15)

    def test_measured_exactly_agrees_with_sampling(self, record_figure):
        network, batch = NETWORKS["sigmoid"]
        rule = bench.make("rule", "augment", exploration="softmax", trace=0.7)
        exact, sampled = (
            bench.measure(rule, network, SQUARED_ERROR, batch, samples=20_000, method=method)
            for method in ("exact", "sampled")
        )
        found = sampled.value("variance") / exact.value("variance")
        record_figure("augment: sampled over exact variance", found, 1.0)
        assert abs(found - 1) < 0.05
        assert abs(exact.value("bias_squared")) < 1e-25


def test_another_objective_is_refused():
    network, _ = NETWORKS["tanh"]
    goal = bench.make("objective", "cross_entropy")
    assert "mean_squared_error" in bench.make("rule", "augment").refusal(network, goal)

"""AuGMEnT: its twins, its closed form, its reference, and what memory units are for."""

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
policies = st.sampled_from(["max_boltzmann", "softmax", "uniform"])


def trials(seed, steps=3, sizes=(3, 5, 2), examples=3):
    """A network with memory units, and trials of which some steps count, by unequal weights."""
    random = np.random.default_rng(seed)
    network = bench.make("architecture", "memory_units", sizes=sizes, seed=seed)
    network = network.with_parameters(
        {n: w + 0.3 * random.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    inputs = random.standard_normal((examples, steps, sizes[0]))
    classes = random.integers(0, sizes[-1], (examples, steps))
    mask = random.integers(0, 3, (examples, steps)).astype(float)
    mask[:, -1] += 1
    return network, bench.Batch(inputs, classes, random.permutation(90)[:examples], mask)


def drawn_actions(rule, network, batch, seed, samples):
    clean = network.forward(batch.inputs)
    noise = Noise(seed, np.arange(samples), batch.keys, np.dtype(float))
    return noise.actions(rule.policy(clean))


class TestAugment:
    @settings(max_examples=40)
    @given(shapes, activations, seeds, shares, shares)
    def test_twin(self, sizes, activation, seed, discount, trace):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = bench.make("rule", "augment", discount=discount, trace=trace, exploration="softmax")
        drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=3, seed=seed)
        for k, actions in enumerate(drawn_actions(rule, network, batch, seed, 3)):
            expected = naive_sequel.augment(network, batch, actions, discount, trace)
            assert_twins({name: array[k] for name, array in drawn.items()}, expected, 1e-8)

    @settings(max_examples=40, deadline=None)
    @given(seeds, st.integers(1, 6), shares, shares)
    def test_twin_in_time(self, seed, steps, discount, trace):
        network, batch = trials(seed, steps)
        rule = bench.make("rule", "augment", discount=discount, trace=trace, exploration="softmax")
        drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=2, seed=seed)
        for k, actions in enumerate(drawn_actions(rule, network, batch, seed, 2)):
            expected = naive_sequel.augment_in_time(
                network, batch, actions.reshape(steps, -1), discount, trace
            )
            assert_twins({name: array[k] for name, array in drawn.items()}, expected)

    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 4), st.integers(2, 3), seeds, shares, shares, policies)
    def test_closed_form_is_the_sum_over_all_sequences_of_actions(
        self, steps, outputs, seed, discount, trace, exploration
    ):
        network, batch = trials(seed, steps, (2, 4, outputs), examples=2)
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
        policy = rule.policy(clean).reshape(steps, batch.size, outputs)
        mean, variance = naive_sequel.augment_moments(network, batch, policy, discount, trace)
        for name, expected in mean.items():
            np.testing.assert_allclose(form.mean[name], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(form.variance[name], variance[name], rtol=1e-8, atol=1e-12)
        assert rule.closed_form(network, SQUARED_ERROR, batch, clean, frozenset()) is None

    @settings(max_examples=20, deadline=None)
    @given(seeds, st.integers(1, 5), shares, shares)
    def test_reference_holds_expected_returns(self, seed, steps, discount, trace):
        network, batch = trials(seed, steps, examples=1)
        batch = bench.Batch(batch.inputs, batch.targets, batch.keys)  # every step counts once
        rule = bench.make("rule", "augment", discount=discount, trace=trace)
        clean = network.forward(batch.inputs)
        values, policy = clean.output, rule.policy(clean)
        rewards = np.eye(values.shape[1])[batch.targets[0]]
        returns = naive_sequel.expected_returns(rewards, values, policy, discount, trace)

        def loss(moved):
            changed = network.with_parameters(moved)
            course = naive_sequel.memory_trial(changed, batch.inputs[0])
            output = np.array([step[-1] for step in course])
            return 0.5 * np.sum(policy * (returns - output) ** 2) / steps

        expected = naive.finite_difference_gradient(network, loss, h=1e-5)
        found = rule.reference(network, SQUARED_ERROR, batch, clean)
        assert_twins(found, expected, 1e-5)

    def test_is_brainprop_without_time(self):
        network, batch = NETWORKS["tanh"]
        ours, theirs = (
            bench.estimates(bench.make("rule", rule), network, SQUARED_ERROR, batch, samples=20)
            for rule in ("augment", "brainprop")
        )
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-13, atol=1e-15)

    def test_measured_exactly_agrees_with_sampling(self, record_figure):
        rule = bench.make("rule", "augment", exploration="softmax", trace=0.7)
        for name, (network, batch) in (("no time", NETWORKS["sigmoid"]), ("trials", trials(3))):
            exact, sampled = (
                bench.measure(rule, network, SQUARED_ERROR, batch, samples=20_000, method=method)
                for method in ("exact", "sampled")
            )
            found = sampled.value("variance") / exact.value("variance")
            record_figure(f"augment, {name}: sampled over exact variance", found, 1.0)
            assert abs(found - 1) < 0.05
            assert abs(exact.value("bias_squared")) < 1e-25


def test_another_objective_is_refused():
    network, _ = NETWORKS["tanh"]
    goal = bench.make("objective", "cross_entropy")
    assert "mean_squared_error" in bench.make("rule", "augment").refusal(network, goal)


@pytest.mark.parametrize("architecture", ["rate_rnn", "mode_rnn"])
def test_neurons_that_drive_each_other_in_time_are_refused(architecture):
    network = bench.make("architecture", architecture, sizes=[3, 4, 2])
    assert "use memory_units" in bench.make("rule", "augment").refusal(network, SQUARED_ERROR)

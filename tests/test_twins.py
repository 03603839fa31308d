"""Every rule against its naive twin, given the same noise, on many shapes and seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from plausibench import bench
from plausibench.rules.noise import Noise

shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)
laws = st.sampled_from(["gaussian", "rademacher"])


def cell(sizes, activation, seed):
    generator = np.random.default_rng(seed)
    network = bench.make(
        "architecture", "mlp", sizes=sizes, activation=activation, seed=seed, bias=bool(seed % 2)
    )
    examples = int(generator.integers(1, 6))
    inputs = generator.standard_normal((examples, sizes[0]))
    batch = bench.Batch(
        inputs, generator.integers(0, sizes[-1], examples), keys=generator.permutation(examples)
    )
    return network, batch


def assert_twins(ours, twin):
    scale = max(np.abs(array).max() for array in twin.values()) + 1e-300
    for name in twin:
        np.testing.assert_allclose(ours[name], twin[name], rtol=1e-7, atol=1e-8 * scale)


def noise_of(batch, seed, samples=3):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))


@settings(max_examples=25)
@given(shapes, activations, seeds, laws, st.booleans())
def test_node_perturbation(sizes, activation, seed, law, antithetic):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "node_perturbation", sigma=0.01, antithetic=antithetic, noise=law)
    objective = bench.make("objective", "cross_entropy")
    ours = bench.estimates(rule, network, objective, batch, samples=3, seed=seed)
    xi = noise_of(batch, seed).examples(network.forward(batch.inputs).drive, law)
    for k in range(3):
        drawn = {name: array[k] for name, array in xi.items()}
        twin = naive.node_perturbation(network, "cross_entropy", batch, drawn, 0.01, antithetic)
        assert_twins({name: array[k] for name, array in ours.items()}, twin)


@settings(max_examples=25)
@given(shapes, activations, seeds, laws, st.booleans())
def test_weight_perturbation(sizes, activation, seed, law, antithetic):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "weight_perturbation", sigma=0.01, antithetic=antithetic, noise=law)
    objective = bench.make("objective", "mean_squared_error")
    ours = bench.estimates(rule, network, objective, batch, samples=3, seed=seed)
    xi = noise_of(batch, seed).parameters(network.parameters, law)
    for k in range(3):
        drawn = {name: array[k] for name, array in xi.items()}
        twin = naive.weight_perturbation(
            network, "mean_squared_error", batch, drawn, 0.01, antithetic
        )
        assert_twins({name: array[k] for name, array in ours.items()}, twin)


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


def test_actions_follow_the_policy(record_figure):
    policy = np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
    batch = bench.Batch(np.zeros((2, 1)), np.zeros(2, dtype=int))
    actions = noise_of(batch, seed=5, samples=40_000).actions(policy)
    assert (actions[:, 1] == 1).all()
    shares = np.bincount(actions[:, 0], minlength=3) / 40_000
    # Five standard errors of the largest share.
    assert np.abs(shares - policy[0]).max() < 5 * np.sqrt(0.25 / 40_000)


def test_running_statistics_twin_agrees_with_the_engine():
    network, batch = cell([4, 5, 3], "tanh", seed=3)
    objective, rule = (
        bench.make("objective", "cross_entropy"),
        bench.make("rule", "node_perturbation"),
    )
    draws = bench.estimates(rule, network, objective, batch, samples=100)
    running = naive.RunningStatistics(bench.gradient(network, objective, batch))
    for k in range(100):
        running.add({name: array[k] for name, array in draws.items()})
    found = bench.measure(rule, network, objective, batch, samples=100, method="sampled")
    bias, variance = running.relative()
    assert found.value("bias_squared") == pytest.approx(bias, rel=1e-9)
    assert found.value("variance") == pytest.approx(variance, rel=1e-9)

"""Multiplicative gates: forward pass, gradient, tangent, and which rules run with them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench import bench
from plausibench.architectures.attention_gated_network import PartialSynapse
from plausibench.bench.components import registry
from plausibench.bench.components.support import obstacle
from plausibench.kernels.errors import InputError

RUNS = {
    "activity_node_perturbation",
    "attention_gated",
    "backprop",
    "decorrelated_node_perturbation",
    "direct_feedback_alignment",
    "direct_random_target_projection",
    "feedback_alignment",
    "forward_gradient",
    "hebb",
    "indirect_feedback_alignment",
    "kolen_pollack",
    "learned_feedback",
    "local_losses",
    "node_perturbation",
    "oja",
    "pepita",
    "readout_only",
    "regression_discontinuity_feedback",
    "segregated_dendrites",
    "sign_symmetry",
    "three_factor",
    "weight_mirror",
    "weight_perturbation",
}
"""Rules that run with the cross-entropy."""
NEED_LAYERS = {
    "burstprop",
    "contrastive_hebbian",
    "difference_reconstruction",
    "difference_target_propagation",
    "spiking_burstprop",
    "target_propagation",
}
NEED_SUMS = {"deep_feedback_control", "forward_forward", "predictive_coding", "soft_hebb"}
"""Of activity that follows from a drive, which a gate multiplies."""


def gated(seed=0, **options):
    return bench.make(
        "architecture",
        "attention_gated_network",
        **{"inputs": 7, "cue": 2, "hidden": (5, 4), "outputs": 3, "seed": seed, **options},
    )


def batch(seed=0, examples=6):
    draw = np.random.default_rng(seed)
    return bench.Batch(draw.standard_normal((examples, 7)), draw.integers(0, 3, examples))


def naive(network, inputs, cue=2):
    """The equation, in plain numpy."""
    p, squash = network.parameters, lambda z: 1 / (1 + np.exp(-z))
    seen, cued = inputs[:, :-cue], inputs[:, -cue:]
    gate = squash(cued @ p["gate.weights"].T + p["gate.bias"])
    first = np.tanh(seen @ p["layer1.weights"].T + p["layer1.bias"]) * gate
    second = np.tanh(first @ p["layer2.weights"].T + p["layer2.bias"])
    return second @ p["layer3.weights"].T + p["layer3.bias"]


@pytest.mark.parametrize("seed", range(3))
def test_forward_pass_is_that_of_the_equation(seed):
    network, inputs = gated(seed), batch(seed).inputs
    np.testing.assert_allclose(
        network.forward(inputs).output, naive(network, inputs), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("objective", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("gate", ["sigmoid", "softplus"])
def test_gradient_is_that_of_differences(objective, gate, record_figure):
    loss, network, data = bench.make("objective", objective), gated(gate=gate), batch()
    exact = bench.gradient(network, loss, data)
    worst, h = 0.0, 1e-6
    for name, array in network.parameters.items():
        for index in np.ndindex(array.shape):
            moved = [{**network.parameters, name: array.copy()} for _ in range(2)]
            moved[0][name][index] += h
            moved[1][name][index] -= h
            above, below = (bench.loss(network.with_parameters(p), loss, data) for p in moved)
            worst = max(worst, abs((above - below) / (2 * h) - exact[name][index]))
    record_figure(f"gradient with gates ({gate}, {objective}), absolute error", worst, "1e-8")
    assert worst < 1e-8  # rounding of a loss of about 1, over 2e-6
    assert all(np.abs(array).max() > 1e-4 for array in exact.values())


def test_tangent_is_that_of_differences():
    network, inputs, h = gated(), batch().inputs, 1e-6
    draw = np.random.default_rng(3)
    clean = network.forward(inputs)
    parameters = {n: draw.standard_normal((1, *a.shape)) for n, a in network.parameters.items()}
    drives = {n: draw.standard_normal((1, *a.shape)) for n, a in clean.drive.items()}
    exact = network.tangent(clean, drives, parameters).output

    def passed(size):
        moved = {n: a + size * parameters[n] for n, a in network.parameters.items()}
        return network.forward(inputs, parameters=moved, drive_noise=drives, amplitude=size).output

    np.testing.assert_allclose((passed(h) - passed(-h)) / (2 * h), exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["gate", "layer1", "layer2"])
def test_what_noise_does_not_reach_is_taken_from_the_clean_pass(name):
    network, inputs = gated(), batch().inputs
    clean = network.forward(inputs)
    noise = {name: np.random.default_rng(0).standard_normal((2, *clean.drive[name].shape))}
    with_clean = network.forward(inputs, drive_noise=noise, amplitude=0.3, clean=clean)
    without = network.forward(inputs, drive_noise=noise, amplitude=0.3)
    np.testing.assert_allclose(with_clean.output, without.output, rtol=1e-12)
    assert np.abs(with_clean.output - clean.output).max() > 1e-3


def test_a_closed_gate_silences_the_neurons_and_what_they_learn():
    network = gated(gate="relu")
    shut = {**network.parameters, "gate.bias": np.full(5, -100.0)}
    network = network.with_parameters(shut)
    clean = network.forward(batch().inputs)
    assert not clean.activity["layer1"].any()
    gradient = bench.gradient(network, bench.make("objective", "cross_entropy"), batch())
    assert not gradient["layer1.weights"].any()
    assert gradient["layer3.bias"].any()


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 99))
def test_partial_synapse_is_dense_with_zeros(outputs, inputs, first, seed):
    draw = np.random.default_rng(seed)
    synapse = PartialSynapse(outputs, inputs, first, first + inputs + 2)
    weights, whole = draw.standard_normal((outputs, inputs)), np.zeros((outputs, synapse.source))
    whole[:, first : first + inputs] = weights
    pre, post = draw.standard_normal((5, synapse.source)), draw.standard_normal((2, 5, outputs))
    np.testing.assert_allclose(synapse.drive(weights, pre), pre @ whole.T, atol=1e-13)
    np.testing.assert_allclose(synapse.feedback(weights, post), post @ whole, atol=1e-13)
    expected = (post.swapaxes(-1, -2) @ pre)[..., first : first + inputs]
    np.testing.assert_allclose(synapse.outer(post, pre), expected, atol=1e-12)
    driven = (post * synapse.drive(weights, pre)).sum(axis=(-1, -2))
    np.testing.assert_allclose((expected * weights).sum(axis=(-1, -2)), driven, atol=1e-11)


def test_every_rule_runs_or_says_why_not():
    network, loss, data = gated(), bench.make("objective", "cross_entropy"), batch()
    ran, reasons = set(), {}
    for name in registry.entries("rule"):
        rule = bench.make("rule", name)
        reason = obstacle(rule, network, loss)
        if reason is None:
            found = bench.estimates(rule, network, loss, data, samples=2)
            assert all(np.isfinite(array).all() for array in found.values()), name
            ran.add(name)
        else:
            assert len(reason.split()) > 3, name
            reasons[name] = reason
    assert ran >= RUNS
    assert all("needs layers" in reasons[name] for name in NEED_LAYERS)
    assert all("multiplies" in reasons[name] for name in NEED_SUMS)


@pytest.mark.parametrize("name", ["node_perturbation", "weight_perturbation", "forward_gradient"])
def test_perturbation_is_unbiased_with_gates(name):
    """Fails by chance less than once in 10,000: the estimator over its standard error."""
    network, loss = gated(), bench.make("objective", "cross_entropy")
    rule = bench.make("rule", name)
    found = bench.measure(rule, network, loss, batch(), samples=4000, method="sampled")
    for row in found.rows:
        if row["projection"] == "all" and row["quantity"] == "bias_squared":
            assert abs(row["value"]) < 4 * (row["high"] - row["low"]) / 4.2


def test_symmetric_feedback_is_backpropagation_with_gates():
    network, loss = gated(), bench.make("objective", "cross_entropy")
    rule = bench.make("rule", "feedback_alignment")
    state = {p.name: p.synapse.transpose(network.parameters[p.name]) for p in network.returning}
    found = bench.estimates(rule, network, loss, batch(), samples=1, state=state)
    exact = bench.gradient(network, loss, batch())
    for name, array in found.items():
        np.testing.assert_allclose(array[0], exact[name], rtol=1e-12, atol=1e-15)


def test_options_are_checked():
    with pytest.raises(InputError, match="cue"):
        gated(cue=7)
    with pytest.raises(InputError, match="gate"):
        gated(gate="step")
    float32 = replace(gated()).astype("float32")
    assert float32.forward(batch().inputs.astype("float32")).output.dtype == np.float32

"""Random feedback: twins, means over its draws, and its size beside that of forward weights."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    NETWORKS,
    activations,
    assert_close,
    cell,
    drawn,
    objectives,
    seeds,
    shapes,
    situation,
    stacked,
)
from plausibench import bench
from plausibench.bench.components.selectors import select
from plausibench.rules.estimate import form

SIDES = (8, 14, 28, 56)
"""Pixels of the images."""
SEEDS = range(4)
"""Networks and feedback drawn: some 10^4 weights at least, whose mean square is good to 1 %."""
ARCHITECTURES = [
    "convolutional",
    "locally_connected",
    "what_where",
    "what_where[readout=dense]",
    "what_where[readout=fixed_mask]",
]
KEPT = [
    "burstprop[feedback=random]",
    "feedback_alignment",
    "kolen_pollack",
    "sign_symmetry[variant=fixed]",
    "target_propagation",
]
"""Rules that keep feedback weights in their state."""


def network_on(architecture, side, seed):
    chosen = select("architecture", architecture)
    options = dict(chosen.options)
    return bench.make("architecture", chosen.name, shape=(side, side), seed=seed, **options)


def size(arrays):
    """Root of the mean square."""
    return np.mean([np.mean(array**2) for array in arrays]) ** 0.5


@pytest.mark.parametrize(("architecture", "selector"), list(product(ARCHITECTURES, KEPT)))
def test_kept_feedback(architecture, selector, record_figure):
    rule, ratios = select("rule", selector).make(), {}
    for side in SIDES:
        networks = [network_on(architecture, side, seed) for seed in SEEDS]
        states = [rule.initial_state(each, seed) for seed, each in enumerate(networks)]
        for p in networks[0].returning:
            if p.target != networks[0].output.name:  # which sees the whole map
                feedback = size([state[p.name] for state in states])
                forward = size([each.parameters[p.name] for each in networks])
                ratios.setdefault(p.name, []).append(feedback / forward)
    assert ratios
    for name, found in ratios.items():
        spread = max(found) / min(found) - 1
        record_figure(f"{selector}, {architecture}, {name}: spread over images", spread, 0.02)
        assert spread <= 0.02, (name, found)


@pytest.mark.parametrize(("architecture", "side"), list(product(ARCHITECTURES, SIDES)))
def test_sign_symmetry_has_the_size_of_the_weights(architecture, side):
    """Mean |W| of normal weights of variance gain^2 / inflow is (2 / pi)^(1/2) of its root."""
    network = network_on(architecture, side, seed=0)
    objective = bench.make("objective", "cross_entropy")
    generator = np.random.default_rng(0)
    batch = bench.Batch(generator.standard_normal((2, side * side)), np.array([1, 3]))
    clean = network.forward(batch.inputs)
    drawn = [network_on(architecture, side, seed).parameters for seed in range(40)]
    feedback, allowed = {}, 0.0
    for p in network.returning:
        sizes = np.abs([parameters[p.name] for parameters in drawn])
        feedback[p.name] = np.mean(sizes) * (np.pi / 2) ** 0.5 * np.sign(network.parameters[p.name])
        # Four standard errors of the mean size; errors of the layers add up.
        allowed += 4 * float(sizes.std() / sizes.mean() / sizes.size**0.5)
    error = {network.output.name: objective.batch_error(clean.output, batch)}
    signals = network.credit(clean, error, feedback)
    rule = bench.make("rule", "sign_symmetry")
    estimates = bench.estimates(rule, network, objective, batch, samples=1)
    for p in network.projections:
        expected = p.synapse.outer(signals[p.target], clean.presynaptic(p))
        apart = np.linalg.norm(estimates[p.name][0] - expected) / np.linalg.norm(expected)
        assert apart <= allowed, (p.name, apart)


@settings(max_examples=20)
@given(
    shapes,
    activations,
    objectives,
    seeds,
    st.sampled_from(["feedback_alignment", "kolen_pollack", "weight_mirror", "learned_feedback"]),
)
def test_twins_of_layerwise_feedback(sizes, activation, objective, seed, name):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", name)
    state = rule.initial_state(network, seed)
    twin = naive_feedback.layerwise(network, objective, batch, stacked(network, state))
    for one in drawn(rule, network, objective, batch, seed):
        assert_close(one, twin)


class TestOverFeedback:
    """Means over the random feedback, with the weights held."""

    @pytest.mark.parametrize("where", NETWORKS)
    @pytest.mark.parametrize(
        "selector",
        [
            "feedback_alignment",
            "direct_feedback_alignment",
            "indirect_feedback_alignment",
            "direct_random_target_projection",
        ],
    )
    def test_second_moment_and_conditional_bias(self, selector, where, record_figure):
        at = situation(selector, *NETWORKS[where])
        clean = at.network.forward(at.batch.inputs)
        law = at.rule.closed_form(
            at.network, at.objective, at.batch, clean, frozenset({"feedback"})
        )
        exact = at.reference()
        lengths, apart = dict.fromkeys(exact, 0.0), 0.0
        for seed in range(5000):
            state = at.rule.initial_state(at.network, seed)
            found = at.rule.estimate(at.network, at.objective, at.batch, clean, state, None)
            for name, array in form(at.network, found).items():
                lengths[name] += np.sum(array**2) / 5000
                apart += np.sum((array - exact[name]) ** 2) / 5000
        top = at.network.output.name
        for p in at.network.projections:
            expected = law.variance[p.name] + np.sum(law.mean[p.name] ** 2)
            ratio = lengths[p.name] / expected
            record_figure(f"{selector}, {where}: E|g|^2 over its law, {p.name}", ratio, "1 +- 0.04")
            assert abs(ratio - 1) < 0.04
            assert (law.variance[p.name] == 0) == (p.target == top)
        hidden = [p.name for p in at.network.projections if p.target != top]
        expected = sum(law.variance[name] + np.sum(exact[name] ** 2) for name in hidden)
        record_figure(
            f"{selector}, {where}: mean conditional bias^2", apart / expected, "1 +- 0.04"
        )
        assert abs(apart / expected - 1) < 0.04

"""Phaseless alignment learning: its twin with explicit filters, and who is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import activations, assert_close, cell, classes, held, mlp, numpy_noise, seeds
from plausibench import bench

shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@settings(max_examples=25)
@given(shapes, activations, seeds, st.sampled_from(["plain", "slopes"]))
def test_twin(sizes, activation, seed, decay):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make(
        "rule",
        "phaseless_alignment_learning",
        rate=0.3,
        steps=6,
        amplitude=0.4,
        memory=0.7,
        passing=0.6,
        decay=decay,
    )
    state, noise = rule.initial_state(network, seed), numpy_noise(batch, seed, 1)
    after = rule.advance(state, held(network, batch, noise))
    rows = {
        f"alignment.{each.name}": np.empty((6 * batch.size, each.size)) for each in network.hidden
    }
    white = [each[0].reshape(6, batch.size, -1) for each in noise.examples(rows).values()]
    feedback = [state[p.name] for p in network.returning]
    twin = naive_feedback.phaseless(network, batch, feedback, white, rule)
    names = [p.name for p in network.returning]
    if names:
        assert_close(after, dict(zip(names, twin, strict=True)))


def test_noise_of_other_layers_only_spreads():
    """Of three hidden layers that are noisy at once, every B tends to its own weights."""
    network = mlp([6, 5, 4, 5, 3], activation="identity")
    rows = np.arange(20_000) % 8
    few = classes(6, 3, examples=8)
    batch = bench.Batch(few.inputs[rows], few.targets[rows], np.arange(20_000))
    rule = bench.make("rule", "phaseless_alignment_learning", rate=1.0, amplitude=1e-3)
    step = held(network, batch, numpy_noise(batch, 0, 1))
    after = rule.advance(rule.initial_state(network, 0), step)
    for p in network.returning:
        goal = network.parameters[p.name].T
        apart = np.linalg.norm(after[p.name] - goal) / np.linalg.norm(goal)
        assert apart < 0.05, p.name


@pytest.mark.parametrize("architecture", ["residual", "convolutional"])
def test_more_than_a_chain_of_matrices_is_refused(architecture):
    options = {"residual": {"inputs": 5}, "convolutional": {"channels": (2, 3)}}[architecture]
    network = bench.make("architecture", architecture, **options)
    rule = bench.make("rule", "phaseless_alignment_learning")
    assert rule.unsupported(network, bench.make("objective", "cross_entropy"))

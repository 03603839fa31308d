"""Spike-timing-dependent weight inference: its twin by pairs of spikes, and who is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import activations, assert_close, cell, classes, held, mlp, numpy_noise, seeds
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise

shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@settings(max_examples=25)
@given(shapes, activations, seeds, st.booleans())
def test_twin(sizes, activation, seed, reset):
    network, batch = cell(sizes, activation, seed)
    options = {"fast": 3.0, "slow": 11.0, "membrane": 2.0, "amplitude": 0.7, "activity": 0.3}
    rule = bench.make(
        "rule", "stdwi", steps=13, windows=3, rate=0.3, noise=0.8, reset=reset, **options
    )
    state, noise = rule.initial_state(network, seed), numpy_noise(batch, seed, 1)
    after = rule.advance(state, held(network, batch, noise))
    sizes_of = {each.name: each.size for each in network.populations}
    for p in network.returning:
        spikes, unrest = f"stdwi.{p.name}.spikes", f"stdwi.{p.name}.noise"
        below = {spikes: np.empty((13, 3, sizes_of[p.source]))}
        above = {unrest: np.empty((13, 3, sizes_of[p.target]))}
        sent = (noise.fractions(below, shared=True)[spikes][0] < 0.3).astype(float)
        drawn = 0.8 * noise.parameters(above)[unrest][0]
        total, count = naive_feedback.spike_pairs(
            network.parameters[p.name], sent, drawn, reset=reset, **options
        )
        twin = state[p.name].copy()
        for k, number in enumerate(count):
            if number:
                twin[:, k] = 0.7 * twin[:, k] + 0.3 * total[k] / number / rule.decay()
        assert_close({p.name: after[p.name]}, {p.name: twin})


def test_decay_is_the_mean_trace_at_a_spike_for_a_weight_of_one():
    """By numerical integration over the noise, and over the times of a single source's spikes."""
    rule = bench.make("rule", "stdwi", steps=30, amplitude=1e-4, noise=0.6, activity=0.2)
    z = np.linspace(1 / 0.6, 12, 400_001)
    chance = np.trapezoid(np.exp(-(z**2) / 2), z) / np.sqrt(2 * np.pi)
    slope = np.exp(-((1 / 0.6) ** 2) / 2) / np.sqrt(2 * np.pi) / 0.6
    quick, late, kept = np.exp(-1 / 8), np.exp(-1 / 40), np.exp(-1 / 4)
    total = 0.0
    for now in range(30):
        for then in range(now + 1):
            lag = now - then
            trace = quick**lag - (1 - late) / (1 - quick) * late**lag
            total += 0.2 * 0.8 * 1e-4 * kept**lag * trace / 30
    assert rule.decay() == pytest.approx(total * slope / chance, rel=1e-6)


def test_silent_targets_keep_their_feedback():
    network, batch = mlp([4, 5, 3]), classes(4, 3)
    rule = bench.make("rule", "stdwi", noise=0.05, amplitude=1e-3)
    state = rule.initial_state(network, 0)
    after = rule.advance(state, held(network, batch, Noise(0, np.zeros(1, int), batch.keys, float)))
    np.testing.assert_array_equal(after["layer2.weights"], state["layer2.weights"])


def test_averages_of_one_length_are_refused():
    with pytest.raises(InputError, match="fast: 40 is not below slow"):
        bench.make("rule", "stdwi", fast=40, slow=40)


def test_receptive_fields_are_refused():
    network = bench.make("architecture", "convolutional", channels=(2, 3))
    reason = bench.make("rule", "stdwi").unsupported(
        network, bench.make("objective", "cross_entropy")
    )
    assert "whole matrices" in reason

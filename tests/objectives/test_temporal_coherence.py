"""Temporal coherence: slowness of known signals."""

import numpy as np
import pytest

from plausibench.kernels.errors import InputError
from plausibench.objectives.temporal_coherence import TemporalCoherence


def test_slowness_of_known_signals():
    steps = 360
    for turns in (1, 5, 40):
        # A whole number of turns: the next moment is the same wave, shifted.
        angle = 2 * np.pi * turns * np.arange(steps + 1) / steps
        wave = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        found = TemporalCoherence().loss(wave, np.zeros((steps + 1, 2)))
        law = 2 * (2 - 2 * np.cos(2 * np.pi * turns / steps))
        assert found == pytest.approx(law, rel=0.01)
    flicker = np.tile([[1.0], [-1.0]], (8, 1))
    assert TemporalCoherence().loss(flicker, np.zeros((16, 1))) == pytest.approx(4, rel=1e-12)
    noise = np.random.default_rng(0).standard_normal((100_000, 1))
    assert TemporalCoherence().loss(noise, noise) == pytest.approx(2, rel=0.02)


def test_slowness_counts_steps_within_a_scene_and_equal_outputs_cost():
    output = np.array([[0.0], [0.0], [5.0], [5.0]])
    assert TemporalCoherence().loss(output, np.array([0, 0, 1, 1])) == 0
    assert TemporalCoherence().loss(output, np.array([0, 0, 0, 0])) > 1
    twice = np.random.default_rng(0).standard_normal((9, 1)) * np.ones(2)
    both, alone = (TemporalCoherence(weight).loss(twice, twice) for weight in (1.5, 0))
    assert both - alone == pytest.approx(1.5, rel=1e-10)
    with pytest.raises(InputError, match="one scene"):
        TemporalCoherence().check(np.array([0, 1, 0]), 1)

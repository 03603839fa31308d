"""Feedback learned by regression discontinuity: its twin and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_sequel
from claims import situation
from keyed_cells import NETWORKS, SQUARED_ERROR, activations, assert_twins, cell, seeds
from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import learned
from plausibench.rules.regression_discontinuity_feedback import RegressionDiscontinuityFeedback
from plausibench.rules.rule import Step


class TestSpikingPhase:
    @settings(max_examples=30)
    @given(
        st.lists(st.integers(1, 5), min_size=3, max_size=4),
        activations,
        seeds,
        st.sampled_from(["local_linear", "local_constant"]),
        st.sampled_from(["activity", "drive"]),
    )
    def test_twin(self, sizes, activation, seed, regression, response):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = RegressionDiscontinuityFeedback(
            trials=2 + seed % 60, rate=0.3, regression=regression, response=response, amplitude=0.7
        )
        state = rule.initial_state(network, seed)
        noise = Noise(seed, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        clean = network.forward(batch.inputs)
        after = rule.advance(state, Step(network, SQUARED_ERROR, batch, clean, {}, 0.0, noise))
        drives, first = {}, {}
        for index in range(1, len(sizes) - 1):
            name = f"layer{index + 1}.weights"
            shapes = {
                f"discontinuity.{name}": np.empty((rule.trials, sizes[index])),
                f"discontinuity.{name}.common": np.empty((rule.trials, 1)),
            }
            own, shared = (drawn[0] for drawn in noise.parameters(shapes).values())
            drives[index] = np.sqrt(0.8) * own + np.sqrt(0.2) * shared
            first[index] = state[name]
        expected = naive_sequel.spiking_phase(network, first, drives, rule)
        assert_twins(after, {f"layer{i + 1}.weights": b for i, b in expected.items()}, 1e-7)

    def test_a_source_that_never_nearly_spikes_keeps_its_feedback(self):
        network, batch = NETWORKS["tanh"]
        rule = RegressionDiscontinuityFeedback(window=1e-12)
        at = situation(rule, network, batch)
        for name, array in learned(at, 1).items():
            np.testing.assert_array_equal(array, at.state[name])

    @pytest.mark.parametrize(("regression", "power"), [("local_constant", 1), ("local_linear", 3)])
    def test_what_others_add_vanishes_with_the_window(self, regression, power):
        one, two = (
            RegressionDiscontinuityFeedback(
                window=p, common=0.5, regression=regression
            ).confounding()
            for p in (0.1, 0.01)
        )
        assert abs(np.log10(one / two) - power) < 0.02

    def test_means_without_a_window_are_confounded_as_orthants_are(self):
        for common in (0.0, 0.3, 0.9):
            rule = RegressionDiscontinuityFeedback(
                window=100.0, common=common, regression="local_constant"
            )
            assert abs(rule.confounding() - 2 * np.arcsin(common) / np.pi) < 1e-9

    def test_steps_of_learning_align_the_estimate(self, record_figure):
        network, batch = NETWORKS["tanh"]
        at = situation(RegressionDiscontinuityFeedback(trials=1000), network, batch)
        gradient = at.reference()

        def cosine(state):
            drawn = replace(at, state=state).draws()
            products = sum(float((drawn[n][0] * g).sum()) for n, g in gradient.items())
            lengths = [
                np.sqrt(sum((a**2).sum() for a in arrays.values())) for arrays in (drawn, gradient)
            ]
            return products / np.prod(lengths)

        before, after = cosine(at.state), cosine(learned(at, 40))
        record_figure("cosine with the gradient before and after 40 phases", before, after)
        assert before < 0.9 < 0.95 < after

    def test_state_stays_in_float32(self):
        network, batch = NETWORKS["tanh"]
        at = situation(RegressionDiscontinuityFeedback(), network.astype("float32"), batch)
        assert {array.dtype for array in learned(at, 2).values()} == {np.dtype("float32")}


def test_networks_that_spike_are_refused():
    network = bench.make("architecture", "spiking_mlp", sizes=(3, 4, 2))
    assert "spiking" in RegressionDiscontinuityFeedback().refusal(network, SQUARED_ERROR)

"""Spiking burstprop: its twin, its Poisson numbers and its bias."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import pdtr

import naive_sequel
from claims import situation
from keyed_cells import NETWORKS, SQUARED_ERROR, assert_twins, cell, seeds, shapes
from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.spiking_burstprop import SpikingBurstprop, poisson

FEEDBACK = "regression_discontinuity_feedback"


@dataclass(frozen=True)
class Curvature(SpikingBurstprop):
    """In the first layer nothing is drawn, and what is linear in the input is left out.

    Its own noise, and the noise that passes through it linearly, have mean 0 and would hide the
    bias.
    """

    def respond(self, noise, name, base, change, events):
        if name != "layer1":
            return super().respond(noise, name, base, change, events)
        p = base + change / events
        return change - np.log(p / (1 - p)) / 4 * events


@dataclass(frozen=True)
class Endless(Curvature):
    """The same with endlessly many neurons: nothing is drawn anywhere."""

    def respond(self, noise, name, base, change, events):
        return super().respond(noise, name, base, change, events) if name == "layer1" else change


class TestSpikingBurstprop:
    @settings(max_examples=25, deadline=None)
    @given(
        shapes,
        st.sampled_from(["sigmoid", "tanh", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        seeds,
        st.sampled_from(["ideal", "none"]),
        st.sampled_from(["declared", "none"]),
    )
    def test_twin(self, sizes, activation, output, seed, inhibition, scale):
        network, batch = cell(sizes, seed, activation=activation, output=output)
        inhibition = "ideal" if output == "identity" else inhibition
        feedback = "random" if seed % 2 else "symmetric"
        rule = SpikingBurstprop(
            0.3, 0.8, feedback=feedback, inhibition=inhibition, scale=scale, units=1 + seed % 4
        )
        state = rule.initial_state(network, seed)
        noise = Noise(seed, np.arange(2), batch.keys, np.dtype(float))
        drawn = bench.estimates(
            rule, network, SQUARED_ERROR, batch, samples=2, seed=seed, state=state
        )

        def output_error(a, b):
            return SQUARED_ERROR.error(a[None], batch.targets[b : b + 1])[0]

        for k in range(2):
            uniform = {"burst": [], "event": []}
            for population in network.populations:
                size = population.size
                wanted = {
                    f"{kind}.{population.name}": np.empty((batch.size, size)) for kind in uniform
                }
                for kind, array in zip(uniform, noise.spikes(wanted).values(), strict=True):
                    uniform[kind].append(array[k])
            expected = naive_sequel.spiking_burstprop(
                network, batch, rule, state, output_error, uniform
            )
            ours = {name: array[k % len(array)] for name, array in drawn.items()}
            assert_twins(ours, expected, 1e-8)

    @pytest.mark.parametrize("rate", [2.0**15 + 1, 1e6, 1e9, 1e14])
    def test_poisson_numbers_of_huge_means(self, rate):
        """At least ``uniform`` of the distribution lies below the number, and not below one less.

        Of the expansion one number in 10^4 may be off by one, which is nothing beside its spread.
        """
        uniform = (np.arange(20_000) + 0.5) / 20_000
        found = poisson(uniform, np.array(rate))
        if rate <= 1e6:
            right = (pdtr(found, rate) > uniform) & (pdtr(found - 1, rate) <= uniform)
            assert right.mean() > 0.9995
        assert abs(found.mean() - rate) <= 1e-3 * rate**0.5
        assert abs(found.var() - rate) <= 1e-2 * rate

    def test_a_number_does_not_depend_on_its_neighbours(self):
        uniform = np.full(2, 0.3)
        both = poisson(uniform, np.array([3.0, 1e12]))
        assert both[0] == poisson(uniform[:1], np.array([3.0]))[0]
        assert both[1] == poisson(uniform[1:], np.array([1e12]))[0]

    @pytest.mark.parametrize("rate", [0.0, 0.05, 1.0, 7.5, 300.0])
    def test_poisson_numbers(self, rate):
        uniform = np.append((np.arange(200_000) + 0.5) / 200_000, [0.0, 1 - 2.0**-53])
        found = poisson(uniform, np.array(rate))
        assert abs(found.mean() - rate) <= 1e-3 * rate
        assert abs(found.var() - rate) <= 1e-2 * rate
        some = uniform[::997]
        expected = [naive_sequel.poisson(u, rate) for u in some] if rate else np.zeros(len(some))
        np.testing.assert_array_equal(poisson(some, np.array(rate)), expected)

    def test_bias_where_noise_passed_the_logistic_function_falls_as_one_over_units(
        self, record_figure
    ):
        network, batch = NETWORKS["tanh"]
        at = situation(SpikingBurstprop(feedback="symmetric"), network, batch)
        few, many, endless = (
            replace(at, rule=rule).draws(samples)["layer1.weights"].mean(axis=0)
            for rule, samples in (
                (Curvature(feedback="symmetric", units=16), 16_000),
                (Curvature(feedback="symmetric", units=64), 16_000),
                (Endless(feedback="symmetric"), 1),
            )
        )
        along = at.reference()["layer1.weights"]
        ratio = float(((few - endless) * along).sum() / ((many - endless) * along).sum())
        bias = float(((few - endless) * along).sum() / (along**2).sum())
        record_figure("spiking burstprop: bias along the gradient with 16 units", bias, "")
        record_figure("spiking burstprop: bias with 16 over 64 units", ratio, 4.0)
        assert abs(ratio - 4) < 0.6

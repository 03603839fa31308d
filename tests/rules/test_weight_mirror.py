"""Weight mirrors: the twin of a mirror phase, and what is learned."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    activations,
    assert_close,
    cell,
    classes,
    held,
    mlp,
    numpy_noise,
    seeds,
    shapes,
)
from plausibench import bench
from plausibench.rules.noise import Noise


@settings(max_examples=20)
@given(
    shapes,
    activations,
    seeds,
    st.sampled_from(["uniform", "gaussian", "rademacher"]),
    st.booleans(),
)
def test_twin_of_the_mirror_phase(sizes, activation, seed, law, bias):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make(
        "rule", "weight_mirror", samples=9, rate=0.3, amplitude=0.5, noise=law, bias=bias
    )
    state, noise = rule.initial_state(network, seed), numpy_noise(batch, seed, 1)
    feedback, drawn_noise = {}, {}
    for number, p in enumerate(network.returning, start=1):
        name = f"mirror.{p.name}"
        shape = {name: np.empty((9, sizes[number]))}
        if law == "uniform":
            unit = (noise.fractions(shape, shared=True)[name][0] - 0.5) * np.sqrt(12)
        else:
            unit = noise.parameters(shape, law)[name][0]
        feedback[number], drawn_noise[number] = state[p.name], unit
    twin = naive_feedback.mirror(network, feedback, drawn_noise, 0.3, 0.5, bias)
    found = rule.advance(state, held(network, batch, noise))
    names = {number: p.name for number, p in enumerate(network.returning, start=1)}
    if names:
        assert_close(found, {names[number]: matrix for number, matrix in twin.items()})


def cosine(one, two):
    return float(np.sum(one * two) / np.linalg.norm(one) / np.linalg.norm(two))


class TestWeightMirror:
    def test_slopes_at_the_biases_scale_the_columns(self, record_figure):
        network = mlp([20, 20, 15], seed=3, activation="sigmoid", output="sigmoid")
        biases = 1.5 * np.random.default_rng(0).standard_normal(15)
        network = network.with_parameters({**network.parameters, "layer2.bias": biases})
        rule = bench.make("rule", "weight_mirror", samples=50_000, rate=1.0)
        batch = classes(20, 15)
        step = held(network, batch, numpy_noise(batch, 0, 1))
        found = rule.advance(rule.initial_state(network, 0), step)["layer2.weights"]
        right = network.parameters["layer2.weights"].T
        chance = 1 / (1 + np.exp(-biases))
        scaled = cosine(found, right * chance * (1 - chance))
        record_figure("weight mirror, sigmoid, cosine with W^T D", scaled, "> 0.999")
        record_figure("weight mirror, sigmoid, cosine with W^T", cosine(found, right), "< 0.97")
        assert scaled > 0.999
        assert cosine(found, right) < 0.97
        silent = replace(rule, bias=False).advance(rule.initial_state(network, 0), step)
        assert cosine(silent["layer2.weights"], right) > 0.999

    def test_the_mean_of_the_response_must_go(self):
        generator = np.random.default_rng(0)
        weights, x = generator.standard_normal((5, 20)) / 4, generator.standard_normal((2000, 20))
        y = 1 / (1 + np.exp(-(0.03 * x @ weights.T)))
        assert cosine(x.T @ y, weights.T) < 0.7
        assert cosine(x.T @ (y - y.mean(axis=0)), weights.T) > 0.99

    def test_fewer_samples_a_step_and_a_lower_rate_average_alike(self):
        """B of a linear layer at rest: |B - W^T|^2 = rate / (2 - rate) (N - 2 + k4) / n |W|^2."""
        network = bench.make("architecture", "linear", sizes=[4, 12, 6], seed=1)
        rule = bench.make(
            "rule", "weight_mirror", samples=100, rate=0.2, noise="gaussian", scale=0.0
        )
        batch, right = classes(4, 6), network.parameters["layer2.weights"].T
        state, found = rule.initial_state(network, 0), []
        for number in range(2000):
            noise = Noise(0, np.array([number]), batch.keys, np.dtype(float))
            state = rule.advance(state, held(network, batch, noise, "mean_squared_error"))
            if number >= 50:
                found.append(np.sum((state["layer2.weights"] - right) ** 2) / np.sum(right**2))
        assert np.mean(found) == pytest.approx(0.2 / 1.8 * 13 / 100, rel=0.1)

"""Equilibrium propagation: its twin, closed form and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestEquilibriumPropagation:
    @settings(max_examples=12)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from(["one_sided", "symmetric", "random_sign"]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, variant, seed):
        network, batch = cell(
            "hopfield", sizes, seed, 2, activation=activation, output=output, scale=0.4
        )
        rule = bench.make("rule", "equilibrium_propagation", variant=variant)
        drawn = bench.estimates(rule, network, bench.make("objective", objective), batch, samples=4)
        plus, minus = (
            naive_energy.equilibrium_propagation(network, objective, batch, nudging)
            for nudging in (0.1, -0.1)
        )
        half = {name: (plus[name] + minus[name]) / 2 for name in plus}
        if variant == "random_sign":
            noise = Noise(0, np.arange(4), batch.keys, np.dtype(float))
            signs = noise.parameters({"nudging": np.zeros(1)}, "rademacher")["nudging"][:, 0]
        for k in range(4):
            found = {name: array[k] for name, array in drawn.items()}
            wanted = {"one_sided": plus, "symmetric": half}.get(variant)
            if wanted is None:
                wanted = plus if signs[k] > 0 else minus
            assert_close(found, wanted, relative=1e-7)

    @settings(max_examples=12)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "hard_sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.booleans(),
        st.integers(0, 2**20),
    )
    def test_counted_phases(self, sizes, activation, objective, symmetric, seed):
        options = {"activation": activation, "output": activation, "scale": 0.8}
        network, batch = cell("hopfield", sizes, seed, 3, **options)
        rule = bench.make(
            "rule",
            "equilibrium_propagation",
            variant="symmetric" if symmetric else "one_sided",
            free_steps=5,
            nudged_steps=3,
        )
        found = one(rule, network, bench.make("objective", objective), batch)
        twins = [
            naive_energy.counted_equilibrium_propagation(network, objective, batch, nudging, 5, 3)
            for nudging in ((0.1, -0.1) if symmetric else (0.1,))
        ]
        wanted = {name: np.mean([twin[name] for twin in twins], axis=0) for name in twins[0]}
        assert_close(found, wanted, relative=1e-9)

    def test_hard_sigmoid_is_the_network_of_the_paper(self):
        """States in [0, 1] that descend half their square less the products, by small steps."""
        network, batch = cell(
            "hopfield", [5, 4, 3], activation="hard_sigmoid", output="hard_sigmoid", scale=0.7
        )
        w1, w2 = (network.parameters[f"layer{k}.weights"] for k in (1, 2))
        b1, b2 = (network.parameters[f"layer{k}.bias"] for k in (1, 2))
        wanted = np.eye(3)[batch.targets]

        def states(beta):
            h, o = np.zeros((batch.size, 4)), np.zeros((batch.size, 3))
            for _ in range(4000):
                force = batch.inputs @ w1.T + b1 + o @ w2 - h
                pull = h @ w2.T + b2 - o + beta * (wanted - o)
                h, o = np.clip(h + 0.1 * force, 0, 1), np.clip(o + 0.1 * pull, 0, 1)
            return h, o

        (h0, o0), (h, o) = states(0.0), states(0.5)
        scale = -1 / (0.5 * batch.size)
        rule = bench.make("rule", "equilibrium_propagation", variant="one_sided", nudging=0.5)
        found = one(rule, network, bench.make("objective", "mean_squared_error"), batch)
        wanted = {
            "layer1.weights": scale * (h - h0).T @ batch.inputs,
            "layer1.bias": scale * (h - h0).sum(axis=0),
            "layer2.weights": scale * (o.T @ h - o0.T @ h0),
            "layer2.bias": scale * (o - o0).sum(axis=0),
        }
        assert all(np.abs(array).max() > 1e-3 for array in wanted.values())
        assert_close(found, wanted, relative=1e-9)

    def test_strong_nudging_settles(self):
        """Scellier & Bengio nudge with 1; a naive step of the output would overshoot."""
        network, batch = cell("hopfield", [5, 4, 3])
        goal = bench.make("objective", "mean_squared_error")
        rule = bench.make("rule", "equilibrium_propagation", variant="one_sided", nudging=2.0)
        found = one(rule, network, goal, batch)
        assert all(np.isfinite(array).all() for array in found.values())

    def test_random_sign_has_the_closed_form(self):
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", "equilibrium_propagation", variant="random_sign", nudging=0.5)
        exact = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
        drawn = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=400, method="sampled")
        # The share of positive signs has a standard deviation of 1/40 of its range.
        assert drawn.value("variance") == pytest.approx(exact.value("variance"), rel=0.05)

    def test_it_needs_a_network_that_settles(self):
        rule = bench.make("rule", "equilibrium_propagation")
        network, batch = cell("mlp", [5, 4, 3])
        with pytest.raises(InputError, match="for settling networks; mlp is feedforward"):
            one(rule, network, CROSS_ENTROPY, batch)

    @pytest.mark.parametrize(
        "options",
        [
            {"variant": "both"},
            {"nudging": 0},
            {"variant": "symmetric", "nudging": 1},
            {"free_steps": 0},
            {"nudged_steps": 1.5},
        ],
    )
    def test_options_are_refused(self, options):
        with pytest.raises(InputError, match=rf"\b{list(options)[-1]}: "):
            bench.make("rule", "equilibrium_propagation", **options)

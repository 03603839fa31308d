"""Holomorphic equilibrium propagation: its twin, an independent version and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


def solved(w1, b1, w2, b2, x, beta, slope, curvature):
    """Complex rest of one tanh layer and a linear output, by Newton's method on both at once."""
    h, o = np.zeros(len(b1), complex), np.zeros(len(b2), complex)
    for _ in range(60):
        f = np.tanh(w1 @ x + b1 + w2.T @ o)
        residual = np.concatenate([h - f, o - (w2 @ h + b2 - beta * slope(o))])
        gain = (1 - f**2)[:, None]
        jacobian = np.block(
            [
                [np.eye(len(h)), -gain * w2.T],
                [-w2.astype(complex), np.eye(len(o)) + beta * curvature(o)],
            ]
        )
        change = np.linalg.solve(jacobian, residual)
        h, o = h - change[: len(h)], o - change[len(h) :]
        if np.abs(change).max() < 1e-15:
            return h, o
    raise AssertionError("Newton's method has not converged")


class TestHolomorphicEquilibriumPropagation:
    @settings(max_examples=8)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from([(2, 0.1), (3, 0.3), (4, 0.3), (6, 0.4)]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, circle, seed):
        options = {"activation": activation, "output": output, "scale": 0.4}
        network, batch = cell("hopfield", sizes, seed, 2, **options)
        points, nudging = circle
        rule = bench.make(
            "rule", "holomorphic_equilibrium_propagation", points=points, nudging=nudging
        )
        twin = naive_energy.holomorphic_equilibrium_propagation(
            network, objective, batch, nudging, points
        )
        assert_close(one(rule, network, bench.make("objective", objective), batch), twin)

    @pytest.mark.parametrize("points", [2, 4, 5])
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_newtons_method_finds_the_same_states(self, points, objective):
        network, batch = cell("hopfield", [5, 4, 3], activation="tanh", scale=0.5)
        w1, w2 = (network.parameters[f"layer{k}.weights"] for k in (1, 2))
        b1, b2 = (network.parameters[f"layer{k}.bias"] for k in (1, 2))
        wanted = {name: np.zeros_like(array) for name, array in network.parameters.items()}
        for x, label in zip(batch.inputs, batch.targets, strict=True):
            hot = np.eye(3)[label]

            def slope(o, hot=hot):
                if objective == "mean_squared_error":
                    return o - hot
                return np.exp(o) / np.exp(o).sum() - hot

            def curvature(o):
                if objective == "mean_squared_error":
                    return np.eye(3)
                p = np.exp(o) / np.exp(o).sum()
                return np.diag(p) - np.outer(p, p)

            for k in range(points):
                turn = np.exp(2j * np.pi * k / points)
                h, o = solved(w1, b1, w2, b2, x, 0.4 * turn, slope, curvature)
                share = -1 / (points * 0.4 * batch.size) / turn
                wanted["layer1.weights"] += np.real(share * np.outer(h, x))
                wanted["layer1.bias"] += np.real(share * h)
                wanted["layer2.weights"] += np.real(share * np.outer(o, h))
                wanted["layer2.bias"] += np.real(share * o)
        rule = bench.make("rule", "holomorphic_equilibrium_propagation", points=points, nudging=0.4)
        found = one(rule, network, bench.make("objective", objective), batch)
        assert_close(found, wanted, relative=1e-9)

    def test_nudges_of_six_points_may_be_three_times_as_strong(self):
        network, batch = cell("hopfield", [5, 4, 4, 3], scale=0.8)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)

        def error(**options):
            rule = bench.make("rule", "holomorphic_equilibrium_propagation", **options)
            found = one(rule, network, CROSS_ENTROPY, batch)
            return max(np.abs(found[name] - exact[name]).max() for name in exact)

        assert error(points=6, nudging=0.3) < 0.1 * error(points=2, nudging=0.1)

    @pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
    def test_it_needs_complex_derivatives(self, activation):
        rule = bench.make("rule", "holomorphic_equilibrium_propagation")
        network, batch = cell("hopfield", [5, 4, 3], activation=activation)
        with pytest.raises(InputError, match=f"{activation} of layer1 has none: use one of"):
            one(rule, network, CROSS_ENTROPY, batch)
        network, batch = cell("hopfield", [5, 4, 3])
        goal = bench.make("objective", "expected_reward")
        with pytest.raises(InputError, match="use mean_squared_error or cross_entropy"):
            one(rule, network, goal, batch)
        network, batch = cell("mlp", [5, 4, 3])
        with pytest.raises(InputError, match="for settling networks; mlp is feedforward"):
            one(rule, network, CROSS_ENTROPY, batch)

    def test_what_does_not_settle_is_an_outcome(self):
        network, batch = cell("hopfield", [5, 9, 3], activation="tanh", scale=0.8, steps=3000)
        rule = bench.make("rule", "holomorphic_equilibrium_propagation", nudging=0.99)
        with pytest.raises(Divergence, match="nudge more gently"):
            one(rule, network, bench.make("objective", "mean_squared_error"), batch)

    @pytest.mark.parametrize("options", [{"nudging": 0}, {"nudging": 1}, {"points": 1}])
    def test_options_are_refused(self, options):
        with pytest.raises(InputError, match=rf"\b{list(options)[-1]}: "):
            bench.make("rule", "holomorphic_equilibrium_propagation", **options)

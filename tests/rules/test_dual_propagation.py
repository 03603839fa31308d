"""Dual propagation: its twin, an independent version and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestDualPropagation:
    @settings(max_examples=15)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from([(0.5, 0.3), (1.0, 0.2), (0.25, 0.1)]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, options, seed):
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.7
        )
        alpha, nudging = options
        rule = bench.make("rule", "dual_propagation", alpha=alpha, nudging=nudging)
        twin = naive_energy.dual_propagation(network, objective, batch, nudging, alpha)
        assert_close(one(rule, network, bench.make("objective", objective), batch), twin)

    @pytest.mark.parametrize(("alpha", "nudging"), [(0.5, 0.5), (1.0, 0.5), (0.0, 0.3)])
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_states_solve_the_equations(self, alpha, nudging, objective):
        """Both states of a net with two hidden layers are roots of one system, by example."""
        network, batch = cell("mlp", [5, 4, 4, 3], seed=3, activation="tanh")
        w1, w2, w3 = (network.parameters[f"layer{k}.weights"] for k in (1, 2, 3))
        b1, b2, b3 = (network.parameters[f"layer{k}.bias"] for k in (1, 2, 3))
        wanted = {name: np.zeros_like(array) for name, array in network.parameters.items()}
        for x, label in zip(batch.inputs, batch.targets, strict=True):
            hot = np.eye(3)[label]

            def slope(o, hot=hot):
                if objective == "mean_squared_error":
                    return o - hot
                return np.exp(o) / np.exp(o).sum() - hot

            def split(s):
                p1, m1, p2, m2, p3, m3 = np.split(s, [4, 8, 12, 16, 19])
                mean1, mean2 = alpha * p1 + (1 - alpha) * m1, alpha * p2 + (1 - alpha) * m2
                return p1, m1, p2, m2, p3, m3, mean1, mean2

            def residual(s, x=x, slope=slope):
                p1, m1, p2, m2, p3, m3, mean1, mean2 = split(s)
                z1, z2, z3 = w1 @ x + b1, w2 @ mean1 + b2, w3 @ mean2 + b3
                f1, f2 = w2.T @ (p2 - m2), w3.T @ (p3 - m3)
                return np.concatenate(
                    [
                        np.tanh(z1 + alpha * f1) - p1,
                        np.tanh(z1 - (1 - alpha) * f1) - m1,
                        np.tanh(z2 + alpha * f2) - p2,
                        np.tanh(z2 - (1 - alpha) * f2) - m2,
                        z3 - alpha * nudging * slope(p3) - p3,
                        z3 + (1 - alpha) * nudging * slope(m3) - m3,
                    ]
                )

            found = root(residual, np.zeros(22), tol=1e-14)
            assert np.abs(residual(found.x)).max() < 1e-13
            p1, m1, p2, m2, p3, m3, mean1, mean2 = split(found.x)
            for k, (post, pre) in enumerate([(p1 - m1, x), (p2 - m2, mean1), (p3 - m3, mean2)], 1):
                wanted[f"layer{k}.weights"] -= np.outer(post, pre) / (nudging * batch.size)
                wanted[f"layer{k}.bias"] -= post / (nudging * batch.size)
        rule = bench.make("rule", "dual_propagation", alpha=alpha, nudging=nudging)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch), wanted, relative=1e-9)

    def test_small_nudging_keeps_its_digits(self):
        """Differences are formed as such: backpropagation to 1e-10 where states differ by 1e-8."""
        network, batch = cell("mlp", [5, 4, 4, 3])
        rule = bench.make("rule", "dual_propagation", nudging=1e-7)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(rule, network, CROSS_ENTROPY, batch), exact, relative=1e-10)

    def test_strong_nudging_of_strong_weights_is_an_outcome(self):
        network, batch = cell("mlp", [5, 9, 9, 3], scale=10.0)
        rule = bench.make("rule", "dual_propagation", nudging=1.9)
        with pytest.raises(Divergence, match="nudge more gently"):
            one(rule, network, bench.make("objective", "mean_squared_error"), batch)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"nudging": 0}, "nudging"),
            ({"alpha": 1.5}, "alpha"),
            ({"nudging": 2.0}, "allowed is below 2 with alpha 0.5"),
        ],
    )
    def test_options_are_refused(self, options, said):
        with pytest.raises(InputError, match=said):
            bench.make("rule", "dual_propagation", **options)

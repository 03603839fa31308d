"""Contrastive Hebbian learning: its twin and refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import InputError
from settling_cells import OBJECTIVES, assert_close, cell, one


class TestContrastiveHebbian:
    @settings(max_examples=12)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, seed):
        network, batch = cell(
            "mlp", sizes, seed, 2, activation=activation, output=output, scale=0.5
        )
        rule = bench.make("rule", "contrastive_hebbian", feedback=0.2)
        twin = naive_energy.contrastive_hebbian(network, objective, batch, 0.2)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch), twin, relative=1e-7)

    @pytest.mark.parametrize("feedback", [0, 1.5])
    def test_options_are_refused(self, feedback):
        with pytest.raises(InputError, match="feedback"):
            bench.make("rule", "contrastive_hebbian", feedback=feedback)

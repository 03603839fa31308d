"""Noise and feedback drawn anew: the floor beside what studies measure."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import trajectory


class TestDraws:
    @pytest.mark.parametrize(
        ("rule", "moves"),
        [
            ("backprop", False),
            ("sign_symmetry", False),
            ("node_perturbation", True),
            ("feedback_alignment", True),
        ],
    )
    def test_noise_and_feedback_are_drawn_anew_and_nothing_else(self, rule, moves):
        task = bench.make("task", "digits")
        network = bench.make("architecture", "mlp", sizes=[64, 8, 10], seed=0)
        setting = (network, bench.make("objective", "cross_entropy"), task, Sgd(0.1), (0, 3), 16, 0)
        made = bench.make("rule", rule)
        courses = [list(trajectory(made, made, *setting, draws=draws)) for draws in (None, 0, 7)]
        start, same, other = (
            [reached.network.parameters["layer1.weights"] for reached in course]
            for course in courses
        )
        np.testing.assert_array_equal(start[0], other[0])
        np.testing.assert_array_equal(start[1], same[1])
        assert (start[1] != other[1]).any() == moves

"""What studies set beside their numbers: floors, levels left out, kinds held out."""

import numpy as np
import pandas as pd
import pytest

from plausibench import bench
from plausibench.bench.experiments import three_components
from plausibench.bench.optimisers import Sgd
from plausibench.bench.report.inductive_biases import biases
from plausibench.bench.report.three_components import components, levels_left_out, terms, without
from plausibench.bench.training import trajectory


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


class TestLevels:
    @pytest.fixture
    def rows(self):
        """One rule of four learns less; the other rules do not matter, the objective does."""
        return pd.DataFrame(
            [
                {
                    "objective": objective,
                    "architecture": architecture,
                    "rule": rule,
                    "seed": seed,
                    "labels": labels,
                    "rate": 0.1,
                    "parameters": 1,
                    "diverged": False,
                    "accuracy": 0.5
                    + (labels == "true") * (0.1 * (objective == "b") - 0.4 * (rule == "slow"))
                    + 0.001 * seed,
                }
                for labels in ("true", "shuffled")
                for objective in ("a", "b")
                for architecture in ("c", "d")
                for rule in ("e", "f", "g", "slow")
                for seed in range(3)
            ]
        )

    def test_a_share_that_is_of_one_level_is_seen(self, rows):
        assert terms(rows, "true")["share R"][0] > 0.9
        left = levels_left_out(rows)
        assert set(left) == {("rule", rule) for rule in ("e", "f", "g", "slow")}
        assert left["rule", "slow"]["share R"][0] == pytest.approx(0, abs=1e-12)
        assert left["rule", "slow"]["share O"][0] == pytest.approx(1)
        raw = without(rows).raw
        assert raw["level"].tolist() == ["nothing", "e", "f", "g", "slow"]

    def test_it_stands_beside_the_share(self, rows):
        table = components(rows)
        rule = table.raw.set_index("component").loc["rule"]
        assert rule["least_without"] == "slow"
        assert rule["share_least"] == pytest.approx(0, abs=1e-12)
        assert rule["share_most"] > 0.9
        cell = table.cells.set_index("component").loc["rule", "one level left out"]
        assert cell.startswith("0.00 (no slow) to 0.9")

    def test_two_levels_cannot_be_left_out(self, rows):
        few = rows[rows["rule"].isin(["e", "slow"])]
        assert levels_left_out(few) == {}
        cells = components(few).cells.set_index("component")
        assert (cells["one level left out"] == "–").all()


def test_tables_of_three_components():
    assert three_components.TABLES == ("components", "without", "cells")


def test_the_benefit_of_a_bias_is_paired_over_seeds():
    rows = pd.DataFrame(
        [
            {
                "bias": "focused attention",
                "variant": variant,
                "helps": helps,
                "null": null,
                "budget": 100,
                "parameters": 1,
                "seed": seed,
                "score": 0.4 + 0.1 * seed + (0.2 if helps and not null else 0),
            }
            for variant, helps in (("multiplied by a gate", True), ("cue added", False))
            for null in (False, True)
            for seed in range(3)
        ]
    )
    raw = biases(rows).raw.set_index("variant")
    ends = ["benefit", "benefit_low", "benefit_high"]
    np.testing.assert_allclose(raw.loc["cue added", ends].astype(float), 0.2)
    np.testing.assert_allclose(raw.loc["cue added", "null_benefit"], 0, atol=1e-12)
    assert raw.loc["multiplied by a gate", ends].isna().all()

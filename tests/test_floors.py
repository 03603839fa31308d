"""What studies set beside their numbers: floors, kinds held out."""

import numpy as np
import pandas as pd
import pytest

from plausibench import bench
from plausibench.bench.experiments import dose_response, identify_rule
from plausibench.bench.experiments.dose_response import AGAIN, ANOTHER, KINDS
from plausibench.bench.experiments.parts import collect
from plausibench.bench.optimisers import Sgd
from plausibench.bench.report import dose_response as doses
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


class TestDoses:
    def curve(self, kind, seed, values, draw=0):
        return [
            {"rule": "r", "kind": kind, "seed": seed, "draw": draw, "step": step, "value": value}
            for step, value in zip((0, 10, 20), np.exp([0, *values]), strict=True)
        ]

    @pytest.fixture
    def rows(self):
        """No dose at 2 and 4, a dose at 1.5 and 3.5: paired, they never vary."""
        found = []
        for seed, more in ((0, 0), (1, 2)):
            found += self.curve("own", seed, (0, 0))
            found += self.curve(AGAIN, seed, (1 + more, 1 + more), draw=1)
            found += self.curve(AGAIN, seed, (0.5 + more / 2, 0.5 + more / 2), draw=2)
            for kind in (*KINDS, ANOTHER):
                apart = {"none": 2 + more, "redrawn": 1.5 + more}.get(kind, 1)
                found += self.curve(kind, seed, (apart, apart))
        return pd.DataFrame(found).assign(quantity="test_loss", projection="all")

    def test_the_floor_is_over_all_pairs_with_other_draws(self, rows):
        apart = doses.distances(rows)
        floor = apart[apart["kind"] == AGAIN].set_index("seed")["distance"]
        # Of 0, d and d / 2 the mean distance is 2 d / 3.
        assert floor.to_dict() == pytest.approx({0: 2 / 3, 1: 2.0})

    def test_doses_are_compared_with_floor_and_null_within_a_seed(self, rows):
        raw = doses.paired(rows).raw.set_index("dose")
        nearer = ["nearer_than_no_dose", "nearer_than_no_dose_low", "nearer_than_no_dose_high"]
        np.testing.assert_allclose(raw.loc["redrawn", nearer].astype(float), 0.5)
        assert raw.loc["none", nearer].isna().all()
        assert raw.loc["redrawn", "above_the_floor"] == pytest.approx((1.5 - 2 / 3 + 3.5 - 2) / 2)

    def test_a_rule_without_random_draws_has_a_floor_of_0(self):
        rules = ("sign_symmetry", "node_perturbation")
        rows = pd.DataFrame(collect(dose_response.parts(rules, (0, 3), samples=40, seeds=2)))
        apart = doses.distances(rows)
        floor = apart[apart["kind"] == AGAIN].groupby("rule")["distance"]
        assert floor.max()["sign_symmetry"] == 0
        assert floor.min()["node_perturbation"] > 0


def test_kinds_of_architecture_are_held_out_as_a_whole():
    """Networks of one kind are told apart only by having seen that kind."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            {
                "architecture": architecture,
                "objective": "cross_entropy",
                "rule": rule,
                "seed": seed,
                "group": "tuning",
                "observable": name,
                "value": value + 0.01 * draw.standard_normal(),
            }
            for architecture in ("mlp", "mlp[activation=relu]", "residual")
            for sign, rule in ((1, "one"), (-1, "two"))
            for seed in range(6)
            for name, value in (
                ("kind", float(architecture.startswith("mlp"))),
                # Backwards in networks of another kind.
                ("change", sign * (1.0 if architecture.startswith("mlp") else -1.0)),
            )
        ]
    )
    data = identify_rule.wide(rows)
    by_name = identify_rule.accuracies(data, "architecture", trees=10)
    right = (by_name["rule"] == by_name["named"]).groupby(by_name["architecture"]).mean()
    assert min(right["mlp"], right["mlp[activation=relu]"]) > 0.7
    held = identify_rule.by_kind(identify_rule.accuracies(data, "kind", trees=10))
    assert set(held) == {"mlp", "residual"}
    assert max(held.values()) < 0.5


def test_a_single_name_has_its_options_as_kinds():
    names = pd.Series(["mlp", "mlp[activation=relu]"])
    assert identify_rule.kinds(names).tolist() == names.tolist()

"""Three components: a decomposition that is right, a small grid, levels left out."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench import bench
from plausibench.bench.components.networks import build_network
from plausibench.bench.studies.shared.altered import Altered, answered
from plausibench.bench.studies.three_components import report
from plausibench.bench.studies.three_components import study as three_components
from plausibench.bench.studies.three_components.report import (
    components,
    levels_left_out,
    terms,
    without,
)
from plausibench.kernels.errors import InputError


def test_variance_falls_into_the_effects_that_were_put_in():
    o, a, r = (
        np.array(each)[index]
        for each, index in (
            ((-1.0, 1.0), np.s_[:, None, None]),
            ((-2.0, 0.0, 2.0), np.s_[None, :, None]),
            ((-3.0, 3.0), np.s_[None, None, :]),
        )
    )
    block = np.array([0.5, -0.25, 0.0])
    scores = (o + a + r + 0.5 * o * r)[..., None] + block
    found = three_components.decompose(scores)
    expected = {"O": 1, "A": 8 / 3, "R": 9, "OR": 2.25, "OA": 0, "AR": 0, "OAR": 0, "noise": 0}
    for term, value in expected.items():
        assert found[term] == pytest.approx(value, abs=1e-12), term
    assert found["total"] == pytest.approx(scores.mean(axis=3).var(), rel=1e-12)


def test_noise_of_seeds_is_no_effect():
    """Mean over 200 repetitions within 4 standard errors: a false alarm in 2000 runs."""
    draw = np.random.default_rng(0)
    each = [
        three_components.decompose(draw.standard_normal((3, 2, 4, 3)) + draw.standard_normal(3))
        for _ in range(200)
    ]
    for term in (*three_components.TERMS, "total"):
        values = np.array([found[term] for found in each])
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(200), term
    noise = np.array([found["noise"] for found in each])
    assert abs(noise.mean() - 1) < 4 * noise.std() / np.sqrt(200)


def test_swapping_a_component_changes_nothing_else():
    plain = Altered(bench.make("task", "digits"), indicators=True)
    dealt = Altered(bench.make("task", "digits"), indicators=True, shuffled=True)
    one, two = (next(task.batches(16, seed=3)) for task in (plain, dealt))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert (one.targets != two.targets).any()
    np.testing.assert_array_equal(plain.test.targets.sum(axis=0), dealt.test.targets.sum(axis=0))
    for architecture in three_components.ARCHITECTURES:
        first, second = (build_network(architecture, plain, (32, 32), 5) for _ in range(2))
        assert all((first.parameters[n] == second.parameters[n]).all() for n in first.parameters)
    assert answered(one.targets, one) == 1.0


def test_altered_tasks_keep_what_they_do_not_alter():
    task = bench.make("task", "digits")
    permuted = Altered(task, permuted=True)
    np.testing.assert_array_equal(
        np.sort(permuted.test.inputs, axis=1), np.sort(task.test.inputs, axis=1)
    )
    assert (permuted.test.inputs != task.test.inputs).any()
    held = Altered(task, held=True)
    assert held.train.size + held.test.size == task.train.size
    assert not set(held.train.keys.tolist()) & set(held.test.keys.tolist())
    with pytest.raises(InputError, match="held"):
        Altered(task, held=1)


SMALL = {
    "objectives": ("cross_entropy", "mean_squared_error"),
    "architectures": ("mlp", "residual"),
    "rules": ("backprop", "feedback_alignment"),
    "checkpoints": (12,),
    "seeds": 3,
}


def test_components_of_a_small_grid(tmp_path):
    run = studied.run("three_components", tmp_path, **SMALL)
    assert set(run.jobs["status"]) == {"done"}
    rows = run.frame
    assert len(rows) == 2 * 2 * 2 * 2 * 3
    assert rows["accuracy"].between(0, 1).all()
    assert not rows["diverged"].any()
    tables, pictures = report.report(rows)
    assert tuple(tables) == report.TABLES
    assert len(tables["cells"].cells) == 8
    assert pictures[0].name == "three_components"
    assert "0 of 24 networks diverged" in tables["components"].notes[-1]


def test_networks_that_diverge_are_scored_as_guessing(tmp_path, monkeypatch):
    """With squared errors, whose gradients grow with the weights."""
    monkeypatch.setattr(three_components, "RATES", (1e200,))
    run = studied.run("three_components", tmp_path, **SMALL)
    lost = run.jobs[run.jobs["objective"] == "mean_squared_error"]
    assert set(lost["status"]) == {"diverged"}
    assert set(lost["reason"]) == {"6 of 6 networks diverged"}
    rows = run.frame[run.frame["objective"] == "mean_squared_error"]
    assert len(rows) == 2 * 2 * 2 * 3
    assert rows["diverged"].all()
    assert (rows["accuracy"] == 0.1).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rules": ("backprop", "equilibrium_propagation")}, "every combination"),
        ({"rules": ("backprop",)}, "rules: .* at least two"),
        ({"seeds": 2}, "seeds: 2 is not a whole number of at least 3"),
        ({"checkpoints": ()}, "checkpoints: .* is not a number of training steps"),
        ({"checkpoints": (12, 0)}, "checkpoints: 0 is not"),
    ],
)
def test_bad_options_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        three_components.Options(**given)


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

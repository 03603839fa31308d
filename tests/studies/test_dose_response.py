"""Doses: what is injected, the curves they are compared with, divergence and refusals."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench import bench
from plausibench.bench.measuring.statistics import interval
from plausibench.bench.studies.dose_response import report, study
from plausibench.bench.studies.dose_response.report import (
    CEILING,
    SPREAD,
    distance,
    distances,
    own_loss,
    paired,
)
from plausibench.bench.studies.dose_response.study import AGAIN, ANOTHER, KINDS, Dose, Dosed
from plausibench.kernels.errors import InputError


def cell(seed=0):
    network = bench.make("architecture", "mlp", sizes=[64, 6, 10], seed=seed)
    batch = bench.make("task", "digits").batch(8, seed=seed)
    return network, bench.make("objective", "cross_entropy"), batch


def given(network, bias=0.5, variance=2.0, gain=0.8):
    return tuple(Dose(name, bias, variance, gain) for name in network.parameters)


@pytest.mark.parametrize(
    ("kind", "bias_squared", "variance", "gain"),
    [
        ("none", 0.0, 0.0, 1.0),
        ("redrawn", 0.0, 2.25, 1.0),
        ("local", 0.0, 2.25, 1.0),
        (ANOTHER, 0.0, 2.25, 1.0),
        ("shrinking", 0.25, 2.0, 0.5),
        ("gain, fixed", 0.25, 2.0, 0.8),
        ("fixed", 0.25, 2.0, None),
    ],
)
def test_what_is_injected_is_what_is_measured(kind, bias_squared, variance, gain):
    """Intervals at 4 standard errors: a false alarm in 1 of 500 runs of all of these values."""
    network, objective, batch = cell()
    rule = Dosed(kind, ((0, given(network)),))
    found = bench.measure(rule, network, objective, batch, samples=1500, method="sampled")
    expected = {"bias_squared": bias_squared, "variance": variance, "gain": gain}
    seen = 0
    for row in found.rows:
        aim = expected.get(row["quantity"])
        if aim is None or row["projection"] == "all":
            continue
        half = (row["high"] - row["low"]) / 2 / 2.09 * 4  # t of 20 groups
        assert abs(row["value"] - aim) <= (half if np.isfinite(half) else 0) + 1e-9, row
        seen += 1
    assert seen == (8 if gain is None else 12)


def test_a_dose_holds_from_its_step_on():
    network, objective, batch = cell()
    rule = Dosed("shrinking", ((0, given(network, 0.25, 0)), (5, given(network, 0.75, 0))))
    state = rule.initial_state(network, 0)
    exact = bench.gradient(network, objective, batch)["layer1.weights"]
    for step, kept in ((0, 0.75), (4, 0.75), (5, 0.25), (9, 0.25)):
        now = {**state, "step": np.full(1, float(step))}
        drawn = bench.estimates(rule, network, objective, batch, samples=1, state=now)
        np.testing.assert_allclose(drawn["layer1.weights"][0], kept * exact, rtol=1e-12)


def test_measured_doses_are_those_of_a_known_rule():
    network, objective, batch = cell()
    known = (0.3, 0.0, 0.9)
    rule = Dosed("gain, fixed", ((0, given(network, *known)),))
    measured = bench.measure(rule, network, objective, batch, method="auto", samples=40)
    for dose in study.measured([measured, measured]):
        assert (dose.bias, dose.variance, dose.gain) == pytest.approx(known, abs=1e-9)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    rules = ("node_perturbation", "feedback_alignment")
    folder = tmp_path_factory.mktemp("run")
    return studied.run(
        "dose_response", folder, rules=rules, checkpoints=(0, 4, 12), samples=40, seeds=2
    )


@pytest.fixture(scope="module")
def doses(found):
    assert set(found.jobs["status"]) == {"done"}
    assert len(found.jobs) == 4
    return found.frame


def test_doses_of_a_rule_are_measured_and_its_curves_compared(doses):
    assert set(doses["kind"]) == {"own", AGAIN, *KINDS, ANOTHER}
    own = doses[doses["kind"] == "own"].pivot_table(
        index=["rule", "quantity"], columns="projection", values="value"
    )
    assert (own.loc["node_perturbation", "bias"].drop("all") < 1e-12).all()
    assert (own.loc["node_perturbation", "variance"].drop("all") > 1).all()
    assert own.loc[("feedback_alignment", "bias"), "layer1.weights"] > 0.5
    assert own.loc[("feedback_alignment", "bias"), "layer3.weights"] < 1e-12
    start = doses[(doses["step"] == 0) & (doses["quantity"] == "test_loss")]
    assert (start.groupby(["rule", "seed"])["value"].nunique() == 1).all()
    apart = distances(doses)
    assert (apart["distance"] >= 0).all()
    # Without bias the directions of a bias make no difference.
    unbiased = apart[apart["rule"] == "node_perturbation"].pivot(
        index="kind", columns="seed", values="distance"
    )
    assert np.allclose(unbiased.loc["redrawn"], unbiased.loc["fixed"])
    tables, pictures = report.report(doses)
    assert tables["doses"].cells["rule"].tolist() == ["node perturbation", "feedback alignment"]
    assert pictures[0].name == "dose_response"


def test_what_diverges_keeps_what_was_measured(tmp_path, monkeypatch):
    """Every curve has all its checkpoints, without a loss from where it diverged."""
    monkeypatch.setattr(study, "RATES", {"node_perturbation": 1e308})
    rules = ("feedback_alignment", "node_perturbation")
    given = {"rules": rules, "checkpoints": (0, 2, 6), "samples": 40, "seeds": 2}
    found = studied.run("dose_response", tmp_path, **given)
    status = found.jobs.set_index("rule")["status"]
    assert set(status["feedback_alignment"]) == {"done"}
    assert set(status["node_perturbation"]) == {"diverged"}
    (reason,) = set(found.jobs["reason"]) - {""}
    assert reason.startswith("own, other draws, none, redrawn, ")
    loss = found.frame[found.frame["quantity"] == "test_loss"]
    curves = loss.pivot(
        index=["rule", "seed", "kind", "draw"], columns="step", values="value"
    ).notna()
    assert curves.loc["feedback_alignment"].all(axis=None)
    assert curves.loc["node_perturbation"][0].all()
    assert not curves.loc["node_perturbation"][6].any()
    own = found.frame[(found.frame["kind"] == "own") & (found.frame["quantity"] == "variance")]
    assert set(own.loc[own["rule"] == "node_perturbation", "step"]) == {0}


def test_a_rule_that_cannot_run_is_refused_before_computing():
    with pytest.raises(
        InputError,
        match=r"rules: equilibrium_propagation cannot run .* \(EquilibriumPropagation is",
    ):
        studied.options("dose_response", rules=("backprop", "equilibrium_propagation"))


@pytest.mark.parametrize(
    "options",
    [{"seeds": 1}, {"seed": -1}, {"samples": 0}, {"checkpoints": (-1,)}, {"rules": ("backprop",)}],
)
def test_bad_input_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        studied.options("dose_response", **options)


def test_a_diverged_network_counts_with_the_largest_loss():
    losses = {0: (2.0, 1.0, 0.5), 1: (2.0, 7.0, np.nan), 2: (2.0, 70.0, 700.0)}
    rows = pd.DataFrame(
        [
            {"rule": "r", "seed": seed, "kind": "own", "step": step, "value": value}
            for seed, values in losses.items()
            for step, value in zip((0, 10, 25), values, strict=True)
        ]
    ).assign(quantity="test_loss", projection="all")
    assert own_loss(rows, "r").to_dict() == {0: 0.5, 1: CEILING, 2: CEILING}


def test_the_distance_between_seeds_has_a_jackknife_interval():
    apart = np.abs(np.subtract.outer(*[np.random.default_rng(2).standard_normal(5)] * 2))
    for seeds in (2, 3, 5):
        near = apart[:seeds, :seeds]
        each = near.sum(axis=1) / (seeds - 1)
        found = pd.DataFrame({"distance": each}).assign(rule="r", kind=SPREAD)
        mean, low, high = distance(found, "r", SPREAD)
        left = []
        for out in range(seeds):
            kept = np.delete(np.delete(near, out, axis=0), out, axis=1)
            left.append(kept[np.triu_indices(seeds - 1, 1)].mean() if seeds > 2 else np.nan)
        expected = interval(np.array([near[np.triu_indices(seeds, 1)].mean(), *left]))
        assert (mean, low, high) == pytest.approx(expected, nan_ok=True)
        assert np.isfinite(high - low) == (seeds > 2)


class TestFloors:
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
        apart = distances(rows)
        floor = apart[apart["kind"] == AGAIN].set_index("seed")["distance"]
        # Of 0, d and d / 2 the mean distance is 2 d / 3.
        assert floor.to_dict() == pytest.approx({0: 2 / 3, 1: 2.0})

    def test_doses_are_compared_with_floor_and_null_within_a_seed(self, rows):
        raw = paired(rows).raw.set_index("dose")
        nearer = ["nearer_than_no_dose", "nearer_than_no_dose_low", "nearer_than_no_dose_high"]
        np.testing.assert_allclose(raw.loc["redrawn", nearer].astype(float), 0.5)
        assert raw.loc["none", nearer].isna().all()
        assert raw.loc["redrawn", "above_the_floor"] == pytest.approx((1.5 - 2 / 3 + 3.5 - 2) / 2)

    def test_a_rule_without_random_draws_has_a_floor_of_0(self, tmp_path):
        rules = ("sign_symmetry", "node_perturbation")
        given = {"rules": rules, "checkpoints": (0, 3), "samples": 40, "seeds": 2}
        apart = distances(studied.run("dose_response", tmp_path, **given).frame)
        floor = apart[apart["kind"] == AGAIN].groupby("rule")["distance"]
        assert floor.max()["sign_symmetry"] == 0
        assert floor.min()["node_perturbation"] > 0

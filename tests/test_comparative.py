"""Doses, identification of rules and the brain set, in small versions."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.experiments import (
    brain_set,
    dose_response,
    identify_rule,
)
from plausibench.bench.experiments.altered import Altered
from plausibench.bench.experiments.dose_response import AGAIN, ANOTHER, KINDS, Dose, Dosed
from plausibench.bench.experiments.parts import collect
from plausibench.bench.report.dose_response import CEILING, SPREAD, distance, distances, own_loss
from plausibench.bench.statistics import interval
from plausibench.kernels.errors import InputError

DOCS = Path(__file__).parent.parent / "docs" / "experiments.md"
OWN = ("brain_set", "dose_response", "identify_rule")


def cell(seed=0):
    network = bench.make("architecture", "mlp", sizes=[64, 6, 10], seed=seed)
    batch = bench.make("task", "digits").batch(8, seed=seed)
    return network, bench.make("objective", "cross_entropy"), batch


def given(network, bias=0.5, variance=2.0, gain=0.8):
    return tuple(Dose(name, bias, variance, gain) for name in network.parameters)


# Doses


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
    for dose in dose_response.measured([measured, measured]):
        assert (dose.bias, dose.variance, dose.gain) == pytest.approx(known, abs=1e-9)


@pytest.fixture(scope="module")
def doses():
    rules = ("node_perturbation", "feedback_alignment")
    return pd.DataFrame(
        collect(dose_response.parts(rules=rules, checkpoints=(0, 4, 12), samples=40, seeds=2))
    )


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
    tables, pictures = dose_response.report(doses)
    assert tables["doses"].cells["rule"].tolist() == ["node perturbation", "feedback alignment"]
    assert pictures[0].name == "dose_response"


def test_rules_that_cannot_run_are_refused_before_computing():
    with pytest.raises(
        InputError,
        match=r"rules: equilibrium_propagation cannot run .* \(EquilibriumPropagation is",
    ):
        dose_response.parts(rules=("backprop", "equilibrium_propagation"))
    # Neither one that runs nowhere, nor one that does not run in time.
    for rule in ("equilibrium_propagation", "feedback_alignment"):
        with pytest.raises(
            InputError, match=r"rules: .* cannot run in this study \(.* is a rule for"
        ):
            brain_set.parts(rules=("backprop", rule))


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


# Identification of rules


def synthetic(telling):
    """Networks with one observable that tells the rule, or does not."""
    draw = np.random.default_rng(1)
    rows = [
        {
            "architecture": architecture,
            "objective": "cross_entropy",
            "rule": rule,
            "seed": seed,
            "group": "tuning",
            "observable": "change",
            "value": draw.standard_normal() + (10 * place if telling else 0),
        }
        for architecture in ("a", "b", "c")
        for place, rule in enumerate(("one", "two", "three", "four"))
        for seed in range(8)
    ]
    return identify_rule.wide(pd.DataFrame(rows))


def test_a_classifier_names_what_can_be_told_and_guesses_the_rest():
    found = identify_rule.accuracies(synthetic(True), "architecture", trees=20)
    assert np.mean(list(identify_rule.by_kind(found).values())) > 0.98
    found = identify_rule.accuracies(synthetic(False), "architecture", trees=20)
    # 96 names, chance 1/4: standard error 0.044.
    assert abs((found["rule"] == found["named"]).mean() - 0.25) < 4 * 0.044
    dealt = identify_rule.accuracies(synthetic(True), "architecture", trees=20, deal=True)
    assert abs((dealt["rule"] == dealt["named"]).mean() - 0.25) < 4 * 0.044
    assert (dealt.groupby(["architecture", "rule"]).size() == 8).all()


@pytest.fixture(scope="module")
def observed():
    return pd.DataFrame(
        collect(
            identify_rule.parts(
                architectures=("mlp", "residual"),
                objectives=("cross_entropy",),
                rules=("feedback_alignment", "node_perturbation", "weight_perturbation"),
                seeds=2,
                checkpoints=(12,),
            )
        )
    )


def test_signals_that_are_observed(observed):
    credit = observed[observed["group"] == "credit"]
    signals = credit.pivot_table(index="observable", columns="rule", values="value")
    same = signals.loc["same when shown again, first layer"]
    assert same["feedback_alignment"] == pytest.approx(1)
    assert abs(same["node_perturbation"]) < 0.1  # of 4096 independent numbers
    assert (credit.loc[credit["rule"] == "weight_perturbation", "value"] == 0).all()
    straight = observed[observed["observable"].str.startswith("straightness")]["value"]
    assert straight.between(0, 1 + 1e-12).all()
    ranks = observed[observed["observable"].str.startswith("rank")]["value"]
    assert ranks.between(0, 1 + 1e-12).all()


def test_report_of_identification(observed, monkeypatch):
    from plausibench.bench.report import identify_rule as page

    monkeypatch.setattr(page, "NULLS", 2)
    monkeypatch.setattr(page, "FEW", 2)
    monkeypatch.setattr(page, "TREES", 5)
    found = page.identify(observed)
    assert found.networks == 12
    assert found.confusion.sum(axis=1).to_numpy() == pytest.approx(1)
    assert page.identify_rule(found).name == "identify_rule"
    with pytest.raises(InputError, match="two of them"):
        identify_rule.parts(architectures=("mlp",))
    monkeypatch.setattr(identify_rule, "HIDDEN", (32,))
    with pytest.raises(InputError, match="two hidden layers"):
        identify_rule.parts(architectures=("mlp", "residual"))


# The brain set


def test_sequences_shown_at_once_and_few_examples():
    task = bench.make("task", "delayed_match", trials=30, dt=100)
    flat = Altered(task, flat=True, first=12)
    assert flat.train.inputs.shape == (12, flat.inputs_size)
    np.testing.assert_array_equal(flat.test.inputs, task.test.inputs.reshape(30, -1))
    turned = Altered(task, permuted=True).test
    assert turned.inputs.sum(axis=1) == pytest.approx(task.test.inputs.sum(axis=1), abs=1e-12)
    np.testing.assert_array_equal(turned.targets, task.test.targets)


class Quiet(brain_set.Joystick):
    noise = 0.0


def test_skill_of_constant_and_of_right_answers():
    task = Altered(Quiet(examples=20), flat=True)
    network = bench.make("architecture", "mlp", sizes=[task.inputs_size, 1])
    silent = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    mean = np.full(1, float(task.test.targets.mean()))
    constant = network.with_parameters({**silent, "layer1.bias": mean})
    assert brain_set.skill(constant, task) == pytest.approx(0, abs=1e-12)
    # The push -(0.1 x(t) + v), with the wind from the last two places: v = x(t) - 1.1 x(t-1).
    weights = np.zeros((1, task.inputs_size))
    weights[0, -1], weights[0, -2] = -1.1, 1.1
    right = network.with_parameters({**silent, "layer1.weights": weights})
    assert brain_set.skill(right, task) == pytest.approx(1, abs=1e-12)


def test_brain_set_in_a_small_version():
    rows = pd.DataFrame(collect(brain_set.parts(seeds=2, checkpoints=(2,))))
    assert len(rows) == 6 * 2 * 3 * 2
    assert rows["skill"].max() <= 1
    for _, part in rows.groupby("domain"):
        assert part["parameters"].max() < 1.1 * part["parameters"].min()
    tables, pictures = brain_set.report(rows)
    assert len(tables["skills"].cells) == 18
    assert pictures[0].name == "brain_set"


def test_networks_of_the_brain_set_that_diverged_are_counted():
    rows = pd.DataFrame(
        [
            {"domain": domain, "rule": "backprop", "control": control, "seed": seed}
            | {"biased": biased, "network": "a" if biased else "b"}
            | {"skill": np.nan if biased and (domain == "value" or seed == 2) else 0.1 * seed}
            for domain in ("value", "memory")
            for control in brain_set.CONTROLS
            for biased in (True, False)
            for seed in range(3)
        ]
    )
    tables, pictures = brain_set.report(rows)
    raw = tables["skills"].raw.set_index(["domain", "control"])
    assert raw.loc["value", ["with_bias", "benefit"]].isna().all(axis=None)
    assert raw.loc[("memory", "task"), "with_bias"] == pytest.approx(0.05)
    assert raw.loc[("memory", "task"), "benefit"] == pytest.approx(0)
    assert "12 of 36 networks diverged" in tables["skills"].notes[-1]
    assert "12 of 36 networks diverged" in pictures[0].caption


def test_commands_of_the_documentation_run():
    commands = re.findall(r"^plausibench run (\w+)(.*)$", DOCS.read_text("utf-8"), re.MULTILINE)
    named = [(name, rest) for name, rest in commands if name in OWN]
    assert {name for name, _ in named} == set(OWN)
    for name, rest in named:
        done = CliRunner().invoke(main, ["run", name, *rest.split(), "--dry-run"])
        assert done.exit_code == 0, done.output
        assert "parts of the experiment" in done.output
        assert (DOCS.parent / f"{name}.png").is_file()

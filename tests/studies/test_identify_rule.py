"""Identification of rules: observables, the classifier, divergence, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.bench.studies.identify_rule import study
from plausibench.kernels.errors import InputError


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
    return study.wide(pd.DataFrame(rows))


def test_a_classifier_names_what_can_be_told_and_guesses_the_rest():
    found = study.accuracies(synthetic(True), "architecture", trees=20)
    assert np.mean(list(study.by_kind(found).values())) > 0.98
    found = study.accuracies(synthetic(False), "architecture", trees=20)
    # 96 names, chance 1/4: standard error 0.044.
    assert abs((found["rule"] == found["named"]).mean() - 0.25) < 4 * 0.044
    dealt = study.accuracies(synthetic(True), "architecture", trees=20, deal=True)
    assert abs((dealt["rule"] == dealt["named"]).mean() - 0.25) < 4 * 0.044
    assert (dealt.groupby(["architecture", "rule"]).size() == 8).all()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return studied.run(
        "identify_rule",
        tmp_path_factory.mktemp("run"),
        architectures=("mlp", "residual"),
        objectives=("cross_entropy",),
        rules=("feedback_alignment", "node_perturbation", "weight_perturbation"),
        seeds=2,
        checkpoints=(12,),
    )


@pytest.fixture(scope="module")
def observed(found):
    assert set(found.jobs["status"]) == {"done"}
    assert len(found.jobs) == 2 * 3 * 2
    return found.frame


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
    from plausibench.bench.studies.identify_rule import report as page

    monkeypatch.setattr(page, "NULLS", 2)
    monkeypatch.setattr(page, "FEW", 2)
    monkeypatch.setattr(page, "TREES", 5)
    found = page.identify(observed)
    assert found.networks == 12
    assert found.confusion.sum(axis=1).to_numpy() == pytest.approx(1)
    assert page.identify_rule(found).name == "identify_rule"


def test_networks_that_diverged_have_no_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RATES", {"node_perturbation": 1e308})
    found = studied.run(
        "identify_rule",
        tmp_path,
        architectures=("mlp", "residual"),
        objectives=("cross_entropy",),
        rules=("feedback_alignment", "node_perturbation"),
        seeds=2,
        checkpoints=(12,),
    )
    diverged = found.jobs["rule"] == "node_perturbation"
    assert set(found.jobs.loc[diverged, "status"]) == {"diverged"}
    assert set(found.jobs.loc[~diverged, "status"]) == {"done"}
    assert set(found.frame["rule"]) == {"feedback_alignment"}
    assert len(study.wide(found.frame)) == 4


def test_what_does_not_run_together_is_left_out():
    chosen = studied.options(
        "identify_rule", rules=("backprop", "equilibrium_propagation"), seeds=2
    )
    assert {job.about["rule"] for job in study.jobs(chosen)} == {"backprop"}


@pytest.mark.parametrize(
    "options", [{"seeds": 1}, {"seed": -1}, {"checkpoints": (1,)}, {"checkpoints": ()}]
)
def test_bad_input_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        studied.options("identify_rule", **options)


def test_kinds_that_tell_nothing_are_refused(monkeypatch):
    for few in ({"architectures": ("mlp",)}, {"rules": ("backprop", "backprop")}):
        with pytest.raises(InputError, match="two of them"):
            studied.options("identify_rule", **few)
    monkeypatch.setattr(study, "HIDDEN", (32,))
    with pytest.raises(InputError, match="two hidden layers"):
        studied.options("identify_rule", architectures=("mlp", "residual"))


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
    data = study.wide(rows)
    by_name = study.accuracies(data, "architecture", trees=10)
    right = (by_name["rule"] == by_name["named"]).groupby(by_name["architecture"]).mean()
    assert min(right["mlp"], right["mlp[activation=relu]"]) > 0.7
    held = study.by_kind(study.accuracies(data, "kind", trees=10))
    assert set(held) == {"mlp", "residual"}
    assert max(held.values()) < 0.5


def test_a_single_name_has_its_options_as_kinds():
    names = pd.Series(["mlp", "mlp[activation=relu]"])
    assert study.kinds(names).tolist() == names.tolist()

"""Tags: what a trial leaves behind, the four predictions, and a rule without a gate."""

import numpy as np
import pytest

import studied
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.tags import study
from plausibench.bench.studies.tags.report import predictions
from plausibench.bench.studies.tags.report import tags as picture
from plausibench.kernels.errors import InputError
from toy_jobs import files

GATED = ("attention_gated", "augment[exploration=softmax]", "brainprop[exploration=softmax]")
UNTAGGED = ("untagged, positive error", "untagged, negative error")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rules = (*GATED, "reinforce")
    found = studied.run("tags", tmp_path_factory.mktemp("run"), rules=rules, samples=40, seeds=3)
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


def values(rows, rule, quantity):
    own = rows[(rows["rule"] == rule) & (rows["quantity"] == quantity)]
    assert len(own) == 3
    return own["value"].to_numpy()


@pytest.mark.parametrize("rule", GATED)
def test_only_tagged_synapses_change(rows, rule):
    for cell in UNTAGGED:
        assert (values(rows, rule, cell) == 0).all()
    assert (values(rows, rule, "tagged, positive error") > 0).all()
    assert (values(rows, rule, "tagged, negative error") < 0).all()


@pytest.mark.parametrize("rule", GATED)
def test_the_change_is_error_times_tag(rows, rule):
    np.testing.assert_allclose(values(rows, rule, "factor"), 1, rtol=1e-12)
    np.testing.assert_allclose(values(rows, rule, "correlation"), 1, rtol=1e-12)
    assert (values(rows, rule, "sign") == 1).all()


@pytest.mark.parametrize("rule", [*GATED, "reinforce"])
def test_without_an_error_nothing_changes(rows, rule):
    assert (values(rows, rule, "without error") < 1e-12).all()


@pytest.mark.parametrize("rule", [*GATED, "reinforce"])
def test_the_expected_update_is_the_descent_of_the_reference(rows, rule, record_figure):
    found = values(rows, rule, "expected")
    record_figure(f"{rule}: expected update off the reference by", found.max(), 0)
    assert (found < 1e-12).all()


def test_the_null_changes_untagged_synapses_the_other_way(rows):
    for cell, sign in zip(UNTAGGED, (-1, 1), strict=True):
        assert (sign * values(rows, "reinforce", cell) > 0).all()
    assert (np.abs(values(rows, "reinforce", "factor") - 1) > 0.1).all()


def test_each_unit_feeds_one_action():
    weights = study.two_pathways(0).parameters["layer2.weights"]
    assert ((weights != 0).sum(axis=0) == 1).all()
    np.testing.assert_array_equal((weights != 0).sum(axis=1), [10, 10])


def test_errors_of_trials_have_both_signs_and_both_actions():
    made, network, objective = study.cell("attention_gated", 0)
    every = study.trials(30, 0)
    found = [study.trial(made, network, objective, every.take([n]), 0) for n in range(30)]
    assert {one.action for one in found} == {0, 1}
    assert {one.error > 0 for one in found} == {True, False}
    for one in found:
        assert one.policy.sum() == pytest.approx(1)


@pytest.mark.acceptance
def test_processes_find_the_same(tmp_path):
    given = {"rules": ("attention_gated", "reinforce"), "samples": 20, "seeds": 2}
    one = studied.run("tags", tmp_path / "one", **given)
    two = studied.run("tags", tmp_path / "two", executor=Processes(2), **given)
    assert len(files(one)) == 4
    assert files(one) == files(two)


def test_report(rows):
    table = predictions(rows)
    assert len(table.cells) == 4
    assert (table.raw["untagged, positive error"] == 0).sum() == 3
    drawn = picture(rows)
    assert drawn.name == "tags"
    assert len(drawn.figure.axes) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 5}, "samples"),
        ({"seeds": 1}, "seeds"),
        ({"rules": ("backprop",)}, "backprop cannot run .*does not learn from a choice"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        studied.options("tags", **options)

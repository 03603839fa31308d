"""Improvement against step: second order left, no better direction, many as good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import studied
from plausibench.bench.measuring.vectors import vector
from plausibench.bench.studies.improvement import report, study
from plausibench.bench.studies.improvement.report import directions, remainder, steps
from plausibench.bench.studies.improvement.report import improvement as picture
from plausibench.kernels.errors import InputError

FEW = ("backprop", "node_perturbation", "weight_perturbation", "hebb")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return studied.run("improvement", folder, rules=FEW, samples=60, seeds=2).frame


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


def test_what_the_first_order_leaves_is_of_second_order(rows, record_figure):
    """The loss is rounded to 1e-16, and the shortest steps leave 1e-13 or more."""
    for rule, exponent in remainder(rows).raw.set_index("rule")["exponent"].items():
        record_figure(f"{rule}: power of the remainder", exponent, 2.0)
        assert exponent == pytest.approx(2, abs=0.06)


def test_remainder_is_computed_against_the_gradient():
    """With another first order, the slope would be 1."""
    cell = study.setting("backprop", 0)
    g = vector(cell.network, cell.network.gradient(cell.objective, cell.batch))
    direction = g / np.linalg.norm(g)
    found = [row["value"] for row in study._remainder(cell, direction)]
    lengths = study.DECADES * np.linalg.norm(vector(cell.network, cell.network.parameters))
    assert found[0] < 1e-4 * lengths[0] * np.linalg.norm(g)


def test_no_random_direction_beats_the_gradient(rows):
    assert (values(rows, "better than the gradient") == 0).all()
    # The largest of 10 000 cosines in P dimensions: about sqrt(2 ln 10 000 / P), 0.12.
    expected = np.sqrt(2 * np.log(study.DIRECTIONS) / values(rows, "weights"))
    assert (np.abs(values(rows, "best cosine") / expected - 1) < 0.35).all()
    # Half of all directions go uphill; 4 standard errors of a share of 10 000, and its curvature.
    assert (np.abs(values(rows, "improving") - 0.5) < 0.025).all()


def test_a_family_improves_alike(rows):
    assert (values(rows, "members") == values(rows, "weights") - 1).all()
    assert (values(rows, "apart to first order") < 1e-13).all()
    for quantity in ("least of the family", "most of the family"):
        np.testing.assert_allclose(values(rows, quantity), study.SHARE, rtol=2e-3)


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_family_is_orthogonal_but_for_the_gradient(size, share, seed):
    g = np.random.default_rng(seed).normal(size=size)
    members = study.family(g, share, np.arange(size - 1))
    expected = share**2 + (1 - share**2) * np.eye(size - 1)
    np.testing.assert_allclose(members @ members.T, expected, atol=1e-12)
    np.testing.assert_allclose(members @ g, share * np.linalg.norm(g), atol=1e-12)


def test_family_of_a_gradient_along_an_axis():
    for sign in (1.0, -1.0):
        g = sign * np.eye(5)[0]
        np.testing.assert_allclose(study.family(g, 0.6, np.arange(4)) @ g, 0.6, atol=1e-15)


def test_share_of_steps_that_improve(rows):
    table = steps(rows).raw.set_index("rule")
    assert table.loc["backprop", "0.001"] == 1
    # Antithetic: the estimate is a directional derivative times its direction, never uphill.
    assert table.loc["weight perturbation", "0.001"] > 0.97
    null = table.loc[study.NULL]
    # Two seeds of 60 directions: 4 standard errors.
    assert abs(null["0.001"] - 0.5) < 4 * np.sqrt(0.25 / 120)
    assert table.loc["node perturbation", "0.001"] > null["0.001"] + 0.3
    assert table.loc["node perturbation", "1"] < table.loc["node perturbation", "0.001"]


def test_report(rows):
    assert len(remainder(rows).cells) == len(FEW)
    assert len(directions(rows).cells) == 1
    assert "random direction" in steps(rows).render("markdown")
    drawn = picture(rows)
    assert drawn.name == "improvement"
    assert len(drawn.figure.axes) == 3


def test_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "DIRECTIONS", study.BLOCK)
    found = studied.run("improvement", tmp_path, rules=("backprop",), seeds=2, samples=10)
    assert set(found.jobs["status"]) == {"done"}
    assert found.jobs["rule"].tolist() == ["", "", study.NULL, study.NULL, "backprop", "backprop"]
    tables, pictures = report.report(found.frame)
    assert tuple(tables) == report.TABLES
    assert [picture.name for picture in pictures] == ["improvement"]


@pytest.mark.parametrize("options", [{"seeds": 1}, {"seed": -1}, {"samples": 1}])
def test_refusals(options):
    with pytest.raises(InputError, match=next(iter(options))):
        studied.options("improvement", **options)

"""The study of time: exponents of a small version, and its report."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.scaling.report import fit, points
from plausibench.bench.studies.time import study as time
from plausibench.bench.studies.time.report import exponents, lengths
from plausibench.bench.studies.time.report import time as picture
from plausibench.kernels.errors import InputError

SMALL = tuple(
    point
    for point in time.POINTS
    if (point.axis.startswith("trial length") and point.value in (4, 16, 64))
    or (point.axis == "recurrence" and point.value <= 0.1)
    or (point.axis in ("delay", "network size") and point.value <= 16)
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("time")
    found = studied.run("time", path, samples=320, seeds=3, points=SMALL)
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


def law(axis, rule, quantity):
    (found,) = (
        one for one in time.LAWS if (one.axis, one.rule, one.quantity) == (axis, rule, quantity)
    )
    return found


def test_variance_grows_with_the_trial_for_node_perturbation_only(rows, record_figure):
    """Zuege, Klos & Memmesheimer 2023, at an outcome at the end of the trial."""
    found = {}
    for rule in ("weight_perturbation", "node_perturbation"):
        one = law("trial length", rule, "variance")
        found[rule] = fit(points(rows, one), one, "exact")
        record_figure(f"{rule}: exponent of variance against length", found[rule].value, one.theory)
    assert found["weight_perturbation"].value == pytest.approx(0, abs=1e-9)
    assert 0.7 < found["node_perturbation"].value < 1.4


def test_sampled_variances_are_those_of_the_closed_form(rows):
    own = rows[(rows["quantity"] == "variance") & rows["exact"].notna()]
    assert len(own) > 50
    ratio = own["value"] / own["exact"]
    assert abs(ratio.mean() - 1) < 0.03
    assert ratio.between(0.6, 1.6).all()


@pytest.mark.parametrize("rule", ["e_prop", "rflo[feedback=symmetric]"])
def test_what_is_left_out_is_linear_in_weak_recurrence(rows, rule, record_figure):
    one = law("recurrence", rule, "bias")
    found = fit(points(rows, one), one)
    record_figure(f"{rule}: exponent of the bias against recurrence", found.value, 1.0)
    assert found.low < 1 < found.high


def test_unbiased_rules_and_rules_without_noise(rows):
    noisy = rows["rule"].isin(time.PERTURBING)
    variance = rows[rows["quantity"] == "variance"]
    assert (variance.loc[~noisy, "value"] == 0).all()
    bias = rows[noisy & (rows["quantity"] == "bias_squared") & (rows["rule"] == "uoro")]
    error = (bias["high"] - bias["low"]) / 4.2
    assert abs((bias["value"] / error).mean()) < 4 / np.sqrt(len(bias))


def test_report(rows):
    table = exponents(rows)
    assert len(table.cells) == len(time.LAWS)
    assert "node perturbation" in table.render("markdown")
    by_length = lengths(rows)
    assert set(by_length.raw["recurrence"]) == set(time.STRENGTHS)
    assert "uoro" in by_length.render("text")
    drawn = picture(rows)
    assert drawn.name == "time"
    assert len(drawn.figure.axes) == 6


@pytest.mark.acceptance
def test_values_do_not_depend_on_processes(tmp_path):
    few = tuple(point for point in SMALL if point.axis == "network size" and point.value == 8)
    small = {"samples": 320, "seeds": 2, "points": few}
    one = studied.run("time", tmp_path / "one", **small)
    two = studied.run("time", tmp_path / "two", executor=Processes(2), **small)
    pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)


@pytest.mark.parametrize("options", [{"samples": 10}, {"seeds": 1}, {"seed": -1}])
def test_refusals(options):
    with pytest.raises(InputError, match=next(iter(options))):
        time.Options(**options)

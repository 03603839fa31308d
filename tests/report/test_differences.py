"""Runs of a study compared by its keys: means, intervals and tests are those of the textbook."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plausibench.bench.report.differences import differences, table_of
from plausibench.kernels.errors import InputError

KEYS = ("rule", "seed", "quantity")


def frame(values, seeds, rule="backprop", quantity="loss"):
    rows = [
        {"rule": rule, "seed": seed, "quantity": quantity, "value": value, "low": 0.0, "high": 1.0}
        for seed, value in zip(seeds, values, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def samples():
    draw = np.random.default_rng(3)
    return draw.normal(size=6), draw.normal(1.0, 2.0, size=6)


def test_the_same_seeds_are_paired(samples):
    one, two = samples
    (found,) = differences(frame(one, range(6)), frame(two, range(6)), KEYS).itertuples()
    textbook = stats.ttest_rel(two, one)
    assert found.test == "paired"
    assert found.p == pytest.approx(textbook.pvalue, rel=1e-9)
    ends = textbook.confidence_interval()
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert (found.first, found.second) == pytest.approx((one.mean(), two.mean()))
    half = stats.t.ppf(0.975, 5) * one.std(ddof=1) / np.sqrt(6)
    assert found.first_high - found.first == pytest.approx(half)


def test_other_seeds_are_not(samples):
    one, two = samples[0], samples[1][:4]
    (found,) = differences(frame(one, range(6)), frame(two, range(9, 13)), KEYS).itertuples()
    textbook = stats.ttest_ind(two, one, equal_var=False)
    assert found.test == "Welch"
    assert found.p == pytest.approx(textbook.pvalue, rel=1e-9)


def test_what_does_not_vary_is_exact():
    same, other = frame([1.0, 1.0], (0, 1)), frame([2.0, 2.0], (0, 1))
    (found,) = differences(same, other, KEYS).itertuples()
    assert (found.test, found.flag) == ("exact", "higher")
    (found,) = differences(same, same, KEYS).itertuples()
    assert (found.test, found.flag, found.difference) == ("exact", "", 0.0)


def test_what_has_no_seed_does_not_vary():
    one, two = (frame([value], (np.nan,)) for value in (1.0, 1.5))
    (found,) = differences(one, two, KEYS).itertuples()
    assert (found.test, found.difference, found.flag) == ("exact", 0.5, "higher")
    (found,) = differences(one.drop(columns="seed"), one.drop(columns="seed"), KEYS).itertuples()
    assert (found.test, found.flag) == ("exact", "")


def test_one_seed_says_nothing_and_what_is_in_one_run_is_told(samples):
    one = pd.concat([frame([0.5], (0,)), frame(samples[0], range(6), rule="oja")])
    found = differences(one, frame([0.7], (0,)), KEYS)
    assert found["rule"].tolist() == ["backprop", "oja"]
    assert found["flag"].tolist() == ["", ""]
    assert np.isnan(found["p"]).all()
    assert found["only"].tolist() == ["", "first"]
    notes = " ".join(table_of(found, every=True, names=("a", "b")).notes)
    assert "1 value of one seed could not be tested" in notes
    assert "Only a has 1 further value." in notes


def test_every_number_that_is_no_key_is_compared():
    wide = pd.DataFrame({"rule": ["oja"] * 2, "seed": [0, 1], "gain": [1.0, 2.0], "text": "a"})
    found = differences(wide.assign(loss=3.0), wide.assign(loss=[np.nan, 4.0]), ("rule", "seed"))
    assert found["column"].tolist() == ["gain", "loss"]
    assert "column" in table_of(found, every=True).cells


def test_keys_that_a_row_does_not_have_lose_no_row():
    rows = pd.concat([frame([1.0, 2.0], (0, 1)), frame([1.0, 3.0], (0, 1)).drop(columns="rule")])
    assert len(differences(rows, rows, KEYS)) == 2


def test_a_level_of_a_false_alarm_is_kept():
    """200 comparisons without a difference: at 5 % none or hardly one is flagged.

    By Benjamini & Hochberg the chance of any flag is 5 %; with this seed there is none.
    """
    draw = np.random.default_rng(0)
    sides = [
        pd.concat([frame(draw.normal(size=5), range(5), quantity=f"q{n}") for n in range(200)])
        for _ in range(2)
    ]
    found = differences(*sides, KEYS)
    assert (found["flag"] == "").all()
    assert (found["p"] < 0.05).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 200))


@pytest.mark.parametrize("rate", [0.0, 1.0, 2.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(InputError, match="rate"):
        differences(frame([1.0], (0,)), frame([1.0], (0,)), KEYS, rate=rate)


def test_no_results_are_refused():
    with pytest.raises(InputError, match="no results"):
        differences(frame([], ()), frame([1.0], (0,)), KEYS)

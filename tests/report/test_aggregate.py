"""Means over seeds with their intervals, and settings apart."""

import math

import numpy as np
import pandas as pd
import pytest

from generated import NAN, generate, values
from plausibench.bench.measuring.seed_intervals import KINDS, SIGNED, average
from plausibench.bench.report.aggregate import aggregate, settings


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 1000))


def test_mean_and_interval_over_seeds_by_hand():
    row = aggregate(values([1.0, 2.0, 4.0], quantity="gain")).iloc[0]
    student = 0.95 / math.sqrt(2 * 0.975 * 0.025)  # closed form for 2 degrees of freedom
    half = student * math.sqrt(7 / 3) / math.sqrt(3)
    assert row["value"] == pytest.approx(7 / 3, rel=1e-15)
    assert row["low"] == pytest.approx(7 / 3 - half, rel=1e-12)
    assert row["high"] == pytest.approx(7 / 3 + half, rel=1e-12)
    assert (row["seeds"], row["average"]) == (3, "mean")
    assert "seed" not in row.index


def test_each_quantity_is_averaged_by_its_kind():
    for quantity, expected in (
        ("variance", "geometric mean"),
        ("scale_free_bias", "logit mean"),
        ("progress", "mean"),
        ("gain", "mean"),
    ):
        row = aggregate(values([0.2, 0.5, 0.9], quantity, method="exact")).iloc[0]
        assert row["average"] == expected
        assert row["value"] == pytest.approx(
            average([0.2, 0.5, 0.9], KINDS.get(quantity, SIGNED))[0]
        )
        plain = aggregate(values([0.2, 0.5, 0.9], quantity=quantity), plain=True).iloc[0]
        assert (plain["average"], plain["value"]) == ("mean", pytest.approx(1.6 / 3))


def test_a_squared_bias_that_every_seed_knows_is_averaged_as_what_is_positive():
    exact = aggregate(values([10.0, 200.0, 1500.0], "bias_squared", method="exact")).iloc[0]
    assert exact["value"] == pytest.approx((10 * 200 * 1500) ** (1 / 3))
    assert (exact["state"], exact["average"]) == ("resolved", "geometric mean")
    assert exact["low"] > 0
    told = aggregate(values([10.0, 200.0, 1500.0], "bias_squared")).iloc[0]
    assert told["value"] == pytest.approx(exact["value"])
    # One seed that its interval does not tell apart from zero: an unbiased estimate, as it is.
    untold = aggregate(values([0.5, 200.0, 1500.0], "bias_squared")).iloc[0]
    assert (untold["state"], untold["average"]) == ("bounded", "mean")
    assert untold["value"] == pytest.approx(1700.5 / 3)
    # So is one at rounding.
    rounding = aggregate(values([1e-31, 200.0, 1500.0], "bias_squared", method="exact")).iloc[0]
    assert (rounding["state"], rounding["average"]) == ("bounded", "mean")


@pytest.mark.parametrize("size", [1e-8, 1e-12, 1e-20])
def test_a_squared_bias_from_companions_is_no_zero_and_no_bound_where_it_is_told(size):
    numbers = size * np.array([3.0, 4.0, 5.0])
    ends = {"low": 0.8 * numbers, "high": 1.2 * numbers, "method": "companion"}
    told = aggregate(values(numbers, "bias_squared", **ends)).iloc[0]
    assert (told["state"], told["average"]) == ("resolved", "geometric mean")
    assert told["value"] == pytest.approx(size * 60 ** (1 / 3))
    assert told["low"] > 0
    # Where its interval holds zero it is a bound, as in plain sampling, and not known exactly.
    noise = numbers * [-1, 1, 1]
    ends |= {"low": noise - 2 * numbers, "high": noise + 2 * numbers}
    untold = aggregate(values(noise, "bias_squared", **ends)).iloc[0]
    assert (untold["state"], untold["average"]) == ("bounded", "mean")
    assert untold["bound"] >= untold["high"]
    # Other quantities, and what rounding leaves, are zeros as before.
    ends |= {"low": numbers, "high": numbers}
    other = aggregate(values(numbers, "direction_bias", **ends)).iloc[0]
    assert other["state"] == ("zero" if size < 1e-12 else "resolved")
    rounding = aggregate(values(1e-30 * numbers, "bias_squared", method="companion")).iloc[0]
    assert rounding["state"] == "zero"


def test_noise_that_lies_on_one_side_by_chance_is_not_told_apart_from_zero():
    """Half-normal values of three seeds, with intervals that say what they are: noise about 0."""
    numbers = np.abs(np.random.default_rng(0).normal(0, 0.01, 3 * 400))
    places = {"seed": np.tile(np.arange(3), 400), "step": np.repeat(np.arange(400), 3)}
    for quantity in ("direction_bias", "scale_free_bias", "variance"):
        ends = {"low": numbers - 0.02, "high": numbers + 0.02}
        found = aggregate(values(numbers, quantity, **places, **ends))
        assert set(found["average"]) == {"mean"}
        assert (found["state"] == "resolved").mean() < 0.25
        assert (found["low"] >= 0).all()
        # As if they were known, they would never be an upper bound.
        known = aggregate(values(numbers, quantity, **places, method="exact"))
        assert (known["state"] == "resolved").all()


@pytest.mark.parametrize("quantity", ["scale_free_bias", "direction_bias", "variance"])
def test_exact_positive_values_are_no_upper_bounds(quantity):
    row = aggregate(values([1e-6, 0.4, 0.95], quantity, method="exact")).iloc[0]
    assert row["state"] == "resolved"
    assert row["low"] > 0
    assert math.isnan(row["bound"])


def test_one_seed_stays_within_bounds():
    row = aggregate(values([-0.05], "scale_free_bias", low=-0.15, high=0.05)).iloc[0]
    assert tuple(row[["value", "low", "high"]]) == pytest.approx((0.0, 0.0, 0.1))
    assert (row["state"], row["bound"]) == ("bounded", pytest.approx(0.1))


def test_one_seed_keeps_its_own_interval():
    row = aggregate(values([5.0], low=4.5, high=6.5)).iloc[0]
    assert (row["value"], row["low"], row["high"], row["seeds"]) == (5.0, 4.5, 6.5, 1)


def test_intervals_over_seeds_cover_as_stated(record_figure):
    """4000 cells of 5 normal seeds: a right interval leaves the bounds once in 15 000 times."""
    cells, seeds = 4000, 5
    drawn = np.random.default_rng(1).normal(3.0, 2.0, (cells, seeds)).ravel()
    places = {"seed": np.tile(np.arange(seeds), cells), "step": np.repeat(np.arange(cells), seeds)}
    found = aggregate(values(drawn, quantity="gain", **places))
    covered = ((found["low"] <= 3.0) & (found["high"] >= 3.0)).mean()
    record_figure("coverage of the interval over 5 seeds", covered, "95 %")
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / cells)


def test_seeds_without_a_finite_value_are_counted_and_named():
    row = aggregate(values([1.0, NAN, 3.0, math.inf], quantity="gain")).iloc[0]
    assert (row["value"], row["seeds"], row["lost"]) == (2.0, 2, "1, 3")
    alone = aggregate(values([NAN, 3.0])).iloc[0]
    assert (alone["low"], alone["high"], alone["lost"]) == (2.0, 4.0, "0")
    missing = aggregate(values([NAN, NAN])).iloc[0]
    assert (missing["state"], missing["seeds"], missing["lost"]) == ("missing", 0, "0, 1")


@pytest.mark.parametrize(
    ("quantity", "ends", "state", "bound"),
    [
        ("bias_squared", (0.02, -0.01, 0.05), "bounded", 0.05),
        ("bias_squared", (-0.04, -0.05, -0.03), "bounded", 0.01),  # no tighter than at zero
        ("bias_squared", (0.2, 0.1, 0.3), "resolved", NAN),
        ("bias_squared", (1e-31, 0.0, 2e-31), "zero", NAN),
        ("absolute_bias_squared", (1e-31, 5e-32, 2e-31), "resolved", NAN),
        ("variance", (0.0, 0.0, 0.0), "zero", NAN),
        ("magnitude_bias", (-0.2, -0.5, 0.1), "resolved", NAN),
        ("bias_squared", (-0.1, NAN, NAN), "bounded", NAN),
        ("bias_squared", (NAN, NAN, NAN), "missing", NAN),
    ],
)
def test_state_and_bound(quantity, ends, state, bound):
    value, low, high = ends
    row = aggregate(values([value], quantity=quantity, low=low, high=high)).iloc[0]
    assert row["state"] == state
    assert row["bound"] == pytest.approx(bound, nan_ok=True)
    assert row["value"] == pytest.approx(value, nan_ok=True)  # never clipped


@pytest.mark.parametrize("plain", [False, True])
def test_seeds_that_know_nothing_do_not_make_it_known(plain):
    """The middle of all that is possible is alike in all seeds, and no exact value."""
    free = {"quantity": "scale_free_bias", "flag": "few samples, unresolved"}
    row = aggregate(values([0.5] * 4, low=0.0, high=1.0, **free), plain=plain).iloc[0]
    assert (row["value"], row["low"], row["high"], row["state"]) == (0.5, 0, 1, "bounded")
    # Resolved seeds count with their own, narrow intervals.
    free["flag"] = ["unresolved", ""]
    half = values([0.4, 0.4], low=[-0.2, 0.39], high=[1.0, 0.41], **free)
    row = aggregate(half, plain=plain).iloc[0]
    assert list(row[["value", "low", "high"]]) == pytest.approx([0.4, 0.095, 0.705])


def test_averaging_curves_keep_their_sample_numbers():
    curve = pd.concat(values([c, c], kind="averaging", samples=k) for c, k in ((0.1, 1), (0.2, 2)))
    found = aggregate(curve)
    assert list(found["samples"]) == [1, 2]
    measured = aggregate(values([1.0, 2.0], samples=[900, 1000], flag=["few samples", ""]))
    assert (len(measured), measured["samples"][0], measured["flag"][0]) == (1, 900, "few samples")


def test_order_of_rows_does_not_matter(run):
    frame, _ = run
    shuffled = frame.sample(frac=1, random_state=np.random.default_rng(0))
    key = ["rule", "protocol", "step", "kind", "projection", "quantity", "samples"]
    one, two = (aggregate(f).sort_values(key).reset_index(drop=True) for f in (frame, shuffled))
    pd.testing.assert_frame_equal(one, two, rtol=1e-12, atol=1e-15)


def test_settings_split_only_where_a_rule_runs_twice(run):
    frame, _ = run
    assert set(settings(frame)) == {"digits"}
    twice = pd.concat([frame, frame.assign(architecture="linear")])
    assert "digits, linear, cross_entropy" in set(settings(twice))
    assert "digits" not in set(settings(twice))


def test_what_the_draws_leave_open_is_not_closed_by_seeds():
    """Values at the middle of what is possible scatter little, whatever the truth."""
    seeds = [0.075, 0.154, 0.107, 0.045, 0.142]
    row = aggregate(values(seeds, "scale_free_bias", low=-0.05, high=0.3)).iloc[0]
    assert (row["low"], row["high"]) == (0.0, pytest.approx(0.3))
    assert row["state"] == "bounded"
    exact = aggregate(values(seeds, "scale_free_bias", method="exact")).iloc[0]
    assert 0 < exact["low"] < exact["value"] < exact["high"] < 0.3

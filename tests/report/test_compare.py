"""Two runs compared: what is flagged, and how often it is by chance."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from generated import RULES, generate, values
from plausibench.bench.report.compare import compare, difference_table
from plausibench.bench.report.render import FORMATS
from plausibench.kernels.errors import InputError


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 1000))


def pair(change=0.0, seeds=(5, 5), cells=1, shared=0.0, spread=1.0, start=0, **more):
    """Two runs of ``cells`` cells with normal seeds, the second's mean moved by ``change``."""
    rng = np.random.default_rng(7)
    common = rng.normal(0, shared, (cells, max(seeds)))
    sides = []
    for side, count in enumerate(seeds):
        drawn = 10 + side * change + common[:, :count] + rng.normal(0, spread, (cells, count))
        places = {
            "seed": np.tile(np.arange(count) + side * start, cells),
            "step": np.repeat(np.arange(cells), count),
        }
        sides.append(values(drawn.ravel(), **places, **more))
    return sides


@pytest.mark.parametrize("start", [0, 100], ids=["paired", "Welch"])
def test_p_values_are_uniform_without_a_difference(start):
    """4000 cells: each share lies within 4 standard errors, but once in 16 000 times."""
    found = compare(*pair(cells=4000, shared=3.0 * (start == 0), start=start))
    assert set(found["test"]) == {"Welch" if start else "paired"}
    for level in (0.01, 0.05, 0.5):
        share = (found["p"] < level).mean()
        error = math.sqrt(level * (1 - level) / 4000)
        # Welch's test is only approximate with five seeds: a little conservative.
        assert -4 * error - (0.1 * level if start else 0) < share - level < 4 * error
    covered = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert covered == pytest.approx((found["p"] >= 0.05).mean(), abs=1e-12)


def test_noise_is_not_flagged(record_figure):
    """15 comparisons of 20 cells: at 5 %, flags in more than 5 come once in 18 000 times."""
    frames = pair(cells=20 * 15)
    alarms = sum(
        (compare(*(frame[frame["step"] // 20 == n] for frame in frames))["flag"] != "").any()
        for n in range(15)
    )
    record_figure("comparisons of two equal runs with a flag", alarms / 15, "at most 5 %")
    assert alarms <= 5


def test_a_true_difference_is_flagged_and_its_interval_is_right():
    first, second = pair(cells=20, shared=5.0, spread=0.1)
    moved = second["step"] < 3
    second = second.assign(value=second["value"] + 4.0 * moved)
    found = compare(first, second)
    flagged = found[found["flag"] != ""]
    assert set(flagged["step"]) == {0, 1, 2}
    assert set(flagged["flag"]) == {"higher"}
    one, two = (f[f["step"] == 0]["value"].to_numpy() for f in (first, second))
    half = 2.7764451051977934 * np.std(two - one, ddof=1) / math.sqrt(5)
    row = flagged.iloc[0]
    assert row["difference"] == pytest.approx((two - one).mean())
    assert row["high"] - row["difference"] == pytest.approx(half)
    back = compare(second, first)
    assert set(back.loc[back["flag"] != "", "flag"]) == {"lower"}


def test_welch_by_hand():
    first = values([1.0, 2.0, 3.0])
    second = values([11.0, 15.0, 19.0, 23.0], seed=[10, 11, 12, 13])
    row = compare(first, second).iloc[0]
    v1, v2 = 1 / 3, (80 / 3) / 4
    freedom = (v1 + v2) ** 2 / (v1**2 / 2 + v2**2 / 3)
    assert row["test"] == "Welch"
    t = 15 / math.sqrt(v1 + v2)
    # Student's distribution by numerical integration of its density.
    grid = np.linspace(t, 4000, 1_000_001)
    density = (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    constant = math.gamma((freedom + 1) / 2) / (
        math.sqrt(freedom * math.pi) * math.gamma(freedom / 2)
    )
    assert row["p"] == pytest.approx(2 * constant * trapezoid(density, grid), rel=1e-3)


def test_adjusted_p_values_match_their_definition():
    found = compare(*pair(change=1.0, cells=60))
    p = found["p"].to_numpy()
    for index, adjusted in enumerate(found["adjusted"]):
        ranks = [(p <= q).sum() for q in p]
        naive = min(
            min(1.0, q * p.size / k) for q, k in zip(p, ranks, strict=True) if q >= p[index]
        )
        assert adjusted == pytest.approx(naive)


def test_what_does_not_vary_is_compared_exactly_and_not_counted():
    cost = {"kind": "cost", "quantity": "forward_passes", "method": "exact"}
    first, second = pair(cells=1)
    same, other = (values([v] * 5, **cost) for v in (3.0, 2.5))
    found = compare(pd.concat([first, same]), pd.concat([second, other]))
    exact = found[found["quantity"] == "forward_passes"].iloc[0]
    assert (exact["test"], exact["flag"], exact["difference"]) == ("exact", "lower", -0.5)
    rest = found[found["quantity"] == "variance"].iloc[0]
    assert rest["adjusted"] == rest["p"]
    assert compare(same, same)["flag"].iloc[0] == ""


def test_coincidences_and_rounding_are_no_differences():
    accuracy = {"kind": "training", "quantity": "test_accuracy"}
    tied = compare(values([0.9, 0.9], **accuracy), values([0.91, 0.91], **accuracy)).iloc[0]
    assert (tied["flag"], math.isnan(tied["p"])) == ("", True)
    moved = compare(values([0.9, 0.8], **accuracy), values([0.91, 0.81], **accuracy)).iloc[0]
    assert moved["flag"] == ""
    tiny = np.array([1e-31, 1.1e-31, 1.2e-31])
    rounding = compare(
        values(tiny, quantity="bias_squared"), values(9 * tiny, quantity="bias_squared")
    ).iloc[0]
    assert (rounding["flag"], rounding["p"]) == ("", 1.0)
    last_bit = compare(values([1.0, 2.0, 3.0]), values([1.0, 2.0, np.nextafter(3.0, 4.0)])).iloc[0]
    assert (last_bit["flag"], last_bit["p"]) == ("", 1.0)


def test_single_seeds_are_compared_by_their_intervals():
    apart = values([1.0], low=0.9, high=1.1), values([2.0], low=1.8, high=2.2)
    row = compare(*apart).iloc[0]
    assert (row["test"], row["flag"]) == ("intervals", "higher")
    assert row["high"] - row["difference"] == pytest.approx(math.hypot(0.1, 0.2))
    near = values([1.0], low=0.0, high=2.0), values([2.0], low=1.0, high=3.0)
    assert compare(*near)["flag"].iloc[0] == ""
    other_seed = compare(apart[0], apart[1].assign(seed=9)).iloc[0]
    assert (other_seed["test"], other_seed["flag"]) == ("", "")
    against_several = compare(apart[0], values([2.0, 2.1, 2.2])).iloc[0]
    assert (against_several["test"], against_several["flag"]) == ("", "")


@pytest.mark.parametrize("seeds", [1, 4])
def test_of_what_is_open_nothing_is_said(seeds):
    """A scale-free bias that the draws of one run leave open is no other than that of the other."""
    known = values(np.full(seeds, 0.2), quantity="scale_free_bias", low=0.19, high=0.21)
    unknown = known.assign(value=0.5, low=0.0, high=1.0, flag="unresolved")
    row = compare(known, unknown).iloc[0]
    assert (row["test"], row["flag"], row["first"], row["second"]) == ("", "", 0.2, 0.5)
    assert np.isnan(row["p"])


def test_cells_in_one_run_only_are_listed():
    first, second = pair(cells=3)
    second = pd.concat([second[second["step"] > 0], values([1.0, 2.0], rule="new_rule")])
    found = compare(first, second)
    only_one = found[found["only"] != ""].set_index("only")
    assert (only_one.loc["first", "step"], only_one.loc["second", "rule"]) == (0, "new_rule")
    text = difference_table(found, names=("old", "new")).render()
    assert "Only old has these cells: my_rule (shared 0)." in text
    assert "Only new has these cells: new_rule (shared 0)." in text


def test_difference_table_in_every_format(run):
    frame, _ = run
    moved = frame["value"].where(frame["quantity"] != "forward_passes", frame["value"] + 1)
    found = compare(frame, frame.assign(value=moved))
    table = difference_table(found)
    assert set(table.cells["flag"]) == {"higher"}
    assert set(table.cells["rule"]) == set(RULES)
    (difference,) = (name for name in table.cells if name.startswith("difference"))
    assert table.best[difference].all()
    for form in FORMATS:
        assert "dendritic" in table.render(form)
    assert len(table.raw) == len(found)
    assert len(difference_table(found, every=True).cells) == len(found)
    nothing = difference_table(compare(frame, frame))
    assert len(nothing.cells) == 0
    for form in FORMATS:
        assert nothing.render(form)
    assert "0 supported differences" in nothing.render()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["varience"]}, "did you mean 'variance'"),
        ({"projection": "layer1.weight"}, "did you mean 'layer1.weights'"),
        ({"rate": 0}, "rate: 0 is not"),
        ({"rate": 1.5}, "rate: 1.5 is not"),
    ],
)
def test_compare_refuses_what_it_does_not_know(run, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        compare(run[0], run[0], **options)

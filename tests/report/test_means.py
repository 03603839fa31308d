"""What the reports of studies share: means over seeds, their intervals and their bars."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from plausibench.bench.measuring.seed_intervals import POSITIVE, SHARE, SIGNED
from plausibench.bench.report import means
from plausibench.bench.report.render import plain


def test_interval_of_a_mean():
    """Student's t of three values: 4.303 standard errors; what is not finite is left out."""
    mean, low, high = means.average([1.0, 2.0, 3.0, np.nan, np.inf])
    assert (mean, high - mean) == pytest.approx((2.0, 4.3027 / np.sqrt(3)), rel=1e-4)
    assert mean - low == pytest.approx(high - mean)
    assert means.average([1.0, np.nan])[0] == 1.0
    assert np.isnan([*means.average([1.0])[1:], *means.average([])]).all()


def test_intervals_of_shares_end_at_0_and_1():
    mean, low, high = means.share([0.9, 1.0, 1.0])
    assert mean == pytest.approx(2.9 / 3)
    assert low < means.average([0.9, 1.0, 1.0])[1]  # longer towards the middle
    assert high == 1.0
    assert means.share([0.0, 0.3])[1:] == (0.0, 1.0)
    assert np.isnan(means.share([0.5])[1:]).all()


@pytest.mark.parametrize(("seeds", "said"), [([0, 0], "1 seed"), ([0, 4, 4], "2 seeds")])
def test_seeds_of_a_table_are_counted_in_words(seeds, said):
    assert means.seeds(pd.DataFrame({"seed": seeds})) == said


def test_groups_over_seeds_are_averaged_by_their_quantity():
    numbers = [0.9, 0.95, 1.0]
    rows = pd.concat(
        pd.DataFrame({"rule": rule, "quantity": name, "value": [*numbers, np.nan]})
        for rule in ("b", "a")
        for name in ("test_accuracy", "variance", "change")
    )
    found = means.over_seeds(rows, ["rule", "quantity"])
    assert list(found["rule"]) == ["b"] * 3 + ["a"] * 3  # in the order of the rows
    assert set(found["seeds"]) == {3}
    kinds = {"test_accuracy": SHARE, "variance": POSITIVE, "change": SIGNED}
    for row in found.itertuples():
        expected = means.average(numbers, kinds[row.quantity])
        assert (row.value, row.low, row.high) == pytest.approx(expected)
    assert means.over_seeds(rows.iloc[:0], ["rule", "quantity"]).empty


@pytest.mark.parametrize("across", [False, True])
def test_bars_reach_to_the_ends_and_are_cut_where_an_axis_has_none(across):
    axes = Figure().subplots()
    means.bars(axes, [3.0], [(1.0, -2.0, 1.5)], across=across)
    means.bars(axes, [3.0], [(1.0, -2.0, 1.5)], across=across, logarithmic=True)
    means.bars(axes, [3.0], [(1.0, np.nan, np.nan)], across=across)
    ends = [bars.get_segments()[0][:, 0 if across else 1] for _, _, (bars,) in axes.containers]
    np.testing.assert_allclose(ends, [(-2.0, 1.5), (0.1, 1.5), (1.0, 1.0)])


def test_a_cell_that_a_row_lacks_is_a_dash():
    table = plain("Ragged", [{"rule": "a", "damage": "1"}, {"rule": "b"}], [{}, {}], 1)
    for form, dash in (("text", "–"), ("markdown", "–"), ("latex", "--"), ("html", "–")):
        assert dash in table.render(form)

"""The search finds the best trial over seeds, leaves its range where it must, and is alike for all.

Searches here train nothing: accuracies come from a table, so what must be found is known.
"""

from collections import Counter
from math import inf, nan

import numpy as np
import pytest

from plausibench.bench.studies.tuning.search import (
    SEEDS,
    chosen,
    edge,
    scores_of,
    search,
)
from plausibench.kernels.errors import Divergence

RATES = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]
LIMITS = (0.001, 3.0)


def done(accuracy, rates=RATES, limits=LIMITS, tried=("one",)):
    """Rows of a search and what it says, of accuracies by option, rate and place of the seed.

    NaN is a training that diverged.
    """
    rows = []

    def train(trial, seed):
        value = accuracy(*trial, SEEDS.index(seed))
        return {"accuracy": value, "loss": nan, "diverged": "" if np.isfinite(value) else "lost"}

    course = search(train, [(name, rate) for name in tried for rate in rates], limits)
    while True:
        try:
            rows.append(next(course))
        except StopIteration as end:
            return rows, end.value


def peak(at, width=1.0):
    """Accuracy that is best at a rate."""
    return lambda tried, rate, place: 0.9 - (np.log(rate / at) / width) ** 2 / 100


def best(rows):
    return chosen(scores_of(rows))


@pytest.mark.parametrize("rate", RATES[1:-1])
def test_the_best_rate_inside_the_range_is_found_by_halving(rate):
    rows, said = done(peak(rate))
    assert best(rows) == ("one", rate)
    assert said == ""
    # 6, then 3, then 2.
    assert [row["seed"] for row in rows] == [SEEDS[0]] * 6 + [SEEDS[1]] * 3 + [SEEDS[2]] * 2


def test_the_mean_over_seeds_decides_and_not_the_first():
    """At the edge of stability one seed does best, and others fail."""

    def accuracy(tried, rate, place):
        return (0.99, 0.5, 0.6)[place] if rate == 0.16 else peak(0.08)(tried, rate, place)

    rows, _ = done(accuracy)
    assert rows[4]["accuracy"] == max(row["accuracy"] for row in rows)
    assert best(rows) == ("one", 0.08)


@pytest.mark.parametrize("place", range(len(SEEDS)))
def test_a_rate_at_which_any_seed_diverges_is_out(place):
    """Its other seeds are the best of all."""

    def accuracy(tried, rate, at):
        if rate >= 0.16:
            return nan if at == place else 1.0
        return peak(0.04)(tried, rate, at)

    rows, _ = done(accuracy)
    assert best(rows) == ("one", 0.04)
    lost = Counter(row["learning_rate"] for row in rows if row["diverged"])
    assert max(lost.values()) == 1  # none is trained again
    assert len([row for row in rows if row["learning_rate"] == 0.04]) == len(SEEDS)


def test_equal_means_go_to_the_smaller_rate():
    rows, _ = done(lambda tried, rate, place: 0.9 if rate in (0.04, 0.08) else 0.5)
    assert best(rows) == ("one", 0.04)
    # In another order of the seeds, the sums of which differ in their last bits.
    shares = {0.04: (0.1, 0.2, 0.3), 0.08: (0.3, 0.2, 0.1)}
    assert sum(shares[0.04]) != sum(shares[0.08])
    rows, _ = done(lambda tried, rate, place: shares.get(rate, (0.0,) * 3)[place])
    assert best(rows) == ("one", 0.04)


@pytest.mark.parametrize(("errors", "rate"), [(1.9, 0.04), (2.1, 0.08)])
def test_a_lower_rate_that_the_seeds_do_not_tell_apart_is_taken(errors, rate):
    """Its differences have a standard error of 0.01, and are less or more than two of them."""
    differences = 0.01 * (errors + np.sqrt(3) * np.array([1.0, 0.0, -1.0]))

    def accuracy(tried, rate, place):
        return {0.08: 0.9, 0.04: 0.9 - differences[place]}.get(rate, 0.5)

    rows, _ = done(accuracy)
    assert best(rows) == ("one", rate)


@pytest.mark.parametrize(("at", "trained"), [(0.64, [0.64, 1.3]), (0.005, [0.005, 0.0025])])
def test_the_range_is_left_where_the_best_is_at_its_end(at, trained):
    rows, said = done(peak(at))
    assert best(rows) == ("one", at)
    assert said == ""
    beyond = [row["learning_rate"] for row in rows if row["learning_rate"] not in RATES]
    assert beyond == [rate for rate in trained for _ in SEEDS]


def test_the_range_ends_at_its_limits_and_that_is_said():
    rows, said = done(peak(100.0))
    assert best(rows) == ("one", 2.6)
    assert said == "the best learning rate, 2.6, is the highest that may be tried"
    rows, said = done(peak(1e-6))
    assert best(rows) == ("one", 0.0013)
    assert said == "the best learning rate, 0.0013, is the lowest that may be tried"
    assert edge(scores_of(rows), best(rows)) == "lowest"


def test_what_diverges_beyond_the_best_is_a_neighbour():
    """Beyond the last rate there is none that learns: the best is not at the end of its range."""
    rows, said = done(
        lambda tried, rate, place: peak(1.0)(tried, rate, place) if rate < 0.5 else nan
    )
    assert best(rows) == ("one", 0.32)
    assert said == ""
    assert [row["learning_rate"] for row in rows if row["diverged"]] == [0.64]


def test_a_plateau_is_no_end_of_the_range():
    """A rule that learns nothing at any rate does not go on looking."""
    rows, said = done(lambda tried, rate, place: 0.1)
    assert {row["learning_rate"] for row in rows} == set(RATES)
    assert best(rows) == ("one", 0.01)
    assert said == ""


def test_lower_rates_are_tried_where_all_diverge():
    rows, said = done(lambda tried, rate, place: 0.8 if rate < 0.003 else nan)
    assert {row["learning_rate"] for row in rows} - set(RATES) == {0.005, 0.0025, 0.0013}
    assert best(rows) == ("one", 0.0013)  # equal to its neighbour, and so no end of the range
    assert said == ""
    with pytest.raises(Divergence, match="diverges at every learning rate that was tried"):
        done(lambda tried, rate, place: nan)


def test_what_was_left_behind_returns_where_all_before_it_diverge():
    """The better half of the first seed diverges with the second."""

    def accuracy(tried, rate, place):
        return nan if rate > 0.03 and place else peak(0.3)(tried, rate, place)

    rows, _ = done(accuracy)
    assert best(rows) == ("one", 0.02)
    assert len([row for row in rows if row["learning_rate"] == 0.02]) == len(SEEDS)


def test_options_compete_at_their_own_rates():
    def accuracy(tried, rate, place):
        return {"one": peak(0.02), "two": peak(0.64)}[tried](tried, rate, place) + (
            tried == "two"
        ) / 20

    rows, said = done(accuracy, tried=("one", "two"))
    assert best(rows) == ("two", 0.64)
    beyond = {row["tried"] for row in rows if row["learning_rate"] > 0.32}
    assert beyond == {"two"}
    assert said == ""
    assert [row["seed"] for row in rows[:21]] == [SEEDS[0]] * 12 + [SEEDS[1]] * 6 + [SEEDS[2]] * 3


def test_without_classes_the_lowest_loss_is_best():
    losses = {0.01: 3.0, 0.02: 1.0, 0.04: 2.0}
    rows = [
        {"tried": "one", "learning_rate": rate, "accuracy": None, "loss": loss}
        for rate, loss in losses.items()
        for _ in SEEDS
    ]
    assert best(rows) == ("one", 0.02)
    assert scores_of([{**rows[0], "loss": None}]) == {("one", 0.01): [-inf]}

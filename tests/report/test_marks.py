"""Marks of tables: how often equal rules lose theirs, and worse ones keep it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from generated import NAN, values
from plausibench.bench.report.marks import Alone, _holm, differences, moderated
from plausibench.bench.report.table import comparison


def kept(numbers):
    """Which rows of ``numbers`` (rules, seeds), of which less is better, keep the mark."""
    first = int(numbers.mean(axis=1).argmin())
    rivals = np.array([n for n in range(len(numbers)) if n != first])
    nothing = Alone(np.full(len(numbers), NAN), np.zeros(len(numbers)))
    found = np.ones(len(numbers), dtype=bool)
    found[rivals] = _holm(differences(numbers, nothing, first, rivals)) > 0.05
    return found


def shares(rules, repeats, seeds=5, worse=1.5, spread=None):
    """Share of equal rules that lose the mark, and of repeats in which a worse one keeps it."""
    rng = np.random.default_rng(rules)
    lost, held = [], []
    for _ in range(repeats):
        scatter = np.ones(rules) if spread is None else np.exp(spread * rng.normal(size=rules))
        own = scatter[:, None] * rng.normal(size=(rules, seeds))
        lost.append(1 - kept(own + 3 * rng.normal(size=seeds)).mean())
        own[-1] += worse * scatter[-1]
        held.append(kept(own + 3 * rng.normal(size=seeds))[-1])
    return float(np.mean(lost)), float(np.mean(held))


@pytest.mark.parametrize("rules", [2, 8])
def test_equal_rules_keep_the_mark_and_a_worse_one_loses_it(rules):
    """300 repeats; 5 % and 50 %, with four standard errors of 300."""
    lost, held = shares(rules, 300)
    assert lost <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    assert held <= 0.50


@pytest.mark.acceptance
@pytest.mark.parametrize("rules", [8, 40])
def test_marks_over_many_repeats(rules, record_figure):
    """5 seeds that move all rules by three times their own scatter; 4000 repeats."""
    lost, held = shares(rules, 4000)
    record_figure(f"{rules} equal rules, 5 seeds: share that loses the mark", lost, "at most 5 %")
    record_figure(f"a rule worse by 1.5 of its own deviations among {rules}", held, "at most 50 %")
    assert lost <= 0.05
    assert held <= 0.50


@pytest.mark.acceptance
@pytest.mark.parametrize("rules", [2, 8, 40])
def test_marks_where_all_but_one_are_worse(rules, record_figure):
    """All rules but the best are worse by 1.5 of their own deviations: the more there are, the
    less five seeds tell of each."""
    rng = np.random.default_rng(rules)
    worse = 1.5 * (np.arange(rules) > 0)[:, None]
    held = {}
    for seeds in (5, 10):
        found = [
            kept(rng.normal(size=(rules, seeds)) + 3 * rng.normal(size=seeds) + worse)
            for _ in range(2000)
        ]
        held[seeds] = float(np.mean([each[1:].mean() for each in found]))
        said = f"{rules - 1} rules worse by 1.5, {seeds} seeds: share that keeps the mark"
        record_figure(said, held[seeds], "at most 50 %" if seeds == 10 else "")
        assert np.mean([each[0] for each in found]) >= 0.95
    assert held[10] <= 0.50


@pytest.mark.acceptance
@pytest.mark.parametrize("rules", [8, 40])
def test_marks_of_rules_that_scatter_differently(rules, record_figure):
    """Standard deviations over a range of e^4 among the rules."""
    lost, _ = shares(rules, 4000, spread=1.0)
    record_figure(f"{rules} equal rules of unequal scatter: share that loses the mark", lost, "5 %")
    assert lost <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 4000)


def test_two_rules_are_compared_by_students_t():
    numbers = np.array([[1.0, 2.0, 4.0], [1.5, 3.0, 4.2]])
    (p,) = differences(numbers, Alone(np.zeros(2), np.zeros(2)), 0, np.array([1]))
    change = numbers[1] - numbers[0]
    expected = student.sf(change.mean() / (change.std(ddof=1) / np.sqrt(3)), 2)
    assert p == pytest.approx(expected, rel=1e-9)


def test_moderated_variances():
    """Alike: one of many degrees of freedom. Apart: what they were; the order never changes."""
    rng = np.random.default_rng(3)
    alike, freedom = moderated(rng.chisquare(4, 400) / 4, np.full(400, 4.0))
    assert alike.std() < 0.05
    assert freedom.min() > 100
    apart = np.exp(5 * rng.normal(size=400))
    found, freedom = moderated(apart, np.full(400, 4.0))
    assert np.median(found / apart) == pytest.approx(1, abs=0.15)
    assert freedom.max() < 6
    assert (np.argsort(found) == np.argsort(apart)).all()
    # Gamma variances with a scaled inverse chi-squared prior of 8 degrees of freedom are found.
    true = 8 / rng.chisquare(8, 20_000)
    _, freedom = moderated(true * rng.chisquare(4, 20_000) / 4, np.full(20_000, 4.0))
    assert freedom[0] - 4 == pytest.approx(8, rel=0.1)


def marked(rules, quantity="variance", **more):
    """Rules that are marked in a column, of ``{rule: values over seeds}``."""
    frame = pd.concat(
        values(numbers, quantity=quantity, rule=rule, **more) for rule, numbers in rules.items()
    )
    table = comparison(frame, columns=[quantity])
    return {r for r, b in zip(table.cells["rule"], table.best.iloc[:, -1], strict=True) if b}


def test_a_rule_that_hardly_scatters_is_judged_by_its_own_scatter():
    """A small difference in every seed, beside rules that scatter ten thousand times as much."""
    rng = np.random.default_rng(5)
    rules = {f"loose {n}": 1 + 0.1 * rng.normal(size=5) for n in range(6)}
    rules |= {"exact": np.ones(5), "near": 1 - 1e-4 - 1e-5 * rng.normal(size=5)}
    found = marked(rules, "gain", method="exact")
    assert "exact" in found
    assert "near" not in found


EXACT = {"method": "exact", "low": NAN, "high": NAN}


def test_pairing_tells_apart_what_intervals_do_not():
    hard = np.array([1.0, 10.0, 100.0, 1000.0])
    rules = {"a": hard * [1.0, 1.1, 0.9, 1.0], "b": hard * [1.6, 1.7, 1.5, 1.8]}
    assert marked(rules, method="exact") == {"a"}
    assert marked({**rules, "c": hard * [1.1, 0.9, 1.1, 0.95]}, method="exact") == {"a", "c"}


def test_exact_zeros_leave_no_mark_to_others():
    rules = {"a": [0.0, 0.0, 0.0], "b": [0.01, 4.0, 9.0], "c": [1e-17, 0.0, 1e-20]}
    assert marked(rules, **EXACT) == {"a", "c"}


def test_what_is_not_told_apart_from_zero_is_no_best():
    rules = {"loose": [-0.9, 0.6, -0.6], "a": [0.02, 0.021, 0.022], "b": [0.5, 0.51, 0.52]}
    assert marked(rules, "bias_squared", low=-1.0, high=1.0) == {"a"}
    # A bound below all resolved values leaves them no mark either.
    rules["loose"] = [1e-9, -2e-9, 1e-9]
    assert marked(rules, "bias_squared", low=-1.0, high=1.0) == set()
    assert marked({"a": [0.2, 1.0, 0.6], "b": [0.3, 0.31, 0.32]}, "gain") == {"b"}
    assert marked({"a": [0.1, 0.9], "b": [0.5, 0.51]}, "progress") == {"b"}


@pytest.mark.parametrize(
    ("quantity", "best"), [("gain", {"b"}), ("magnitude_bias", {"c"}), ("test_accuracy", {"a"})]
)
def test_each_ideal(quantity, best):
    kind = "training" if quantity == "test_accuracy" else "conditional"
    rules = {"a": [1.5, 1.51, 1.52], "b": [0.9, 0.91, 0.89], "c": [0.1, 0.11, 0.09]}
    if kind == "training":
        rules = {rule: np.array(numbers) / 2 for rule, numbers in rules.items()}
    assert marked(rules, quantity, kind=kind) == best


def test_both_sides_of_an_ideal_are_as_near():
    rules = {
        "a": [0.9, 0.91, 0.89, 0.9],
        "b": [1.1, 1.09, 1.11, 1.101],
        "c": [1.3, 1.31, 1.32, 1.3],
    }
    assert marked(rules, "gain") == {"a", "b"}


def test_one_exact_seed_marks_the_best_and_its_equals():
    rules = {"a": [3.0], "b": [3.0], "c": [4.0]}
    assert marked(rules, **EXACT) == {"a", "b"}


def test_seeds_that_are_not_shared_are_compared_by_intervals():
    frame = pd.concat(
        values(numbers, quantity="gain", rule=rule, seed=seed)
        for rule, numbers, seed in (
            ("a", [1.0, 1.01, 0.99], [0, 1, 2]),
            ("b", [0.98, 1.03, 0.95], [3, 4, 5]),
            ("c", [0.5, 0.51, 0.52], [3, 4, 5]),
        )
    )
    assert list(comparison(frame, columns=["gain"]).best.iloc[:, -1]) == [True, True, False]


def test_a_difference_that_is_alike_in_all_seeds_counts():
    rules = {"a": [0.7, 0.8, 0.9], "b": [0.6, 0.7, 0.8], "c": [0.7, 0.8, 0.9]}
    assert marked(rules, "progress") == {"a", "c"}

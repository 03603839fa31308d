"""The search finds the best trial over seeds, leaves its range where it must, and is alike for all.

Searches of the first tests train nothing: accuracies come from a table, so what must be found is
known.
"""

import warnings
from collections import Counter
from dataclasses import replace
from math import inf, nan

import numpy as np
import pandas as pd
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.benchmark.spec import PAPER, Spec
from plausibench.bench.studies.benchmark.study import alone, null_jobs
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.bench.studies.figure2 import study as figure2
from plausibench.bench.studies.run import run
from plausibench.bench.studies.tuning import study as tuning
from plausibench.bench.studies.tuning.report import sensitivity, sensitivity_picture
from plausibench.bench.studies.tuning.search import SEEDS, chosen, edge, scores_of, search
from plausibench.bench.studies.tuning.study import TUNING
from plausibench.bench.training.optimisers import layer_factors
from plausibench.kernels.errors import Divergence, InputError

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
    """Accuracy that is best at a rate; half and twice of it are more than a hundredth worse."""
    return lambda tried, rate, place: 0.9 - (np.log(rate / at) / width) ** 2 / 30


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


def test_a_seed_that_is_harder_for_all_changes_nothing():
    """Means over one seed and over three are not compared."""
    alike = [row["seed"] for row in done(peak(0.08))[0]]
    for harder in ((0.0, -0.3, -0.5), (0.0, 0.05, 0.07)):
        rows, said = done(lambda *at, more=harder: peak(0.32)(*at) + more[at[2]])
        assert best(rows) == ("one", 0.32)
        assert said == ""
        rows, _ = done(lambda *at, more=harder: peak(0.08)(*at) + more[at[2]])
        assert best(rows) == ("one", 0.08)
        assert [row["seed"] for row in rows] == alike


@pytest.mark.parametrize(("worse", "rate"), [(0.009, 0.04), (0.011, 0.08)])
def test_a_lower_rate_that_is_as_good_to_a_hundredth_is_taken(worse, rate):
    rows, _ = done(lambda tried, rate, place: {0.08: 0.9, 0.04: 0.9 - worse}.get(rate, 0.5))
    assert best(rows) == ("one", rate)


@pytest.mark.parametrize(("worse", "rate"), [(0.9, 0.04), (1.1, 0.08)])
def test_of_losses_a_hundredth_is_a_share(worse, rate):
    scores = {("one", 0.04): [-2 * (1 + worse / 100)] * 3, ("one", 0.08): [-2.0] * 3}
    assert chosen(scores) == ("one", rate)


@pytest.mark.parametrize(("at", "trained"), [(0.64, [0.64, 1.3]), (0.005, [0.005, 0.0025])])
def test_the_range_is_left_where_the_best_is_at_its_end(at, trained):
    rows, said = done(peak(at))
    assert best(rows) == ("one", at)
    assert said == ""
    beyond = [row["learning_rate"] for row in rows if row["learning_rate"] not in RATES]
    assert beyond == [rate for rate in trained for _ in SEEDS]


def test_the_range_is_left_though_a_lower_rate_is_as_good():
    """What is better than the last rate inside may lie further out."""

    def accuracy(tried, rate, place):
        return {0.16: 0.600, 0.32: 0.605, 0.64: 0.62, 1.3: 0.9}.get(rate, 0.5)

    rows, _ = done(accuracy)
    assert best([row for row in rows if row["learning_rate"] in RATES]) == ("one", 0.16)
    assert best(rows) == ("one", 1.3)


def test_the_range_ends_at_its_limits_and_that_is_said():
    rows, said = done(peak(100.0))
    assert best(rows) == ("one", 2.6)
    assert said == "the best learning rate, 2.6, is the highest that may be tried"
    rows, said = done(peak(1e-6))
    assert best(rows) == ("one", 0.0013)
    assert said == "the best learning rate, 0.0013, is the lowest that may be tried"
    assert edge(scores_of(rows)) == "lowest"


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


SPEC = Spec(
    tasks=("digits",),
    architectures=("mlp",),
    objectives=("cross_entropy",),
    rules=("backprop", "direct_feedback_alignment"),
    hidden=(6,),
    seeds=1,
    training_batch_size=16,
)
SPAN = tuning.RANGES["sgd"]
HALVED = 12 + 6 + 3
"""Trainings of a search that stays in its range."""


@pytest.mark.parametrize("rule", [*registry.entries("rule"), *figure2.VARIANTS])
@pytest.mark.parametrize("optimiser", tuning.RANGES)
def test_every_rule_gets_as_many_trials(rule, optimiser):
    spec = SPEC.with_values(optimiser=optimiser, paper_settings=True)
    unit = Unit("digits", "mlp", "cross_entropy", rule, 0, "own")
    low, high = span = tuning.span(unit, spec)
    found = tuning.trials(rule, span)
    assert len(set(found)) == len(found) == tuning.TRIALS
    assert {rate for _, rate in found} <= {
        float(f"{rate:.2g}") for rate in np.geomspace(low, high, tuning.TRIALS)
    }
    for text, _ in found:
        given = dict(select("rule", rule).options)
        assert given.items() <= dict(select("rule", text).options).items()


def test_what_is_searched_includes_the_default():
    for name in registry.entries("rule"):
        rule = bench.make("rule", name)
        for option, values in rule.searched.items():
            assert getattr(rule, option) in values, name


def test_trials_are_scored_on_training_examples_held_out():
    task = bench.make("task", "digits")
    held = tuning.Held(task)
    assert held.train.size + held.test.size == task.train.size
    rows = {row.tobytes() for row in held.train.inputs} | {r.tobytes() for r in held.test.inputs}
    assert rows <= {row.tobytes() for row in task.train.inputs}
    np.testing.assert_array_equal(held.test.inputs, task.train.inputs[held.train.size :])


def test_search_is_kept_and_the_same_with_any_number_of_processes(tmp_path):
    spec = SPEC.with_values(checkpoints=(0, 4))
    (alone,) = run(TUNING, spec, tmp_path / "one")
    (together,) = run(TUNING, spec, tmp_path / "two", executor=Processes(2))
    pd.testing.assert_frame_equal(alone.frame, together.frame, check_exact=True)
    counts = alone.frame.groupby("rule").size()
    assert set(counts.index) == set(SPEC.rules)
    assert counts.min() >= HALVED
    lost = list(alone.due)[1]
    alone.file(lost).unlink()
    again = []
    run(TUNING, spec, tmp_path / "one", on_done=lambda job, *_: again.append(job.key))
    assert again == [lost]


def test_seeds_and_draws_do_not_matter_to_a_search():
    """So a benchmark with others goes on from it."""
    first = tuning.jobs(SPEC.with_values(checkpoints=(0, 4)))
    other = tuning.jobs(SPEC.with_values(checkpoints=(4,), seeds=3, seed=5, samples=99))
    assert [job.key for job in first] == [job.key for job in other]
    for changed in ({"hidden": (7,)}, {"checkpoints": (0, 5)}, {"training_batch_size": 8}):
        jobs = tuning.jobs(SPEC.with_values(**{"checkpoints": (0, 4), **changed}))
        assert not {job.key for job in first} & {job.key for job in jobs}


def test_best_trial_is_taken():
    rows = [
        {
            "rule": rule,
            "tried": rule,
            "learning_rate": rate,
            "seed": seed,
            "loss": loss,
            "accuracy": accuracy,
        }
        for rule, rate, loss, accuracy in [
            ("backprop", 0.1, 0.5, 0.8),
            ("backprop", 0.15, 2.0, 0.9),
            ("backprop", 0.2, 1.0, 0.9),
            ("backprop", 0.3, np.nan, np.nan),
            ("hebb", 0.1, np.nan, np.nan),
            ("hebb", 0.2, np.nan, np.nan),
        ]
        for seed in SEEDS
    ]
    rows = pd.DataFrame(rows)
    own = rows[rows["rule"] == "backprop"]
    assert tuning.best(own) == {
        "tried": "backprop",
        "learning_rate": 0.15,
        "loss": 2.0,
        "accuracy": 0.9,
    }
    lost = own.assign(accuracy=np.nan, loss=np.nan)
    assert tuning.best(lost)["learning_rate"] == 0.1
    spec = tuning.tuned(SPEC.with_values(rules=("backprop", "hebb")), rows)
    assert spec.rules == ("backprop", "hebb")
    assert spec.learning_rates == {"backprop": 0.15, "hebb": 0.1}
    assert spec.rate_for("backprop", "own") == 0.15
    assert spec.rate_for("backprop", "shared") == SPEC.learning_rate


def test_a_rule_without_a_trial_is_left_out():
    rows = pd.DataFrame(
        [{"rule": "hebb", "tried": "hebb", "learning_rate": 0.1, "loss": 1.0, "accuracy": 0.5}]
    )
    spec = SPEC.with_values(rules=("backprop", "hebb"))
    assert tuning.tuned(spec, rows).rules == ("hebb",)
    with pytest.raises(InputError, match="no trial of backprop, hebb came to an end"):
        tuning.tuned(spec, rows[:0])


def test_diverged_trials_are_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "RANGES", {"sgd": (0.01, 1e30)})
    spec = SPEC.with_values(rules=("backprop",), architectures=("linear",), checkpoints=(0, 20))
    (found,) = run(TUNING, spec, tmp_path / "run")
    rows = found.frame
    lost = rows[rows["diverged"] != ""]
    assert len(lost) > 5
    assert lost["loss"].isna().all()
    assert found.jobs["status"].tolist() == ["done"]
    assert tuning.best(rows)["learning_rate"] == 0.01
    table = sensitivity(rows)
    assert table.cells["diverged"][0] == str(lost["learning_rate"].nunique())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that leaves no room for its axes
        assert sensitivity_picture(rows).figure.axes


def test_a_rule_that_diverges_at_every_rate_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "RANGES", {"sgd": (1e299, 1e300)})
    spec = SPEC.with_values(rules=("backprop",), architectures=("linear",), checkpoints=(0, 20))
    (found,) = run(TUNING, spec, tmp_path / "run")
    assert found.jobs["status"].tolist() == ["diverged"]
    assert found.frame["accuracy"].isna().all()
    assert sensitivity(found.frame).cells["best of its range"][0] == "inside"


def test_an_end_of_the_range_is_flagged(monkeypatch, tmp_path):
    """Accuracy rises with the rate, wherever one looks."""

    def rising(setting, trial, seed):
        return {"accuracy": peak(1e6)("", trial[1], 0), "loss": 1.0, "diverged": ""}

    monkeypatch.setattr(tuning, "trained", rising)
    (found,) = run(TUNING, SPEC.with_values(rules=("backprop",)), tmp_path / "run")
    (said,) = found.jobs["reason"]
    assert said == "the best learning rate, 29, is the highest that may be tried"
    assert sensitivity(found.frame).cells["best of its range"].tolist() == ["highest"]
    assert found.frame["learning_rate"].max() == 29 <= SPAN[1] * tuning.FARTHER[1]


@pytest.mark.parametrize("rule", registry.entries("rule"))
def test_settings_of_papers_can_be_trained(rule):
    paper = bench.make("rule", rule).paper_setting
    assert set(paper) <= set(PAPER)
    for task in ("digits", "mnist_1d") if paper else ():
        spec = figure2.specification(task, everything=True)
        (unit,) = units(spec.with_values(rules=(rule,), seeds=1, protocols=("own",)))
        for kind in ("architecture", "objective"):
            if kind in paper:
                assert getattr(unit, kind) == str(select(kind, paper[kind]))
        setting = tuning.setting(unit, spec)
        assert setting.momentum == (paper.get("momentum", 0.0) if task == "digits" else 0.0)
        network = build_network(unit.architecture, bench.make("task", task), setting.hidden, 0)
        factors = layer_factors(network, setting.layer_rates)
        assert bool(factors) == ("layer_rates" in paper)
        low, high = tuning.span(unit, spec)
        assert 0 < low < high
    if paper:
        trial = tuning.trials(rule, (low, high))[0]
        assert np.isfinite(tuning.trained(replace(setting, steps=1), trial, 0)["loss"])


def test_what_no_setting_of_a_paper_says_is_refused(monkeypatch):
    rule = registry.find("rule", "backprop")
    spec = SPEC.with_values(paper_settings=True)
    for paper, said in [
        ({"momentun": 0.9}, "paper_setting: 'momentun' is not known; choose one of .* momentum"),
        ({"learning_rates": (1.0, 0.1)}, "learning_rates: .* is not a lower and a higher rate"),
        ({"learning_rates": 0.1}, "learning_rates: .* is not a lower and a higher rate"),
    ]:
        monkeypatch.setattr(rule, "paper_setting", paper)
        with pytest.raises(InputError, match=f"rule backprop: {said}"):
            tuning.jobs(spec)


PLUGIN = """
from dataclasses import dataclass
from plausibench.rules.equilibrium_propagation import EquilibriumPropagation

@dataclass(frozen=True)
class Settling(EquilibriumPropagation):
    paper_setting = {
        "architecture": "hopfield[output=sigmoid]",
        "objective": "mean_squared_error",
        "momentum": 0.5,
        "layer_rates": 0.25,
        "learning_rates": (0.5, 50),
    }
"""


@pytest.fixture
def settling(tmp_path, monkeypatch):
    """A rule whose paper has a setting of its own."""
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    path = tmp_path / "settling.py"
    path.write_text(PLUGIN)
    spec = figure2.specification("digits", everything=True).with_values(seeds=1)
    return spec.with_values(rules=("settling", "backprop"), plugins=(str(path),))


def test_a_search_is_in_the_setting_of_the_paper(settling):
    (own, common) = tuning.jobs(settling)
    assert own.about["architecture"] == "hopfield[output=sigmoid]"
    assert own.about["objective"] == "mean_squared_error"
    setting, trials, span = own.arguments
    assert (setting.momentum, setting.layer_rates) == (0.5, 0.25)
    assert span == (0.5, 50)
    assert [trials[0][1], trials[-1][1]] == [0.5, 33]  # of two options, each every second rate
    assert common.about["architecture"] == "mlp"
    setting, trials, span = common.arguments
    assert (setting.momentum, setting.layer_rates, span) == (0.0, (), SPAN)


def test_without_settings_of_papers_all_have_the_common_one(settling):
    (own, _) = tuning.jobs(settling.with_values(paper_settings=False))
    assert own.about["architecture"] == "hopfield"
    setting, _, span = own.arguments
    assert (setting.momentum, setting.layer_rates, span) == (0.0, (), SPAN)


def test_adam_has_neither_momentum_nor_rates_of_plain_descent(settling):
    (own, _) = tuning.jobs(settling.with_values(optimiser="adam"))
    setting, _, span = own.arguments
    assert (setting.momentum, setting.layer_rates) == (0.0, 0.25)
    assert span == tuning.RANGES["adam"]


def test_what_is_measured_is_trained_as_it_was_tuned(settling):
    """Its own training has the momentum of the paper; shared weights, and the null, have not."""
    found = {unit.protocol: unit for unit in units(settling) if unit.rule == "settling"}
    assert found["own"].architecture == "hopfield[output=sigmoid]"
    own, shared = (alone(found[protocol], settling) for protocol in ("own", "shared"))
    assert (own.momentum, own.layer_rates, own.paper_settings) == (0.5, 0.25, False)
    assert (shared.momentum, shared.layer_rates) == (0.0, ())
    beside = {job.about["architecture"] for job in null_jobs(settling, list(found.values()))}
    assert "hopfield[output=sigmoid]" in beside


def test_settings_of_papers_are_one_place_for_each_rule():
    with pytest.raises(InputError, match="paper_settings: papers name one place for each rule"):
        SPEC.with_values(paper_settings=True, pairing="all")

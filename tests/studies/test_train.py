"""Training as a study: the curves of bench.train, kept, resumed, and in shares."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components.networks import build_network
from plausibench.bench.report.curves import report
from plausibench.bench.running.store import Run
from plausibench.bench.studies.run import run
from plausibench.bench.studies.train.study import TRAIN, Options
from plausibench.bench.training.training import train
from plausibench.kernels.errors import InputError

SMALL = Options(
    rules=("backprop", "node_perturbation"),
    tasks=("teacher_student",),
    hidden=(4,),
    steps=4,
    batch_size=8,
    evaluate_every=2,
    seeds=2,
)
WORDS = (
    *("train", "backprop", "node_perturbation", "--task", "teacher_student", "--hidden", "4"),
    *("--steps", "4", "--batch-size", "8", "--evaluate-every", "2", "--jobs", "1"),
)


def told(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_rows_are_those_of_training(tmp_path):
    (found,) = run(TRAIN, SMALL, tmp_path)
    task = bench.make("task", "teacher_student")
    for seed in (0, 1):
        training = train(
            bench.make("rule", "node_perturbation"),
            task,
            build_network("mlp", task, (4,), seed),
            bench.make("objective", "mean_squared_error"),
            steps=4,
            batch_size=8,
            learning_rate=0.03,
            evaluate_every=2,
            seed=seed,
        )
        rows = found.frame.query(f"rule == 'node_perturbation' and seed == {seed}")
        columns = ["step", "quantity", "value"]
        pd.testing.assert_frame_equal(
            rows[columns].reset_index(drop=True), training.frame[columns], check_exact=True
        )


def test_what_is_done_is_kept(tmp_path):
    def stop(job, outcome, done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(TRAIN, SMALL, tmp_path, on_done=stop)
    (first,) = Run.open(tmp_path).records
    again = []
    run(TRAIN, SMALL, tmp_path, on_done=lambda job, *_: again.append(job.key))
    assert len(again) == 7  # of 4 trainings and 4 nulls
    assert first not in again


def test_options_come_back_from_their_file(tmp_path):
    (found,) = run(TRAIN, Options(rules=("backprop",), hidden=(), steps=0), tmp_path)
    assert TRAIN.choose(found.options) == Options(rules=("backprop",), hidden=(), steps=0)
    assert Options(rules=("backprop",), hidden=()).spec.hidden == ()


def test_a_rate_that_is_given_is_that_of_every_rule():
    rates = {rule: SMALL.spec.rate(rule) for rule in SMALL.rules}
    assert rates == {"backprop": 0.1, "node_perturbation": 0.03}
    given = Options(rules=SMALL.rules, learning_rate=0.5).spec
    assert {given.rate(rule) for rule in SMALL.rules} == {0.5}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": -1}, "steps: -1"),
        ({"evaluate_every": 0}, "evaluate_every: 0"),
        ({"rules": ("backpropp",)}, "did you mean 'backprop'"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"optimiser": "lbfgs"}, "optimiser: 'lbfgs'"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        TRAIN.choose(options)


def test_divergence_and_failure_do_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("late.py").write_text(
        """
from dataclasses import dataclass
from plausibench.rules.backprop import Backprop

@dataclass(frozen=True)
class Late(Backprop):
    \"\"\"Fails when it is asked for a training step.\"\"\"

    def advance(self, state, taken):
        raise RuntimeError("no luck")
"""
    )
    words = (
        "train",
        "backprop",
        "oja",
        "late",
        "--plugin",
        "late.py",
        "--steps",
        "30",
        "--no-nulls",
    )
    done = told(*words, "--learning-rate", "1e200", "--jobs", "1", "--out", "run")
    assert done.exit_code == 1, done.output
    assert "oja diverged: the weights are not finite after" in done.stderr
    assert "late failed: RuntimeError: no luck" in done.stderr
    found = Run.open("run")
    assert found.jobs.set_index("rule")["status"].to_dict() == {
        "backprop": "done",
        "oja": "diverged",
        "late": "failed",
    }
    # What came before it diverged is there.
    assert set(found.frame.query("rule == 'oja'")["step"]) == {0}
    table = pd.read_csv("run/learning_curves.csv")
    assert set(table["rule"]) == {"backprop", "oja"}


def test_shares_do_it_together(tmp_path):
    whole = told(*WORDS, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    for share in ("1/2", "2/2"):
        done = told(*WORDS, "--out", tmp_path / "shared", "--shard", share)
        assert done.stdout == f"Shard {share} is done: {tmp_path / 'shared'}\n"
    found = Run.open(tmp_path / "shared")
    assert found.frame.equals(Run.open(tmp_path / "whole").frame)
    together = told(*WORDS, "--out", tmp_path / "shared")
    assert together.stdout == whole.stdout.replace("whole", "shared")


def test_other_options_have_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for rate in ("0.1", "0.2"):
        assert told(*WORDS, "--learning-rate", rate).exit_code == 0
    assert len(list(Path("results").iterdir())) == 2


def test_the_report_has_a_line_for_each_training(tmp_path):
    (found,) = run(TRAIN, SMALL, tmp_path)
    tables, (picture,) = report(found.frame)
    names = (*SMALL.rules, "null: readout only", "null: linear")
    assert tables["last"].cells[["rule", "seed", "step"]].to_numpy().tolist() == [
        *([rule, seed, "4"] for rule in names for seed in ("0", "1")),
        ["null: chance", "–", "–"],
    ]
    assert picture.name == "learning_curves"

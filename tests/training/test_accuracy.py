"""Accuracy where one class stands for doing nothing, and that of the best constant answer."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.studies.shared.altered import Altered
from plausibench.bench.studies.tuning.study import Held
from plausibench.bench.training.training import accuracy, constant_accuracy, evaluate
from plausibench.objectives.batch import Batch


def rows(answers, classes):
    """Outputs of answers ``(B, T)`` in the order of a network: by time, then by example."""
    return np.eye(classes)[np.asarray(answers).T.reshape(-1)]


class TestResponses:
    def test_right_ones_among_those_asked_for_or_given(self):
        targets = np.array([[0, 0, 2, 2], [0, 0, 0, 0], [0, 0, 1, 1]])
        batch = Batch(np.zeros((3, 4, 1)), targets)
        for answers, expected in (
            (targets, 1.0),
            (0 * targets, 0.0),  # never answers, which is right in 8 of 12 steps
            ([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]], 4 / 6),  # two that nobody asked for
            ([[2, 2, 2, 2], [0, 0, 0, 0], [0, 0, 0, 1]], 3 / 6),  # two too early, one too late
            ([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]], 2 / 4),  # two wrong
        ):
            assert accuracy(rows(answers, 3), batch, idle=0) == pytest.approx(expected)
        assert accuracy(rows(0 * targets, 3), batch) == pytest.approx(8 / 12)

    def test_steps_have_the_weights_of_the_loss(self):
        targets = np.array([[0, 1, 1], [0, 1, 1]])
        mask = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 2.0]])
        batch = Batch(np.zeros((2, 3, 1)), targets, mask=mask)
        # Of weights 1/2 in the first trial, 1/4 and 2/4 in the second, the last is wrong.
        answers = [[0, 1, 0], [0, 1, 0]]
        assert accuracy(rows(answers, 2), batch, idle=0) == pytest.approx((1 / 2 + 1 / 4) / 1.25)

    def test_nothing_asked_and_nothing_given_is_unknown(self):
        batch = Batch(np.zeros((2, 3, 1)), np.zeros((2, 3), dtype=np.int64))
        assert np.isnan(accuracy(rows(batch.targets, 2), batch, idle=0))
        assert accuracy(rows(1 + batch.targets, 2), batch, idle=0) == 0

    @pytest.mark.parametrize("name", ["go", "dm1", "dms", "dnmc"])
    def test_a_network_that_always_fixates_answers_nothing(self, name):
        task = bench.make("task", "yang2019_neurogym", trials=60, task=name)
        network = bench.make(
            "architecture", "rate_rnn", sizes=[task.inputs_size, 4, task.outputs_size]
        )
        still = {key: np.zeros_like(value) for key, value in network.parameters.items()}
        (bias,) = [
            key for key, value in still.items() if "bias" in key and value.size == task.outputs_size
        ]
        still[bias].flat[0] = 1
        objective = bench.make("objective", "cross_entropy")
        found = evaluate(network.with_parameters(still), objective, task)
        assert found["test_accuracy"] == 0
        targets = np.asarray(task.test.targets)
        assert (targets == 0).mean() > 0.6  # what a share of right steps would be at least
        assert accuracy(rows(targets, task.outputs_size), task.test, task.idle) == pytest.approx(1)

    def test_tasks_that_are_altered_keep_it(self):
        task = bench.make("task", "yang2019_neurogym", trials=8)
        assert (task.idle, Altered(task).idle, Held(task).idle) == (0, 0, 0)
        assert bench.make("task", "digits").idle is None


class TestConstant:
    def test_it_is_the_share_of_the_largest_class(self):
        targets = np.array([0, 1, 1, 1, 2])
        assert constant_accuracy(Batch(np.zeros((5, 2)), targets), 4) == pytest.approx(3 / 5)

    @pytest.mark.parametrize(
        "name",
        [
            *("copy", "delayed_match", "delayed_parity", "evidence_accumulation", "row_by_row"),
            "yang2019_neurogym",
        ],
    )
    def test_no_task_in_time_is_solved_by_one_answer(self, name):
        """400 balanced trials of two answers: chance 1/2 with a standard error of 0.025."""
        options = {} if name == "row_by_row" else {"trials": 400}
        task = bench.make("task", name, **options)
        level = constant_accuracy(task.test, task.outputs_size, task.idle)
        assert level < 0.5 + 4 * 0.025

    @pytest.mark.parametrize(("task", "said"), [("digits", True), ("teacher_student", False)])
    def test_train_says_what_a_network_must_beat(self, task, said, tmp_path):
        objective = "cross_entropy" if said else "mean_squared_error"
        given = ["train", "backprop", "--task", task, "--objective", objective, "--steps", "1"]
        done = CliRunner().invoke(main, [*given, "--hidden", "4", "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        made = bench.make("task", task)
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("null: chance"))
        _, _, _, _, loss, accurate, _ = re.split(r"\s{2,}|(?<=:) ", line)
        if said:
            level = np.bincount(made.test.targets).max() / made.test.size
            assert (loss, accurate) == ("-", f"{level:.4g}")
        else:
            mean = made.train.targets.mean(axis=0)
            level = ((made.test.targets - mean) ** 2).sum(axis=1).mean() / 2
            assert (loss, accurate) == (f"{level:.4g}", "-")

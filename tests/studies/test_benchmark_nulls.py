"""Nulls: what they are, that runs train them unasked, and that accuracies stand beside them."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components.networks import build_network
from plausibench.bench.page.charts import charts
from plausibench.bench.report.compare import compare
from plausibench.bench.report.curves import learning_curves
from plausibench.bench.report.figures import pictures
from plausibench.bench.report.nulls import beside, courses
from plausibench.bench.report.table import comparison
from plausibench.bench.running.shards import Shard
from plausibench.bench.studies.benchmark.nulls import nulls
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import jobs
from plausibench.bench.studies.benchmark.units import units
from plausibench.bench.training.nulls import FACTORS, NULL, chance
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import train, trajectory
from plausibench.kernels.errors import InputError
from sweeps import IDLE, TINY, run
from toy_jobs import files

SPEC = Spec(
    tasks=("digits",),
    architectures=("mlp",),
    objectives=("cross_entropy", "mean_squared_error"),
    rules=("backprop", "feedback_alignment", "brainprop"),
    hidden=(8,),
    checkpoints=(0, 20, 60),
    seeds=3,
    samples=20,
    marginal_samples=20,
    averaging_samples=16,
    protocols=("own",),
)
LINEAR = "linear[sizes=64-10,bias=true]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(SPEC, tmp_path_factory.mktemp("nulls") / "run")


def value(frame, **where):
    """The only value with these entries."""
    for name, entry in where.items():
        frame = frame[frame[name] == entry]
    (found,) = frame["value"]
    return found


class TestWhich:
    def places(self, **values):
        spec = SPEC.with_values(**values)
        found = nulls(spec, units(spec))
        return {(unit.rule, unit.architecture, unit.objective, unit.reason) for unit in found}

    def test_readout_only_beside_every_network_and_linear_beside_every_objective(self):
        assert self.places() == {
            ("readout_only", "mlp", "cross_entropy", None),
            ("readout_only", "mlp", "mean_squared_error", None),
            ("backprop", LINEAR, "cross_entropy", None),
            ("backprop", LINEAR, "mean_squared_error", None),
        }

    def test_once_for_each_seed(self):
        found = nulls(SPEC, units(SPEC))
        assert len(found) == len(set(found)) == 4 * 3
        assert {unit.protocol for unit in found} == {NULL}
        assert {unit.seed for unit in found} == {0, 1, 2}

    def test_none_where_nothing_is_trained_or_they_are_not_wanted(self):
        assert self.places(checkpoints=(0,)) == set()
        assert self.places(nulls=False) == set()
        with pytest.raises(InputError, match="nulls: 1"):
            SPEC.with_values(nulls=1)

    def test_a_network_without_hidden_layers_knows_no_time(self):
        found = self.places(
            tasks=("row_by_row",), architectures=("rate_rnn",), rules=("rflo",), hidden=(8,)
        )
        reasons = {rule: reason for rule, _, _, reason in found}
        assert reasons["readout_only"] is None
        assert "knows no time" in reasons["backprop"]

    def test_nothing_beside_what_cannot_run(self):
        spec = SPEC.with_values(
            rules=("backprop", "dendritic_error"),
            architectures=("mlp", "hopfield"),
            pairing="all",
            objectives=("cross_entropy",),
        )
        measured = units(spec)
        refused = [unit for unit in measured if unit.reason is not None]
        assert refused
        found = {unit.architecture for unit in nulls(spec, refused)}
        assert found == set()


class TestTraining:
    def test_hidden_layers_keep_every_bit(self):
        task, rule = bench.make("task", "digits"), bench.make("rule", "readout_only")
        network = build_network("mlp", task, (8, 6), seed=0)
        objective, optimise = bench.make("objective", "cross_entropy"), make_optimiser("adam", 0.1)
        *_, last = trajectory(rule, rule, network, objective, task, optimise, (20,), 32, 0)
        for name, before in network.parameters.items():
            same = np.array_equal(before, last.network.parameters[name])
            assert same == (not name.startswith("layer3"))

    def test_linear_is_softmax_regression(self, finished):
        """Plain loops over steps and classes, on the same batches, at the rate that was kept."""
        task = bench.make("task", "digits")
        of = {"architecture": LINEAR, "objective": "cross_entropy", "seed": 1}
        rate = value(finished.frame, **of, step=60, quantity="learning_rate")
        start = build_network(LINEAR, task, (), seed=1).parameters
        weights, bias = (start[f"layer1.{name}"].copy() for name in ("weights", "bias"))
        batches = task.batches(32, seed=1)
        for _ in range(60):
            batch = next(batches)
            slopes, shifts = np.zeros_like(weights), np.zeros_like(bias).reshape(-1)
            for x, target in zip(batch.inputs, batch.targets, strict=True):
                z = weights @ x + bias.reshape(-1)
                chances = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
                for k in range(10):
                    error = chances[k] - (k == target)
                    slopes[k] += error * x / 32
                    shifts[k] += error / 32
            weights -= rate * slopes
            bias -= rate * shifts.reshape(bias.shape)
        output = task.test.inputs @ weights.T + bias.reshape(1, -1)
        right = (output.argmax(axis=1) == task.test.targets).mean()
        assert value(finished.frame, **of, step=60, quantity="test_accuracy") == right
        odds = output - np.log(np.exp(output).sum(axis=1, keepdims=True))
        loss = -odds[np.arange(len(odds)), task.test.targets].mean()
        found = value(finished.frame, **of, step=60, quantity="test_loss")
        assert found == pytest.approx(loss, rel=1e-9)

    @pytest.mark.parametrize("objective", SPEC.objectives)
    def test_the_rate_with_the_lowest_training_loss_stands(self, finished, objective):
        task, rule = bench.make("task", "digits"), bench.make("rule", "readout_only")
        ends = {}
        for factor in FACTORS:
            training = train(
                rule,
                task,
                build_network("mlp", task, (8,), seed=2),
                bench.make("objective", objective),
                steps=60,
                learning_rate=0.1 * factor,
                seed=2,
                evaluate_every=60,
            )
            if not training.diverged:
                ends[0.1 * factor] = value(training.frame, step=60, quantity="train_loss")
        best = min(ends, key=ends.get)
        of = {"rule": "readout_only", "objective": objective, "seed": 2, "step": 60}
        assert value(finished.frame, **of, quantity="learning_rate") == best
        assert value(finished.frame, **of, quantity="train_loss") == ends[best]

    def test_one_that_diverges_at_every_rate_is_an_outcome_that_is_told(self, tmp_path):
        spec = TINY.with_values(
            learning_rate=1e9, rules=["backprop"], checkpoints=(0, 50), seeds=1, protocols=["own"]
        )
        found = run(spec, tmp_path / "run")
        null = found.jobs[found.jobs["protocol"] == NULL]
        assert set(null["status"]) == {"diverged"}
        notes = comparison(found.frame, found.jobs, columns=["test_loss"]).notes
        assert any(note.startswith("No readout only beside teacher") for note in notes)
        assert any("(diverged, 1 seed)" in note for note in notes)


class TestChance:
    def test_of_classes_it_is_the_most_frequent_answer(self):
        task = bench.make("task", "digits")
        level = np.bincount(task.test.targets).max() / task.test.size
        objective = bench.make("objective", "cross_entropy")
        assert chance(task, objective) == {"chance_accuracy": pytest.approx(level)}

    @pytest.mark.parametrize("name", ["teacher_student", "sine_generation", "adding"])
    def test_of_numbers_it_is_the_loss_of_their_mean(self, name):
        task = bench.make("task", name)
        assert task.kind == "regression"
        total, count = 0.0, 0.0
        for targets, weights in examples(task.train):
            total, count = total + weights @ targets, count + weights.sum()
        mean = total / count
        losses = [
            weights @ ((targets - mean) ** 2).sum(axis=1) / 2
            for targets, weights in examples(task.test)
        ]
        objective = bench.make("objective", "mean_squared_error")
        found = chance(task, objective)["chance_loss"]
        assert found == pytest.approx(np.mean(losses), rel=1e-12)


def examples(batch):
    """Targets of each example step by step, and weights of the steps that add up to 1."""
    for number in range(batch.size):
        targets = np.asarray(batch.targets[number])
        if targets.ndim == 1:
            yield targets[None], np.ones(1)
            continue
        mask = np.ones(len(targets)) if batch.mask is None else batch.mask[number]
        yield targets, mask / mask.sum()


class TestRuns:
    def test_are_the_same_in_shares_and_resumed(self, tmp_path):
        whole = run(TINY, tmp_path / "whole")
        assert (whole.jobs["protocol"] == NULL).sum() == 2 * 2
        for index in (2, 3, 1):
            shared = run(TINY, tmp_path / "shared", share=Shard(index, 3))
        assert files(shared) == files(whole)
        run(TINY, tmp_path / "whole", executor=IDLE)

    def test_rules_are_measured_alike_with_and_without_them(self):
        bare = {job.key for job in jobs(TINY.with_values(nulls=False))}
        measured = [job for job in jobs(TINY) if job.about["protocol"] != NULL]
        assert {job.key for job in measured} == bare

    def test_their_keys_do_not_depend_on_draws(self):
        def keys(**values):
            return {
                job.label: job.key
                for job in jobs(TINY.with_values(**values))
                if job.about["protocol"] == NULL
            }

        before = keys()
        assert keys(samples=65, averaging_samples=9, batch_size=4, precision=0.5) == before
        assert keys(learning_rates={"backprop": 0.3}, rules=["backprop"]) == before
        for values in ({"learning_rate": 0.2}, {"checkpoints": (0, 6)}, {"hidden": (7,)}):
            assert keys(**values) != before

    def test_the_command_line_leaves_them_out(self, tmp_path):
        words = ["run", "--rules", "backprop", "--seeds", "1", "--dry-run"]
        told = {
            flag: CliRunner().invoke(main, [*words, flag, "--out", str(tmp_path)]).stdout
            for flag in ("--nulls", "--no-nulls")
        }
        assert "readout_only" in told["--nulls"]
        assert "readout_only" not in told["--no-nulls"]


class TestReport:
    def test_above_is_the_paired_difference(self, finished):
        found = beside(finished.frame)
        assert NULL not in set(found["protocol"])
        accuracy = finished.frame[finished.frame["quantity"] == "test_accuracy"]
        of = {"objective": "mean_squared_error", "seed": 1, "step": 60}
        rule = value(accuracy, **of, rule="brainprop", protocol="own")
        for quantity, null in (
            ("above_readout_only", {"rule": "readout_only"}),
            ("above_linear", {"architecture": LINEAR}),
        ):
            level = value(accuracy, **of, **null, protocol=NULL)
            assert value(found, **of, rule="brainprop", quantity=quantity) == rule - level
        assert (found["kind"] == "null").sum() == 2 * 3 * 3 * 3

    def test_the_table_has_their_column_and_a_sentence_for_each_task(self, finished):
        table = comparison(finished.frame, finished.jobs)
        assert "above readout only ↑" in table.cells
        assert set(table.cells["rule"]) == set(SPEC.rules)
        assert len(table.cells) == 3 * 3
        (said,) = (note for note in table.notes if note.startswith("Nulls on digits after 60"))
        accuracy = finished.frame[finished.frame["quantity"] == "test_accuracy"]
        own = accuracy[(accuracy["protocol"] == NULL) & (accuracy["step"] == 60)]
        mean = own.groupby(["architecture", "objective"])["value"].mean()
        for (_, objective), level in mean.items():
            assert f"{level:.2g}"[:3] in said
            assert objective in said
        assert "chance 0.1031" in said

    def test_intervals_are_those_of_the_differences(self, finished):
        raw = comparison(finished.frame, finished.jobs, columns=["above_readout_only"]).raw
        row = raw[(raw["rule"] == "backprop") & (raw["step"] == 60)].iloc[0]
        found = beside(finished.frame)
        found = found[(found["rule"] == "backprop") & (found["step"] == 60)]
        values = found[found["quantity"] == "above_readout_only"]["value"]
        half = 4.302653 * values.std(ddof=1) / np.sqrt(3)  # Student's t of 2 degrees of freedom
        assert row["above_readout_only"] == pytest.approx(values.mean())
        assert row["above_readout_only_low"] == pytest.approx(values.mean() - half, rel=1e-5)

    def test_a_null_that_is_not_there_is_a_dash_with_its_reason(self, tmp_path):
        spec = SPEC.with_values(
            tasks=("row_by_row",), architectures=("rate_rnn",), rules=("rflo",), seeds=1
        )
        found = run(spec.with_values(checkpoints=(2,)), tmp_path / "run")
        table = comparison(
            found.frame, found.jobs, columns=["test_accuracy", "above_readout_only", "above_linear"]
        )
        assert set(table.cells["above linear ↑"]) == {"–"}
        assert "–" not in set(table.cells["above readout only ↑"])
        assert any("No linear beside row_by_row" in note for note in table.notes)
        assert any("knows no time" in note for note in table.notes)

    def test_a_run_without_them_has_no_column(self, finished):
        frame = finished.frame[finished.frame["protocol"] != NULL]
        table = comparison(frame, finished.jobs[finished.jobs["protocol"] != NULL])
        assert not any("above" in heading for heading in table.cells)
        assert not any("Nulls" in note for note in table.notes)
        assert courses(frame).empty

    def test_learning_curves_show_them_by_name(self, finished):
        drawn = {picture.name: picture for picture in pictures(finished.frame, finished.jobs)}
        assert "learning_curves" in drawn  # they make no setting of their own
        figure = drawn["learning_curves"].figure
        entries = [
            text.get_text()
            for part in figure.subfigs
            for legend in part.legends
            for text in legend.get_texts()
        ]
        assert entries[-3:] == ["null: readout only", "null: linear", "null: chance"]
        bare = finished.frame[finished.frame["protocol"] != NULL]
        assert "null" not in learning_curves(bare).caption

    def test_the_page_shows_them_along_training(self, finished):
        (chart,) = (one for one in charts(finished.frame) if one.name == "training")
        rows = chart.rows[chart.rows["null"]]
        assert set(rows["rule"]) == {"null: readout only", "null: linear", "null: chance"}
        assert set(rows["protocol"]) == {"own"}

    def test_runs_are_compared_with_them(self, finished):
        found = compare(finished.frame, finished.frame, columns=["test_accuracy", "above_linear"])
        assert set(found["protocol"]) == {"own", NULL}
        assert "above_linear" in set(found["quantity"])
        assert (found["only"] == "").all()
        assert found["difference"].abs().max() == 0
        assert isinstance(found, pd.DataFrame)

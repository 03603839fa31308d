"""What the benchmark computes, and what it records of what goes wrong."""

import os
from collections import OrderedDict

import numpy as np
import pytest

from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.benchmark import cell, course
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import alone, jobs
from plausibench.bench.studies.benchmark.units import units
from plausibench.kernels.errors import InputError
from sweeps import IDLE, run

SMALL = {
    "tasks": ("teacher_student[inputs=5,outputs=3,examples=60]",),
    "architectures": ("mlp",),
    "objectives": ("mean_squared_error",),
    "rules": ("backprop", "feedback_alignment", "weight_perturbation"),
    "hidden": (6,),
    "checkpoints": (0, 5),
    "seeds": 2,
    "samples": 64,
    "marginal_samples": 20,
    "averaging_samples": 16,
    "batch_size": 8,
    "training_batch_size": 8,
    "nulls": False,
}
SPEC = Spec(**SMALL)

RULE = """\
from dataclasses import dataclass
from typing import ClassVar

from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard


@dataclass(frozen=True)
class Mine(Rule):
    card: ClassVar[RuleCard] = RuleCard(
        summary="scaled gradient", equation="", randomness=frozenset(), unbiased=False,
        exact_when="", variance_law="0", synapse_knows="", cites="",
    )

    def estimate(self, network, objective, batch, clean, state, noise):
        {body}
        exact = network.gradient(objective, batch, clean)
        return {{name: Dense({scale} * array) for name, array in exact.items()}}

    def unsupported(self, network, objective):
        {unsupported}
"""


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch):
    """A registry without the plug-ins of other tests."""
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


@pytest.fixture
def plugin(tmp_path):
    """Write a plug-in rule ``mine``; returns its path."""

    def write(body="pass", scale=0.5, unsupported="return None"):
        path = tmp_path / "mine.py"
        path.write_text(RULE.format(body=body, scale=scale, unsupported=unsupported))
        return str(path)

    return write


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small sweep, with one job."""
    return run(SPEC, tmp_path_factory.mktemp("sweep") / "run")


class TestSameTable:
    def test_in_another_order_of_rules(self, finished, tmp_path):
        other = run(SPEC.with_values(rules=SPEC.rules[::-1]), tmp_path / "run").frame
        assert other["rule"].unique().tolist() == list(SPEC.rules[::-1])
        ordered = other.set_index("rule").loc[list(SPEC.rules)].reset_index()
        assert ordered[finished.frame.columns].equals(finished.frame)

    def test_with_a_rule_alone(self, finished, tmp_path):
        alone = run(SPEC.with_values(rules=["feedback_alignment"]), tmp_path / "run").frame
        among = finished.frame.query("rule == 'feedback_alignment'").reset_index(drop=True)
        assert alone.equals(among)


class TestUnits:
    def test_every_combination_once(self):
        found = units(SPEC)
        assert len(found) == len(set(found)) == 3 * 2 * 2
        assert {unit.seed for unit in found} == {0, 1}
        assert {unit.protocol for unit in found} == {"shared", "own"}

    def test_first_pair_that_a_rule_supports(self):
        spec = SPEC.with_values(
            architectures=["mlp", "dendritic"], rules=["backprop", "dendritic_error"]
        )
        pairs = {(unit.rule, unit.architecture, unit.reason) for unit in units(spec)}
        assert pairs == {("backprop", "mlp", None), ("dendritic_error", "dendritic", None)}

    def test_all_pairs_with_their_reasons(self):
        spec = SPEC.with_values(
            architectures=["mlp", "dendritic"],
            objectives=["mean_squared_error", "cross_entropy"],
            rules=["dendritic_error"],
            pairing="all",
            seeds=1,
            protocols=["own"],
        )
        found = {(unit.architecture, unit.objective): unit.reason for unit in units(spec)}
        assert len(found) == 4
        assert "apical dendrites" in found["mlp", "mean_squared_error"]
        assert found["dendritic", "mean_squared_error"] is None

    def test_seeds_start_at_the_first(self):
        spec = SPEC.with_values(seed=7, seeds=3)
        assert sorted({unit.seed for unit in units(spec)}) == [7, 8, 9]

    def test_two_rules_start_from_the_same_weights_and_see_the_same_data(self, monkeypatch):
        seen = {}
        monkeypatch.setattr(cell, "KINDS", {"seen": lambda c: seen.setdefault(c.unit, c) and []})
        spec = SPEC.with_values(checkpoints=[0], seeds=1)
        batches = []
        original = course.trajectory

        def trajectory(trainer, rule, network, objective, task, *rest):
            batches.append(next(task.batches(rest[2], seed=rest[3])))
            return original(trainer, rule, network, objective, task, *rest)

        monkeypatch.setattr(course, "trajectory", trajectory)
        monkeypatch.setattr(course, "_kept", OrderedDict())
        for unit in units(spec):
            list(cell.measured(unit, spec))
        first, *others = seen.values()
        assert len(others) == 5
        for other in others:
            for name, weights in first.checkpoint.network.parameters.items():
                np.testing.assert_array_equal(other.checkpoint.network.parameters[name], weights)
            np.testing.assert_array_equal(other.batch.keys, first.batch.keys)
            np.testing.assert_array_equal(other.batch.inputs, first.batch.inputs)
        # Those of backpropagation are trained once.
        assert len(batches) == 3
        for batch in batches:
            np.testing.assert_array_equal(batch.keys, batches[0].keys)

    def test_weights_that_are_trained_once_are_those_trained_for_each_rule(self, monkeypatch):
        def reached():
            return [
                (checkpoint.step, *checkpoint.network.parameters.values(), *state.values())
                for unit in units(SPEC)
                for checkpoint in course.checkpoints(
                    unit, alone(unit, SPEC), select("rule", unit.rule).make()
                )
                for state in [checkpoint.state]
            ]

        monkeypatch.setattr(course, "_kept", OrderedDict())
        once = reached()
        assert len(course._kept) == SPEC.seeds
        monkeypatch.setattr(course, "SMALL", 0)
        for found, expected in zip(once, reached(), strict=True):
            for array, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(array, other)

    def test_few_trajectories_are_kept(self, monkeypatch):
        monkeypatch.setattr(course, "_kept", OrderedDict())
        monkeypatch.setattr(course, "MOST", 1)
        for unit in units(SPEC):
            rule = select("rule", unit.rule).make()
            last = [c.step for c in course.checkpoints(unit, alone(unit, SPEC), rule)]
            assert last == list(SPEC.checkpoints)
            assert len(course._kept) <= 1

    def test_shared_weights_are_those_of_backpropagation(self, finished):
        losses = finished.frame.query("kind == 'training' and quantity == 'train_loss'")
        shared = losses.query("protocol == 'shared'").pivot_table(
            index=["seed", "step"], columns="rule", values="value"
        )
        assert (shared.nunique(axis=1) == 1).all()
        own = losses.query("protocol == 'own' and step == 5").set_index(["seed", "rule"])["value"]
        for seed in (0, 1):
            assert own[seed, "backprop"] == shared.loc[(seed, 5), "backprop"]
            assert own[seed, "feedback_alignment"] != own[seed, "backprop"]


class TestTable:
    def test_holds_every_kind_of_row(self, finished):
        found = finished.frame.groupby(["rule", "protocol"])["kind"].agg(set)
        everywhere = {"training", "cost", "conditional", "averaging", "progress"}
        assert found["backprop", "own"] == everywhere
        drawn = everywhere | {"budget", "closed_form"}
        assert found["weight_perturbation", "shared"] == drawn
        redrawn = {"budget", "marginal", "marginal_closed_form"}
        assert found["feedback_alignment", "shared"] == everywhere | redrawn

    def test_values_are_missing_only_where_nothing_was_to_be_known(self, finished):
        frame = finished.frame
        missing = frame[frame["value"].isna()]
        assert set(missing["flag"]) <= {"unresolved", "few samples, unresolved"} | {
            "few samples, low dimension, unresolved",
            "low dimension, unresolved",
        }

    @pytest.mark.parametrize("kind", ["conditional", "averaging", "budget", "progress"])
    def test_what_was_drawn_is_not_called_exact(self, finished, kind):
        rows = finished.frame[finished.frame["kind"] == kind]
        drawn = rows[rows["redrawn"].str.contains("rule")]
        assert set(drawn["rule"]) == {"weight_perturbation"}
        assert set(drawn["method"]) == {"companion" if kind == "conditional" else "sampled"}
        assert (drawn["samples"] > 0).all()

    def test_seconds_are_kept_apart(self, finished):
        assert "seconds" not in finished.frame.columns
        assert len(finished.timings) == len(finished.jobs)
        assert (finished.timings["seconds"] > 0).all()


def test_closed_forms_stand_beside_what_was_sampled(finished):
    frame = finished.frame
    of = frame[(frame["projection"] == "all") & (frame["quantity"] == "variance")]
    cell = ["rule", "protocol", "step", "seed"]
    for kind, rule in (
        ("closed_form", "weight_perturbation"),
        ("marginal_closed_form", "feedback_alignment"),
    ):
        sampled = {"closed_form": "conditional", "marginal_closed_form": "marginal"}[kind]
        theory = of[of["kind"] == kind].set_index(cell)
        drawn = of[of["kind"] == sampled].set_index(cell).loc[theory.index]
        assert set(theory.index.get_level_values("rule")) == {rule}
        assert (theory["method"] == "closed form").all()
        half = (drawn["high"] - drawn["low"]) / 2
        assert ((drawn["value"] - theory["value"]).abs() < 4 * half).all()


class TestOutcomes:
    def test_a_network_that_diverges_keeps_what_was_measured_before(self, tmp_path, finished):
        spec = SPEC.with_values(
            architectures=["linear"],
            rules=["backprop"],
            learning_rate=1e6,
            seeds=1,
            checkpoints=[0, 1, 200],
        )
        found = run(spec, tmp_path / "run")
        assert found.jobs["status"].tolist() == ["diverged", "diverged"]
        assert found.jobs["reason"].str.contains("not finite").all()
        assert set(found.frame["step"]) == {0, 1}
        assert set(found.frame["kind"]) >= {"conditional", "progress"}
        assert found.frame.query("step == 0 and quantity == 'train_loss'")["value"].notna().all()

    def test_divergence_is_a_result_that_is_kept(self, tmp_path):
        spec = SPEC.with_values(
            architectures=["linear"], rules=["backprop"], learning_rate=1e6, checkpoints=[200]
        )
        found = run(spec, tmp_path / "run")
        assert set(found.jobs["status"]) == {"diverged"}
        assert run(spec, tmp_path / "run", executor=IDLE).frame.equals(found.frame)

    def test_a_rule_that_raises_fails_alone_and_is_tried_again(self, tmp_path, plugin):
        trouble = tmp_path / "trouble"
        trouble.touch()
        body = f"import os; assert not os.path.exists({str(trouble)!r}), 'no\\nluck'"
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(body)], seeds=1)
        found = run(spec, tmp_path / "run")
        assert found.jobs["status"].tolist() == ["done", "done", "failed", "failed"]
        assert set(found.jobs["reason"]) == {"", "AssertionError: no luck"}
        computed = []
        trouble.unlink()
        found = run(spec, tmp_path / "run", on_done=lambda job, *_: computed.append(job.about))
        assert found.jobs["status"].tolist() == ["done"] * 4
        assert [unit["rule"] for unit in computed] == ["mine", "mine"]
        gain = found.frame.query("rule == 'mine' and quantity == 'gain' and projection == 'all'")
        assert gain["value"].tolist() == pytest.approx([0.5] * len(gain))

    def test_a_process_that_dies_is_a_failed_unit_alone(self, tmp_path, plugin, finished):
        """Such as one that takes too much memory."""
        path = plugin("import os; os._exit(1)")
        spec = SPEC.with_values(
            rules=["mine", "backprop"], plugins=[path], protocols=["own"], seeds=1
        )
        found = run(spec, tmp_path / "run", executor=Processes(2))
        assert found.jobs["status"].tolist() == ["failed", "done"]
        assert "process died" in found.jobs["reason"][0]
        same = finished.frame.query("rule == 'backprop' and protocol == 'own' and seed == 0")
        assert found.frame.equals(same.reset_index(drop=True))

    def test_a_rule_that_cannot_run_says_why(self, tmp_path):
        spec = SPEC.with_values(rules=["backprop", "dendritic_error"], seeds=1)
        found = run(spec, tmp_path / "run")
        units = found.jobs.query("rule == 'dendritic_error'")
        assert set(units["status"]) == {"unsupported"}
        assert units["reason"].str.contains("apical dendrites").all()
        assert "dendritic_error" not in set(found.frame["rule"])

    def test_estimates_of_the_wrong_shape_fail_with_their_shape(self, tmp_path, plugin):
        path = plugin("return {p.name: Dense(1.0) for p in network.projections}")
        spec = SPEC.with_values(rules=["mine"], plugins=[path], seeds=1, protocols=["own"])
        (reason,) = run(spec, tmp_path / "run").jobs["reason"]
        assert "Mine.estimate: layer1.weights has shape ()" in reason


class TestRefusals:
    """In one sentence, before anything is computed or written."""

    @pytest.fixture
    def refused(self, tmp_path):
        def refusal(spec):
            with pytest.raises(InputError) as caught:
                run(spec, tmp_path / "out" / "run", executor=IDLE)
            assert not (tmp_path / "out").exists()
            assert "\n" not in str(caught.value)
            return str(caught.value)

        return refusal

    def test_nothing_can_run(self, refused):
        sentence = refused(SPEC.with_values(rules=["dendritic_error"]))
        assert "nothing can run" in sentence
        assert "apical dendrites" in sentence

    @pytest.mark.parametrize("sizes", ["4-6-3", "5-6-2"])
    def test_layer_sizes_that_do_not_match_the_task(self, refused, sizes):
        sentence = refused(SPEC.with_values(architectures=[f"mlp[sizes={sizes}]"]))
        assert f"mlp[sizes={sizes}] has {sizes[0]} inputs and {sizes[-1]} outputs" in sentence
        assert "needs 5 and 3" in sentence

    @pytest.mark.parametrize("name", ["batch_size", "training_batch_size"])
    def test_batches_larger_than_the_training_set(self, refused, name):
        sentence = refused(SPEC.with_values(**{name: 61}))
        assert sentence.startswith(f"{name}: 61 is more than the 60 training examples")

    @pytest.mark.parametrize("answer", ["return False", "return 3", "raise KeyError('a')"])
    def test_a_rule_that_cannot_say_whether_it_runs(self, refused, plugin, answer):
        spec = SPEC.with_values(rules=["mine"], plugins=[plugin(unsupported=answer)])
        assert refused(spec).startswith("rule mine: unsupported ")

    def test_a_plugin_that_went_missing(self, refused, plugin):
        path = plugin()
        spec = SPEC.with_values(rules=["mine"], plugins=[path])
        os.unlink(path)
        assert refused(spec) == f"plugin: '{path}' is not a file"

    def test_an_unwritable_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"out: .*file/run' cannot be written"):
            run(SPEC, tmp_path / "file" / "run", executor=IDLE)


class TestEditedPlugin:
    def test_changes_keys_when_it_is_loaded_again(self, plugin):
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(scale=0.5)])
        before = {job.label: job.key for job in jobs(spec)}
        plugin(scale=0.6)
        after = {job.label: job.key for job in jobs(spec)}
        changed = {label for label in before if after[label] != before[label]}
        assert changed == {label for label in before if "mine" in label}

    def test_an_edited_plugin_is_measured_again(self, tmp_path, plugin):
        """An edit within a second, to a file of the same size."""
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(scale=0.5)], seeds=1)
        run(spec, tmp_path / "run")
        plugin(scale=0.6)
        computed = []
        found = run(spec, tmp_path / "run", on_done=lambda job, *_: computed.append(job.about))
        assert [unit["rule"] for unit in computed] == ["mine", "mine"]
        gain = found.frame.query("rule == 'mine' and quantity == 'gain' and projection == 'all'")
        assert gain["value"].tolist() == pytest.approx([0.6] * len(gain))

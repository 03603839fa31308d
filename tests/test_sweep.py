"""A sweep gives the same table however it is run, and records whatever goes wrong."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from plausibench.bench import cell, registry, sweep, workers
from plausibench.bench.cost import in_turn, passes
from plausibench.bench.spec import Spec
from plausibench.bench.store import Run
from plausibench.bench.sweep import key, run, units
from plausibench.bench.unit import Unit
from plausibench.kernels.errors import InputError

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


def lines(found, folder="results"):
    """The records as they stand in the files, in any order."""
    return sorted(
        line for file in (found.path / folder).iterdir() for line in file.read_bytes().splitlines()
    )


def assert_same(found, other):
    """The same tables and the same bytes."""
    assert found.frame.equals(other.frame)
    assert found.units.equals(other.units)
    assert lines(found) == lines(other)


class TestSameTable:
    def test_with_two_jobs(self, finished, tmp_path):
        assert_same(run(SPEC, tmp_path / "run", jobs=2), finished)

    def test_in_another_order_of_rules(self, finished, tmp_path):
        other = run(SPEC.with_values(rules=SPEC.rules[::-1]), tmp_path / "run").frame
        assert other["rule"].unique().tolist() == list(SPEC.rules[::-1])
        ordered = other.set_index("rule").loc[list(SPEC.rules)].reset_index()
        assert ordered[finished.frame.columns].equals(finished.frame)

    def test_with_a_rule_alone(self, finished, tmp_path):
        alone = run(SPEC.with_values(rules=["feedback_alignment"]), tmp_path / "run").frame
        among = finished.frame.query("rule == 'feedback_alignment'").reset_index(drop=True)
        assert alone.equals(among)

    def test_after_an_interruption(self, finished, tmp_path):
        resumed = run(SPEC, tmp_path / "run")
        file = resumed.path / "results" / "driver.jsonl"
        whole = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(whole[:4]) + whole[4][: len(whole[4]) // 2])
        done = []
        resumed = run(SPEC, resumed.path, on_done=lambda *arguments: done.append(arguments))
        assert_same(resumed, finished)
        assert resumed.provenance == finished.provenance
        assert [count for _, count, _ in done] == list(range(5, len(whole) + 1))
        assert {total for _, _, total in done} == {len(whole)}

    def test_finished_work_is_not_done_again(self, finished, monkeypatch):
        monkeypatch.setattr(workers, "measure_unit", lambda *_: pytest.fail("done again"))
        assert_same(run(SPEC, finished.path), finished)


class TestUnits:
    def test_every_combination_once(self):
        found = units(SPEC)
        assert len(found) == len(set(found)) == 3 * 2 * 2
        assert {unit.seed for unit in found} == {0, 1}
        assert {unit.protocol for unit in found} == {"shared", "own"}

    def test_seed_by_seed_and_the_longest_first(self):
        todo = units(SPEC)
        found = in_turn(todo, SPEC)
        assert sorted(found, key=todo.index) == todo
        assert [unit.seed for unit in found] == sorted(unit.seed for unit in found)
        for seed in (0, 1):
            costs = [passes(unit, SPEC) for unit in found if unit.seed == seed]
            assert costs == sorted(costs, reverse=True)
            assert costs[0] > costs[-1]

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
        original = cell.trajectory

        def trajectory(trainer, rule, network, objective, task, *rest):
            batches.append(next(task.batches(rest[2], seed=rest[3])))
            return original(trainer, rule, network, objective, task, *rest)

        monkeypatch.setattr(cell, "trajectory", trajectory)
        for unit in units(spec):
            assert cell.measure_unit(unit, spec)[0] == "done"
        first, *others = seen.values()
        assert len(others) == 5
        for other in others:
            for name, weights in first.checkpoint.network.parameters.items():
                np.testing.assert_array_equal(other.checkpoint.network.parameters[name], weights)
            np.testing.assert_array_equal(other.batch.keys, first.batch.keys)
            np.testing.assert_array_equal(other.batch.inputs, first.batch.inputs)
        for batch in batches:
            np.testing.assert_array_equal(batch.keys, batches[0].keys)

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
        assert set(drawn["method"]) == {"sampled"}
        assert (drawn["samples"] > 0).all()

    def test_seconds_are_kept_apart(self, finished):
        assert "seconds" not in finished.frame.columns
        timed = finished.timings.groupby(["rule", "seed", "protocol"])["step"].agg(list)
        assert len(timed) == len(finished.units)
        assert all(steps == [0, 5] for steps in timed)
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
        assert found.units["status"].tolist() == ["diverged", "diverged"]
        assert found.units["reason"].str.contains("not finite").all()
        assert set(found.frame["step"]) == {0, 1}
        assert set(found.frame["kind"]) >= {"conditional", "progress"}
        assert found.frame.query("step == 0 and quantity == 'train_loss'")["value"].notna().all()

    def test_divergence_is_a_result_that_is_kept(self, tmp_path, monkeypatch):
        spec = SPEC.with_values(
            architectures=["linear"], rules=["backprop"], learning_rate=1e6, checkpoints=[200]
        )
        found = run(spec, tmp_path / "run")
        assert set(found.units["status"]) == {"diverged"}
        monkeypatch.setattr(workers, "measure_unit", lambda *_: pytest.fail("done again"))
        assert_same(run(spec, tmp_path / "run"), found)

    def test_a_rule_that_raises_fails_alone_and_is_tried_again(self, tmp_path, plugin):
        trouble = tmp_path / "trouble"
        trouble.touch()
        body = f"import os; assert not os.path.exists({str(trouble)!r}), 'no\\nluck'"
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(body)], seeds=1)
        found = run(spec, tmp_path / "run")
        assert found.units["status"].tolist() == ["done", "done", "failed", "failed"]
        assert set(found.units["reason"]) == {"", "AssertionError: no luck"}
        computed = []
        trouble.unlink()
        found = run(spec, tmp_path / "run", on_done=lambda r, *_: computed.append(r["unit"]))
        assert found.units["status"].tolist() == ["done"] * 4
        assert [unit["rule"] for unit in computed] == ["mine", "mine"]
        gain = found.frame.query("rule == 'mine' and quantity == 'gain' and projection == 'all'")
        assert gain["value"].tolist() == pytest.approx([0.5] * len(gain))

    def test_a_process_that_dies_is_a_failed_unit_alone(self, tmp_path, plugin, finished):
        """Such as one that takes too much memory."""
        path = plugin("import os; os._exit(1)")
        spec = SPEC.with_values(
            rules=["mine", "backprop"], plugins=[path], protocols=["own"], seeds=1
        )
        found = run(spec, tmp_path / "run", jobs=2)
        assert found.units["status"].tolist() == ["failed", "done"]
        assert "process died" in found.units["reason"][0]
        same = finished.frame.query("rule == 'backprop' and protocol == 'own' and seed == 0")
        assert found.frame.equals(same.reset_index(drop=True))

    def test_a_rule_that_cannot_run_says_why(self, tmp_path):
        spec = SPEC.with_values(rules=["backprop", "dendritic_error"], seeds=1)
        found = run(spec, tmp_path / "run")
        units = found.units.query("rule == 'dendritic_error'")
        assert set(units["status"]) == {"unsupported"}
        assert units["reason"].str.contains("apical dendrites").all()
        assert "dendritic_error" not in set(found.frame["rule"])

    def test_estimates_of_the_wrong_shape_fail_with_their_shape(self, tmp_path, plugin):
        path = plugin("return {p.name: Dense(1.0) for p in network.projections}")
        spec = SPEC.with_values(rules=["mine"], plugins=[path], seeds=1, protocols=["own"])
        (reason,) = run(spec, tmp_path / "run").units["reason"]
        assert "Mine.estimate: layer1.weights has shape ()" in reason


def test_a_worker_that_ends_while_it_starts_is_replaced(monkeypatch, tmp_path, finished):
    start, calls = workers._start, []

    def flaky(pool, processes):
        calls.append(processes)
        if len(calls) == 1:
            raise workers.CannotStart("ended")
        start(pool, processes)

    monkeypatch.setattr(workers, "_start", flaky)
    found = run(SPEC, tmp_path / "run", jobs=2)
    assert len(calls) == 2
    assert_same(finished, found)


def test_workers_that_never_start_are_told(monkeypatch, tmp_path):
    def never(pool, processes):
        raise workers.CannotStart("jobs: a worker process cannot start")

    monkeypatch.setattr(workers, "_start", never)
    with pytest.raises(InputError, match="a worker process cannot start"):
        run(SPEC, tmp_path / "run", jobs=2)


class TestRefusals:
    """In one sentence, before anything is computed or written."""

    @pytest.fixture
    def refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            workers, "measure_unit", lambda *_: pytest.fail("something was computed")
        )

        def refusal(spec, **options):
            with pytest.raises(InputError) as caught:
                run(spec, tmp_path / "out" / "run", **options)
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

    @pytest.mark.parametrize("jobs", [0, -1, 1.5, "two"])
    def test_jobs(self, refused, jobs):
        assert refused(SPEC, jobs=jobs).startswith("jobs: ")

    @pytest.mark.parametrize("answer", ["return False", "return 3", "raise KeyError('a')"])
    def test_a_rule_that_cannot_say_whether_it_runs(self, refused, plugin, answer):
        spec = SPEC.with_values(rules=["mine"], plugins=[plugin(unsupported=answer)])
        assert refused(spec).startswith("rule mine: unsupported ")

    def test_a_plugin_that_went_missing(self, refused, plugin):
        path = plugin()
        spec = SPEC.with_values(rules=["mine"], plugins=[path])
        os.unlink(path)
        assert refused(spec) == f"plugin: '{path}' is not a file"

    def test_an_unwritable_folder(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            workers, "measure_unit", lambda *_: pytest.fail("something was computed")
        )
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"out: .*file/run' cannot be written"):
            run(SPEC, tmp_path / "file" / "run")

    def test_a_folder_with_another_specification(self, finished, monkeypatch):
        monkeypatch.setattr(
            workers, "measure_unit", lambda *_: pytest.fail("something was computed")
        )
        before = lines(finished)
        with pytest.raises(InputError, match="another specification"):
            run(SPEC.with_values(samples=65), finished.path)
        assert lines(finished) == before


class TestKey:
    def test_depends_on_what_a_result_depends_on(self):
        unit = units(SPEC)[0]
        changed = {
            "hidden": [7],
            "checkpoints": [0],
            "samples": 65,
            "marginal_samples": 21,
            "averaging_samples": 17,
            "batch_size": 9,
            "training_batch_size": 9,
            "optimiser": "adam",
            "learning_rate": 0.2,
        }
        keys = [key(unit, SPEC.with_values(**{name: value})) for name, value in changed.items()]
        assert len({key(unit, SPEC), *keys}) == len(changed) + 1

    def test_does_not_depend_on_what_else_is_run(self):
        unit = units(SPEC)[0]
        others = {
            "rules": ["backprop"],
            "seeds": 7,
            "protocols": ["shared"],
            "pairing": "all",
            "learning_rates": {"weight_perturbation": 0.5},
        }
        for name, value in others.items():
            assert key(unit, SPEC.with_values(**{name: value})) == key(unit, SPEC), name

    def test_on_shared_weights_depends_on_how_backpropagation_trains(self):
        spec = SPEC.with_values(learning_rates={"backprop": 0.5})
        for unit in units(SPEC):
            other = key(unit, spec) != key(unit, SPEC)
            assert other == (unit.protocol == "shared" or unit.rule == "backprop")

    def test_differs_between_units(self):
        listed = units(SPEC)
        assert len({key(unit, SPEC) for unit in listed}) == len(listed)

    def test_changes_when_a_plugin_is_edited(self, plugin):
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(scale=0.5)])
        before = {unit: key(unit, spec) for unit in units(spec)}
        plugin(scale=0.6)
        # What is loaded is what counts, until the file is loaded again.
        assert {unit: key(unit, spec) for unit in before} == before
        after = {unit: key(unit, spec) for unit in units(spec)}
        changed = {unit.rule for unit in before if after[unit] != before[unit]}
        assert changed == {"mine"}

    def test_an_edited_plugin_is_measured_again(self, tmp_path, plugin):
        """An edit within a second, to a file of the same size."""
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[plugin(scale=0.5)], seeds=1)
        run(spec, tmp_path / "run")
        plugin(scale=0.6)
        computed = []
        found = run(spec, tmp_path / "run", on_done=lambda r, *_: computed.append(r["unit"]))
        assert [unit["rule"] for unit in computed] == ["mine", "mine"]
        gain = found.frame.query("rule == 'mine' and quantity == 'gain' and projection == 'all'")
        assert gain["value"].tolist() == pytest.approx([0.6] * len(gain))

    def test_depends_on_the_sources_of_engine_component_and_trainer(self, monkeypatch):
        shared = Unit(SPEC.tasks[0], "mlp", "mean_squared_error", "feedback_alignment", 0, "shared")
        before = key(shared, SPEC)
        digest = registry.digest
        for name in ("TeacherStudent", "Mlp", "MeanSquaredError", "FeedbackAlignment", "Backprop"):
            with monkeypatch.context() as patch:
                patch.setattr(
                    registry, "digest", lambda c, n=name: "new" if c.__name__ == n else digest(c)
                )
                assert key(shared, SPEC) != before, name
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "engine_digest", lambda: "new")
            assert key(shared, SPEC) != before
        changed = {**sweep.libraries(), "numpy": "0.1"}
        monkeypatch.setattr(sweep, "libraries", lambda: changed)
        assert key(shared, SPEC) != before


class TestSpecification:
    def test_round_trips_exactly_and_is_complete(self, finished):
        file = finished.path / "spec.toml"
        assert Spec.read(file) == SPEC == finished.spec
        written = tomllib.loads(file.read_text())
        assert set(written) == {field.name for field in fields(Spec)}

    def test_reproduces_the_table(self, finished, tmp_path):
        assert_same(run(Spec.read(finished.path / "spec.toml"), tmp_path / "run"), finished)

    def test_provenance_says_where_results_come_from(self, finished):
        found = finished.provenance
        assert found["command"] == sys.argv
        assert set(found["libraries"]) >= {"plausibench", "numpy", "numba"}
        assert len(found["engine"]) == 64
        assert found["cores"] >= 1


DRIVER = """
import sys
from pathlib import Path
from plausibench.bench.spec import Spec
from plausibench.bench.sweep import run

if __name__ == "__main__":
    def on_done(record, done, total):
        print(done, flush=True)
    run(Spec.read(Path(sys.argv[1])), sys.argv[2], jobs=2, on_done=on_done)
"""


def descendants(pid):
    """Processes below a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
class TestEndedDriver:
    """Workers are held up in a plug-in rule when the driver is ended."""

    @pytest.fixture
    def started(self, tmp_path, plugin):
        """A driver with two workers at work; its specification, process and descendants."""
        hold = tmp_path / "hold"
        hold.touch()
        path = plugin(
            f"import os, time\n        while os.path.exists({str(hold)!r}): time.sleep(0.02)"
        )
        spec = SPEC.with_values(rules=["backprop", "mine"], plugins=[path], protocols=["own"])
        (tmp_path / "driver.py").write_text(DRIVER)
        spec.write(tmp_path / "spec.toml")
        arguments = [sys.executable, "driver.py", "spec.toml", "run"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=tmp_path, start_new_session=True, **pipes) as driver:
            assert [driver.stdout.readline() for _ in range(2)] == [b"1\n", b"2\n"]
            children = descendants(driver.pid)
            assert len(children) >= 2
            yield spec, driver, children
            for process in filter(alive, [driver.pid, *children]):
                os.kill(process, signal.SIGKILL)

    def gone(self, processes, seconds=10.0):
        """Whether processes end in time."""
        end = time.monotonic() + seconds
        while any(map(alive, processes)) and time.monotonic() < end:
            time.sleep(0.02)
        return not any(map(alive, processes))

    def test_killed_takes_its_workers_along_and_loses_no_record(self, started, tmp_path):
        spec, driver, children = started
        os.kill(driver.pid, signal.SIGKILL)
        assert self.gone([driver.pid, *children])
        assert driver.stdout.read() == b""
        kept = Run.open(tmp_path / "run").records()
        assert [record["unit"]["rule"] for record in kept] == ["backprop", "backprop"]
        (tmp_path / "hold").unlink()
        computed = []
        resumed = run(spec, tmp_path / "run", on_done=lambda r, *_: computed.append(r["unit"]))
        assert [unit["rule"] for unit in computed] == ["mine", "mine"]
        assert_same(resumed, run(spec, tmp_path / "other"))

    def test_interrupted_ends_with_its_workers(self, started, tmp_path):
        """As by Ctrl-C, which reaches the workers too."""
        _, driver, children = started
        os.killpg(driver.pid, signal.SIGINT)
        assert self.gone([driver.pid, *children])
        assert driver.wait() != 0
        said = driver.stderr.read().decode()
        assert said.count("Traceback") == said.count("KeyboardInterrupt") == 1
        assert len(Run.open(tmp_path / "run").records()) == 2


def test_a_script_without_main_guard_is_told(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from plausibench.bench.spec import Spec
        from plausibench.bench.sweep import run
        run(Spec.read(Path("spec.toml")), "run", jobs=2)
    """)
    (tmp_path / "script.py").write_text(script)
    SPEC.write(tmp_path / "spec.toml")
    arguments = [sys.executable, "script.py"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "under if __name__ == '__main__'" in done.stderr.splitlines()[-1]


def test_records_are_canonical_json(finished):
    for line in lines(finished):
        parsed = json.loads(line)
        text = json.dumps(parsed, sort_keys=True, separators=(",", ":"), allow_nan=False)
        assert text.encode() == line

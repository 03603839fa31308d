"""The benchmark as a study: its records are the same however it is run, and what keys depend on."""

import pytest

from plausibench.bench.components import registry
from plausibench.bench.running.executor import Processes
from plausibench.bench.running.shards import Shard
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark import cell
from plausibench.bench.studies.benchmark import study as benchmark
from plausibench.bench.studies.benchmark import units as sweep
from plausibench.bench.studies.benchmark.spec import default_spec
from plausibench.bench.studies.benchmark.study import BENCHMARK, COLUMNS, frame_of, jobs
from sweeps import TINY, run
from toy_jobs import files


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run(TINY, tmp_path_factory.mktemp("tiny") / "run")


def test_columns_are_known_before_there_is_a_value(tiny):
    whole = frame_of(tiny)
    assert list(whole.columns) == list(COLUMNS)
    assert whole.equals(tiny.frame)
    for key in tiny.due:
        tiny.file(key).rename(tiny.file(f"_{key}"))
    empty = frame_of(Run.open(tiny.path))
    for key in tiny.due:
        tiny.file(f"_{key}").rename(tiny.file(key))
    assert list(empty.columns) == list(COLUMNS)
    assert len(empty) == 0


def test_shares_and_processes_have_the_same_records(tiny, tmp_path):
    for index in (3, 1, 2):
        found = run(TINY, tmp_path / "run", share=Shard(index, 3))
    assert files(found) == files(tiny)
    assert files(run(TINY, tmp_path / "two", executor=Processes(2))) == files(tiny)


def test_a_component_that_raises_and_remarks_are_reasons(tmp_path, monkeypatch):
    def broken(one):
        if one.checkpoint.step > 0 and one.unit.seed == 1:
            raise ValueError("no\nluck")
        return []

    kinds = {"training": cell.KINDS["training"], "broken": broken}
    monkeypatch.setattr(cell, "KINDS", kinds)
    monkeypatch.setattr(cell, "_remarks", lambda one: (f"unfit (step {one.checkpoint.step})",))
    found = run(TINY.with_values(nulls=False), tmp_path / "found")
    assert set(found.jobs["reason"]) == {"ValueError: no luck", "unfit (step 0); unfit (step 5)"}


def test_options_come_back(tiny):
    assert BENCHMARK.choose(Run.open(tiny.path).options) == TINY


class TestKeys:
    def keys(self, **values):
        spec = TINY.with_values(**{"nulls": False, **values})
        return {one.label: one.key for one in jobs(spec)}

    def test_do_not_depend_on_what_stands_beside(self):
        every, alone = self.keys(), self.keys(rules=["feedback_alignment"], seeds=1)
        assert set(alone.items()) < set(every.items())

    def test_do_not_depend_on_how_a_value_is_given(self):
        assert self.keys() == self.keys(
            hidden_of={"mlp": (6,)},
            hidden=(7,),
            samples=65,
            samples_of=dict.fromkeys(TINY.rules, 64),
            learning_rate=0.2,
            learning_rates=dict.fromkeys(TINY.rules, 0.1),
        )

    @pytest.mark.parametrize(
        "values",
        [
            {"samples": 65},
            {"checkpoints": (0, 6)},
            {"hidden": (7,)},
            {"learning_rate": 0.2},
            {"optimiser": "adam"},
            {"batch_size": 9},
            {"training_batch_size": 9},
            {"averaging_samples": 17},
            {"precision": 0.5},
            {"weight_decay": 0.1},
            {"momentum": 0.5},
            {"layer_rates": 0.5},
        ],
    )
    def test_depend_on_every_setting(self, values):
        before, after = self.keys(), self.keys(**values)
        assert before.keys() == after.keys()
        assert not set(before.values()) & set(after.values())

    def test_depend_on_the_rate_of_their_trainer_only(self):
        before = self.keys()
        after = self.keys(learning_rates={"weight_perturbation": 0.01})
        changed = {label for label in before if before[label] != after[label]}
        assert changed == {label for label in before if "weight" in label and "own" in label}
        assert self.keys(shared_learning_rate=0.1) == before

    def test_depend_on_the_engine_and_on_components(self, monkeypatch):
        before = self.keys()
        digest = registry.digest

        def edited(component):
            return "edited" if "feedback" in component.__module__ else digest(component)

        with monkeypatch.context() as patch:
            patch.setattr(registry, "digest", edited)
            after = self.keys()
        changed = {label for label in before if before[label] != after[label]}
        assert changed == {label for label in before if "feedback_alignment" in label}
        monkeypatch.setattr(benchmark, "digest", lambda *modules: "edited")
        assert not set(before.values()) & set(self.keys().values())


def test_the_default_benchmark_has_its_jobs():
    """On two tasks: readout only beside three networks and objectives, linear beside two."""
    spec = default_spec()
    assert len(jobs(spec)) == len(sweep.units(spec)) + 2 * 5 * spec.seeds
    assert len(jobs(spec.with_values(nulls=False))) == len(sweep.units(spec))

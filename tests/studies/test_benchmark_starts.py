"""Everything starts by its name: rules, architectures on tasks, and cells that fail alone."""

from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.cli.planning import read_spec
from plausibench.bench.components import registry
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.report import curves
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark import starts
from plausibench.bench.studies.benchmark import units as sweep
from plausibench.bench.studies.benchmark.spec import Spec, default_spec
from plausibench.kernels.errors import InputError

RULES = list(registry.entries("rule"))
ARCHITECTURES = list(registry.entries("architecture"))
FILES = {"antolik2016", "arrays", "cifar10", "cifar100", "fashion_mnist", "mnist"}
"""Tasks of files that do not ship."""
TASKS = [name for name in registry.entries("task") if name not in FILES]
IMAGES = {"digits", "gratings", "mnist_1d", "mnist_5k", "natural_scenes", "simulated_neurons"}
SEEN = {"convolutional", "locally_connected", "what_where"}
"""Architectures that look at images."""
TINY = (
    *("--seeds", "1", "--samples", "20", "--averaging-samples", "8", "--marginal-samples", "20"),
    *("--batch-size", "4", "--training-batch-size", "4", "--checkpoints", "1", "--jobs", "1"),
    *("--protocols", "own", "--no-pictures", "--no-nulls"),
)
FIRST = {str(starts.start([rule])): rule for rule in reversed(RULES)}.values()
"""A rule for each place at which rules start, whichever it is."""
BY_SEED = """
from dataclasses import dataclass
from typing import ClassVar
from plausibench.architectures.mlp import Mlp

@dataclass(frozen=True)
class Moody(Mlp):
    summary: ClassVar[str] = "cannot be built from odd seeds"

    def build(self, seed=0):
        if seed % 2:
            raise ValueError("odd seed")
        return super().build(seed)

@dataclass(frozen=True)
class Broken(Mlp):
    summary: ClassVar[str] = "cannot be built at all"

    def build(self, seed=0):
        raise ValueError("always")
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working folder, and a registry without the plug-ins of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


def call(*arguments, code=0):
    """Result of a command that ends with ``code``."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def planned(**given):
    """Specification and units of what is chosen, as the command line completes it."""
    spec = read_spec(None, None, given)
    return spec, sweep.units(spec)


class TestRules:
    @pytest.mark.parametrize("rule", RULES)
    def test_are_planned_by_their_name(self, rule):
        spec, units = planned(rules=(rule,))
        assert {unit.rule for unit in units} == {rule}
        assert {unit.reason for unit in units} == {None}
        assert f" {rule} " in call("run", "--rules", rule, "--seeds", 1, "--dry-run").stdout
        assert Spec.of(spec.as_dict()) == spec

    @pytest.mark.parametrize(
        "rule",
        [
            pytest.param(rule, marks=() if rule in FIRST else pytest.mark.acceptance)
            for rule in RULES
        ],
    )
    def test_run_by_their_name(self, rule, monkeypatch):
        no_picture = SimpleNamespace(save=lambda *_: None)
        monkeypatch.setattr(curves, "learning_curves", lambda _: no_picture)
        call("run", "--rules", rule, *TINY, "--out", "run")
        call("train", rule, "--steps", 1, "--batch-size", 4, "--out", "curves")
        assert rule in Path("curves/learning_curves.csv").read_text(encoding="utf-8")

    def test_in_time_start_in_time(self):
        for rule in ("e_prop", "uoro", "real_time_recurrent_learning"):
            place = starts.start([rule])
            assert (place.task, place.architecture) == ("row_by_row", "rate_rnn")

    def test_have_a_task_each_where_they_need_different_ones(self):
        spec, units = planned(rules=("e_prop", "backprop", "straight_through"))
        places = {(unit.rule, unit.task, unit.architecture) for unit in units}
        assert places == {
            ("e_prop", "row_by_row", "rate_rnn"),
            *(("backprop", task, "mlp") for task in ("digits", "mnist_1d")),
            *(("straight_through", task, "stochastic_mlp") for task in ("digits", "mnist_1d")),
        }
        assert spec.hidden_for("stochastic_mlp") == (10,)
        assert spec.hidden_for("mlp") == (32, 32)

    def test_of_an_enumerated_gradient_start_with_few_units(self):
        for rule in ("straight_through", "regression_discontinuity"):
            assert sum(starts.start([rule]).layers[1:-1]) <= 12

    def test_of_regressions_start_with_the_squared_error(self):
        _, units = planned(rules=("backprop",), tasks=("linear_regression",))
        assert {unit.objective for unit in units} == {"mean_squared_error"}


class TestTheDefaultBenchmark:
    def test_is_what_it_was(self):
        assert read_spec(None, None, {}) == default_spec()
        spec = default_spec()
        assert spec.tasks == ("digits", "mnist_1d")
        assert spec.architectures == ("mlp", "dendritic")
        assert spec.objectives == ("cross_entropy", "mean_squared_error")
        assert spec.hidden == (32, 32)
        assert spec.hidden_of == spec.tasks_of == {}

    def test_is_what_it_was_with_other_numbers(self):
        given = {"seeds": 2, "samples": 100, "rules": ("backprop", "brainprop", "dendritic_error")}
        asked = default_spec().with_values(**given, samples_of={})
        assert read_spec(None, None, given) == asked

    @pytest.mark.parametrize("chosen", [{"architectures": ("hopfield",)}, {"tasks": ("yang2019",)}])
    def test_leaves_out_rules_that_do_not_run_on_what_was_chosen(self, chosen):
        spec, units = planned(**chosen)
        assert {unit.reason for unit in units} == {None}
        assert set(spec.rules) < set(default_spec().rules)


class TestArchitectures:
    @pytest.mark.parametrize("task", TASKS)
    def test_are_planned_by_their_name_on_every_task_that_can_feed_them(self, task):
        made = select("task", task).make()
        for architecture in ARCHITECTURES:
            in_time = made.steps is None or architecture.endswith(("rnn", "memory_units"))
            image = task in IMAGES or architecture not in SEEN
            cued = made.inputs_size > 4 or architecture != "attention_gated_network"
            given = {"architectures": (architecture,), "tasks": (task,), "rules": ("backprop",)}
            # Spikes of neurons with escape noise are enumerated, in trials of few steps alone.
            counted = made.steps is None or architecture != "escape_rnn"
            if in_time and image and cued:
                _, units = planned(**given)
                reasons = {unit.reason for unit in units}
                assert reasons == {None} if counted else all("spikes" in r for r in reasons)
            else:
                with pytest.raises(InputError, match=r"^architecture.* (images|time|inputs)"):
                    planned(**given)

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_run_by_their_name(self, architecture):
        call("run", "--rules", "backprop", "--architectures", architecture, *TINY, "--out", "run")

    def test_look_at_the_image_of_the_task(self):
        task = select("task", "gratings[pixels=12]").make()
        for architecture in SEEN:
            network = build_network(architecture, task, (), seed=0)
            assert network.inputs == 144
        fields = network.projections[0].synapse.windows
        assert (fields.height, fields.width, fields.channels) == (12, 12, 1)

    def test_look_at_colour_images_of_a_file(self):
        draw = np.random.default_rng(0)
        arrays = {
            f"{key}_{part}": value
            for part, count in (("train", 40), ("test", 20))
            for key, value in (
                ("x", draw.integers(0, 256, (count, 6, 10, 3), dtype=np.uint8)),
                ("y", np.arange(count) % 10),
            )
        }
        Path("a,b").mkdir()
        np.savez("a,b/colours.npz", **arrays)
        task = select("task", "mnist[path=a,b/colours.npz]").make()
        assert task.image == (6, 10, 3)
        assert build_network("convolutional", task, (), seed=0).inputs == prod(task.image)

    def test_say_which_tasks_have_images(self):
        with pytest.raises(
            InputError, match=r"those with images are antolik2016, arrays, cifar10, "
        ):
            planned(architectures=("convolutional",), tasks=("linear_regression",))

    @pytest.mark.parametrize(
        ("architecture", "hidden"),
        [
            ("mode_rnn", "30"),
            ("mode_rnn[modes=2]", "30"),
            ("spiking_mode_rnn", "30"),
            ("spatial_rnn[grid=4-8]", "32"),
            ("mode_rnn[modes=40]", "50"),
        ],
    )
    def test_follow_hidden_layers(self, architecture, hidden):
        given = {"architectures": (architecture,), "tasks": ("delayed_match",), "hidden": hidden}
        spec, _ = planned(rules=("backprop",), **given)
        task = select("task", "delayed_match").make()
        network = build_network(architecture, task, spec.hidden_for(architecture), seed=0)
        assert network.hidden[0].size == int(hidden)

    def test_have_as_many_neurons_as_their_options_ask_for(self):
        for architecture, layers in (
            ("spatial_rnn[grid=3-5]", (15,)),
            ("spatial_rnn", (36,)),
            ("mode_rnn[modes=40]", (40, 40)),
            ("spiking_rnn", (64,)),
        ):
            spec, _ = planned(architectures=(architecture,), rules=("backprop",))
            assert spec.hidden_for(architecture) == layers

    def test_keep_the_hidden_layers_that_were_chosen_for_them(self):
        given = {"architectures": ("spiking_mlp[threshold=1]", "hopfield"), "rules": ("backprop",)}
        spec, _ = planned(**given, hidden_of={"spiking_mlp": (6,)})
        assert spec.hidden_for("spiking_mlp[threshold=1]") == (6,)
        assert spec.hidden_for("hopfield") == (32, 32)

    def test_whose_options_fit_some_task_are_not_refused_before_one_is_known(self):
        assert str(select("architecture", "convolutional[kernel=11]")).endswith("[kernel=11-11]")
        assert select("architecture", "attention_gated_network[cue=70]").options == (("cue", 70),)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ("--rules", "e_prop", "--architectures", "mlp"),
                "it runs on rate_rnn (64-32-32-10) on digits with cross_entropy",
            ),
            (
                ("--rules", "brainprop", "--objectives", "cross_entropy"),
                "it runs on mlp (64-32-32-10) on digits with mean_squared_error",
            ),
            (
                ("--rules", "hebb", "--tasks", "delayed_match"),
                "hebb runs on no architecture that can learn delayed_match; it runs on mlp",
            ),
            (
                ("--rules", "straight_through", "--hidden", "32-32"),
                "use fewer hidden units); it runs on stochastic_mlp (64-10-10) on digits",
            ),
            (
                ("--rules", "augment", "--tasks", "linear_regression"),
                "needs integer classes as targets; those of task linear_regression are numbers",
            ),
        ],
    )
    def test_name_what_would_do(self, arguments, said):
        result = call("run", *arguments, "--dry-run", code=2)
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


def test_each_task_has_an_objective_of_its_own():
    """The first that fits its targets: numbers below 0 are no probabilities."""
    both = ("--tasks", "digits", "--tasks", "linear_regression")
    lines = call("run", "--rules", "backprop", *both, "--dry-run").stdout.splitlines()
    found = {tuple(line.split()[:3:2]) for line in lines if " mlp " in line}
    assert found == {
        ("digits", "cross_entropy"),
        ("linear_regression", "mean_squared_error"),
    }


class TestOneCellNeverStopsTheOthers:
    def test_that_diverges_at_its_first_weights(self):
        wild = "rate_rnn[activation=relu,leak=1,recurrence=100]"
        call(
            *("run", "--tasks", "sine_generation", "--pairing", "all", "--architectures", wild),
            *("--architectures", "rate_rnn", "--rules", "backprop", "--hidden", 8),
            *("--objectives", "mean_squared_error", *TINY, "--out", "run"),
        )
        jobs = Run.open("run").jobs.query("protocol != 'null'")
        status = dict(zip(jobs["architecture"], jobs["status"], strict=True))
        assert status == {str(select("architecture", wild)): "diverged", "rate_rnn": "done"}

    def test_that_cannot_be_built_from_its_seed(self):
        Path("by_seed.py").write_text(BY_SEED)
        call(
            *("run", "--rules", "backprop", "--architectures", "moody", *TINY[2:], "--seed", 1),
            *("--seeds", 2, "--plugin", "by_seed.py", "--out", "run"),
            code=1,
        )
        jobs = Run.open("run").jobs.query("protocol != 'null'")
        status = dict(zip(jobs["seed"], jobs["status"], strict=True))
        assert status == {1: "failed", 2: "done"}

    def test_that_cannot_be_built_at_all(self):
        Path("by_seed.py").write_text(BY_SEED)
        given = ("--rules", "backprop", "--plugin", "by_seed.py", "--architectures", "broken")
        alone = call("run", *given, *TINY, "--out", "alone", code=2)
        assert "architecture broken: building it raises ValueError: always" in alone.stderr
        call("run", *given, "--architectures", "mlp", "--pairing", "all", *TINY, "--out", "run")

    def test_in_training(self):
        Path("by_seed.py").write_text(BY_SEED)
        call("run", "--rules", "backprop", "--plugin", "by_seed.py", "--dry-run")
        result = call(
            *("train", "backprop", "--architecture", "moody", "--seed", 1, "--steps", 1),
            *("--plugin", "by_seed.py", "--out", "curves"),
            code=1,
        )
        assert result.stderr == (
            "backprop failed: architecture moody: building it raises ValueError: odd seed\n"
        )


def test_show_says_where_a_component_starts():
    assert "rate_rnn (8-32-32-10) on row_by_row with cross_entropy" in call("show", "e_prop").stdout
    shown = call("show", "what_where").stdout
    assert "what_where (64-512-1024-640-10) on digits with cross_entropy, by backprop" in shown
    assert "starts" not in call("show", "mnist").stdout  # which needs a path

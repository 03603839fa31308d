"""Three components and inductive biases, in small versions."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.experiments import inductive_biases, three_components
from plausibench.bench.experiments.altered import Altered, answered
from plausibench.bench.experiments.dictionary import learned, recovered
from plausibench.bench.experiments.parts import collect
from plausibench.bench.experiments.worlds import Cued, Field, Movie, Sources
from plausibench.bench.report.inductive_biases import biases
from plausibench.bench.unit import build_network
from plausibench.kernels.errors import InputError

DOCS = Path(__file__).parent.parent / "docs" / "experiments.md"
OWN = ("three_components", "inductive_biases")


# Three components


def test_variance_falls_into_the_effects_that_were_put_in():
    o, a, r = (
        np.array(each)[index]
        for each, index in (
            ((-1.0, 1.0), np.s_[:, None, None]),
            ((-2.0, 0.0, 2.0), np.s_[None, :, None]),
            ((-3.0, 3.0), np.s_[None, None, :]),
        )
    )
    block = np.array([0.5, -0.25, 0.0])
    scores = (o + a + r + 0.5 * o * r)[..., None] + block
    found = three_components.decompose(scores)
    expected = {"O": 1, "A": 8 / 3, "R": 9, "OR": 2.25, "OA": 0, "AR": 0, "OAR": 0, "noise": 0}
    for term, value in expected.items():
        assert found[term] == pytest.approx(value, abs=1e-12), term
    assert found["total"] == pytest.approx(scores.mean(axis=3).var(), rel=1e-12)


def test_noise_of_seeds_is_no_effect():
    """Mean over 200 repetitions within 4 standard errors: a false alarm in 2000 runs."""
    draw = np.random.default_rng(0)
    each = [
        three_components.decompose(draw.standard_normal((3, 2, 4, 3)) + draw.standard_normal(3))
        for _ in range(200)
    ]
    for term in (*three_components.TERMS, "total"):
        values = np.array([found[term] for found in each])
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(200), term
    noise = np.array([found["noise"] for found in each])
    assert abs(noise.mean() - 1) < 4 * noise.std() / np.sqrt(200)


def test_swapping_a_component_changes_nothing_else():
    plain = Altered(bench.make("task", "digits"), indicators=True)
    dealt = Altered(bench.make("task", "digits"), indicators=True, shuffled=True)
    one, two = (next(task.batches(16, seed=3)) for task in (plain, dealt))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert (one.targets != two.targets).any()
    np.testing.assert_array_equal(plain.test.targets.sum(axis=0), dealt.test.targets.sum(axis=0))
    for architecture in three_components.ARCHITECTURES:
        first, second = (build_network(architecture, plain, (32, 32), 5) for _ in range(2))
        assert all((first.parameters[n] == second.parameters[n]).all() for n in first.parameters)
    assert answered(one.targets, one) == 1.0


def test_altered_tasks_keep_what_they_do_not_alter():
    task = bench.make("task", "digits")
    permuted = Altered(task, permuted=True)
    np.testing.assert_array_equal(
        np.sort(permuted.test.inputs, axis=1), np.sort(task.test.inputs, axis=1)
    )
    assert (permuted.test.inputs != task.test.inputs).any()
    held = Altered(task, held=True)
    assert held.train.size + held.test.size == task.train.size
    assert not set(held.train.keys.tolist()) & set(held.test.keys.tolist())
    with pytest.raises(InputError, match="held"):
        Altered(task, held=1)


def test_components_of_a_small_grid():
    rows = pd.DataFrame(
        collect(
            three_components.parts(
                objectives=("cross_entropy", "mean_squared_error"),
                architectures=("mlp", "residual"),
                rules=("backprop", "feedback_alignment"),
                checkpoints=(12,),
                seeds=3,
            )
        )
    )
    assert len(rows) == 2 * 2 * 2 * 2 * 3
    assert rows["accuracy"].between(0, 1).all()
    assert not rows["diverged"].any()
    tables, pictures = three_components.report(rows)
    assert len(tables["cells"].cells) == 8
    assert pictures[0].name == "three_components"
    assert "0 of 24 networks diverged" in tables["components"].notes[-1]
    found = three_components.score(
        three_components.Combination("mean_squared_error", "residual", "backprop"),
        *(Altered(bench.make("task", "digits"), indicators=True), 12, 1e200, 0),
    )
    assert found == (0.1, True)
    with pytest.raises(InputError, match="every combination"):
        three_components.parts(rules=("backprop", "equilibrium_propagation"))
    with pytest.raises(InputError, match="at least two"):
        three_components.parts(rules=("backprop",))


# Inductive biases


def test_worlds_without_structure_have_the_same_parts():
    films = [Movie(examples=60, null=null).train.inputs for null in (False, True)]
    np.testing.assert_array_equal(*(np.sort(film, axis=0) for film in films))
    assert (films[0] != films[1]).any()
    fields = [Field(examples=50, null=null).test.inputs for null in (False, True)]
    np.testing.assert_array_equal(*(np.sort(field, axis=1) for field in fields))
    causes = [Sources(examples=4000, null=null).strengths("train") for null in (False, True)]
    assert causes[0].var() == pytest.approx(causes[1].var(), rel=0.05)
    assert (causes[0] == 0).mean() == pytest.approx(0.94, abs=0.01)


def test_digits_are_tested_where_none_was_in_training():
    world = Field(examples=200)
    train, test = (b.inputs.reshape(-1, 16, 16).any(axis=(0, 1)) for b in (world.train, world.test))
    assert train.any()
    assert not train[11:].any()
    assert test.any()
    assert not test[:5].any()


def test_a_cue_says_which_channel_counts_or_nothing():
    for null, least, most in ((False, 0.99, 1.0), (True, 0.0, 0.65)):
        test = Cued(examples=50, null=null).test
        patterns = Cued(examples=3000, null=False)
        seen, cue = test.inputs[:, :24].reshape(-1, 4, 6), test.inputs[:, 24:].argmax(axis=1)
        train = patterns.train.inputs
        asked = train[:, 24:].argmax(axis=1)
        centres = np.array(
            [
                [
                    train[(asked == c) & (patterns.train.targets == k), 6 * c : 6 * c + 6].mean(0)
                    for k in range(3)
                ]
                for c in range(4)
            ]
        )
        chosen = seen[np.arange(len(seen)), cue]
        apart = ((chosen[:, None] - centres[cue]) ** 2).sum(axis=-1)
        assert least <= (apart.argmin(axis=1) == test.targets).mean() <= most


def test_names_of_objects_are_hidden_from_slowness():
    film = Movie(examples=60)
    assert film.train.targets.dtype.kind == "f"
    batch = next(film.batches(20, seed=0))
    assert (np.diff(batch.targets[:, 0]) == 1).all()
    again = next(film.batches(20, seed=0, start=1))
    assert batch.targets[0, 0] != again.targets[0, 0]


def test_few_causes_are_found_and_gaussian_ones_are_not(record_figure):
    found = {}
    for null in (False, True):
        world = Sources(examples=600, null=null)
        for cost in ("absolute", "squares"):
            columns = learned(world.train.inputs, world.causes, cost)
            np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, rtol=1e-12)
            found[null, cost] = recovered(columns, world.patterns)
    record_figure("planted patterns recovered by sparse codes", found[False, "absolute"], "> 0.9")
    assert found[False, "absolute"] > 0.9
    assert max(found[False, "squares"], found[True, "absolute"], found[True, "squares"]) < 0.1


def test_compared_networks_have_about_as_many_weights():
    sizes = {}
    for variant in inductive_biases.VARIANTS:
        if variant.architecture:
            network = bench.make("architecture", variant.architecture, **dict(variant.options))
            sizes.setdefault(variant.bias, []).append(network.size)
    for bias, found in sizes.items():
        assert max(found) < 1.15 * min(found), (bias, found)


def test_biases_in_a_small_version():
    todo = inductive_biases.parts(seeds=2, checkpoints=(3,))
    smallest = {name: min(setting.budgets) for name, setting in inductive_biases.SETTINGS.items()}
    rows = pd.DataFrame(
        collect([part for part in todo if part.arguments[2] == smallest[part.label]])
    )
    assert set(rows["bias"]) == set(inductive_biases.SETTINGS)
    tables, pictures = inductive_biases.report(rows)
    assert len(tables["biases"].cells) == len(inductive_biases.VARIANTS)
    raw = tables["biases"].raw
    assert (raw[["score_low", "null_low"]] >= 0).all(axis=None)
    assert (raw[["score_high", "null_high"]] <= 1).all(axis=None)
    assert pictures[0].name == "inductive_biases"


def test_a_network_that_diverges_has_a_row_without_a_score(monkeypatch):
    """And is counted below the table, in which it enters no mean."""
    bias = "translation invariance"
    fast = replace(inductive_biases.SETTINGS[bias], rate=1e308)
    monkeypatch.setattr(inductive_biases, "SETTINGS", {bias: fast})
    places = [n for n, one in enumerate(inductive_biases.VARIANTS) if one.name == "dense"]
    rows = [row for seed in (0, 1) for row in inductive_biases.rows_of(*places, False, 40, 3, seed)]
    assert np.isnan([row["score"] for row in rows]).all()
    well = [{**row, "score": 0.5, "seed": 2 + number} for number, row in enumerate(rows)]
    table = biases(pd.DataFrame([*rows, *well]))
    assert table.raw[["score", "score_low", "score_high"]].to_numpy().tolist() == [[0.5] * 3]
    assert table.notes[-1] == "Diverged and left out: 2 networks."


def test_commands_of_the_documentation_run():
    commands = re.findall(r"^plausibench run (\w+)(.*)$", DOCS.read_text("utf-8"), re.MULTILINE)
    named = [(name, rest) for name, rest in commands if name in OWN]
    assert {name for name, _ in named} == set(OWN)
    for name, rest in named:
        done = CliRunner().invoke(main, ["run", name, *rest.split(), "--dry-run"])
        assert done.exit_code == 0, done.output
        assert "parts of the experiment" in done.output
        assert (DOCS.parent / f"{name}.png").is_file()

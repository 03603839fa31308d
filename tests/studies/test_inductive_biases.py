"""Inductive biases: worlds with and without structure, a small version, and divergence."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench import bench
from plausibench.bench.studies.inductive_biases import report
from plausibench.bench.studies.inductive_biases import study as inductive_biases
from plausibench.bench.studies.inductive_biases.dictionary import learned, recovered
from plausibench.bench.studies.inductive_biases.report import biases
from plausibench.bench.studies.shared.worlds import Cued, Field, Movie, Sources
from plausibench.kernels.errors import InputError


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


@pytest.fixture
def smallest(monkeypatch):
    """Settings with the least amount of data."""
    few = {
        name: replace(setting, budgets=setting.budgets[:1])
        for name, setting in inductive_biases.SETTINGS.items()
    }
    monkeypatch.setattr(inductive_biases, "SETTINGS", few)
    return few


def test_biases_in_a_small_version(smallest, tmp_path):
    run = studied.run("inductive_biases", tmp_path, seeds=2, checkpoints=(3,))
    assert set(run.jobs["status"]) == {"done"}
    rows = run.frame
    assert set(rows["bias"]) == set(inductive_biases.SETTINGS)
    assert len(rows) == 2 * 2 * len(inductive_biases.VARIANTS)
    tables, pictures = report.report(rows)
    assert tuple(tables) == report.TABLES
    assert len(tables["biases"].cells) == len(inductive_biases.VARIANTS)
    raw = tables["biases"].raw
    assert (raw[["score_low", "null_low"]] >= 0).all(axis=None)
    assert (raw[["score_high", "null_high"]] <= 1).all(axis=None)
    assert pictures[0].name == "inductive_biases"


def test_a_network_that_diverges_has_a_row_without_a_score(smallest, monkeypatch, tmp_path):
    """And is counted below the table, in which it enters no mean."""
    bias = "translation invariance"
    monkeypatch.setitem(smallest, bias, replace(smallest[bias], rate=1e308))
    only = tuple(each for each in inductive_biases.VARIANTS if each.name == "dense")
    monkeypatch.setattr(inductive_biases, "VARIANTS", only)
    run = studied.run("inductive_biases", tmp_path, seeds=2, checkpoints=(3,))
    assert set(run.jobs["status"]) == {"diverged"}
    lost = run.frame[~run.frame["null"]]
    assert len(lost) == 2
    assert lost["score"].isna().all()
    well = lost.assign(score=0.5, seed=lost["seed"] + 2)
    table = biases(pd.concat([lost, well]))
    assert table.raw[["score", "score_low", "score_high"]].to_numpy().tolist() == [[0.5] * 3]
    assert table.notes[-1] == "Diverged and left out: 2 networks."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 1}, "seeds: 1 is not a whole number of at least 2"),
        ({"seed": -1}, "seed: -1 is not"),
        ({"checkpoints": ()}, "checkpoints: .* is not a number of training steps"),
        ({"checkpoints": (0,)}, "checkpoints: 0 is not"),
    ],
)
def test_bad_options_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        inductive_biases.Options(**given)


def test_the_benefit_of_a_bias_is_paired_over_seeds():
    rows = pd.DataFrame(
        [
            {
                "bias": "focused attention",
                "variant": variant,
                "helps": helps,
                "null": null,
                "budget": 100,
                "parameters": 1,
                "seed": seed,
                "score": 0.4 + 0.1 * seed + (0.2 if helps and not null else 0),
            }
            for variant, helps in (("multiplied by a gate", True), ("cue added", False))
            for null in (False, True)
            for seed in range(3)
        ]
    )
    raw = biases(rows).raw.set_index("variant")
    ends = ["benefit", "benefit_low", "benefit_high"]
    np.testing.assert_allclose(raw.loc["cue added", ends].astype(float), 0.2)
    np.testing.assert_allclose(raw.loc["cue added", "null_benefit"], 0, atol=1e-12)
    assert raw.loc["multiplied by a gate", ends].isna().all()

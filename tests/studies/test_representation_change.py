"""Representation change: networks, tuning, controls, and the report on known values."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.bench.report.means import over_seeds
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.representation_change import report, study
from plausibench.bench.studies.representation_change.report import changes, profiles
from plausibench.bench.studies.representation_change.report import representation_change as picture
from plausibench.bench.tasks.gratings import grating
from plausibench.kernels.errors import InputError

RULE = "attention_gated"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("representation_change")
    given = {"rules": (RULE,), "seeds": 2, "checkpoints": (8,), "coarse_steps": 8}
    found = studied.run("representation_change", path, **given)
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


def known(right):
    """Rows of two rules and four seeds with a known change: the number of the layer, and more."""
    rows = []
    for rule in ("backprop", RULE):
        for seed, correct in enumerate(right):
            for reward, factor in (("earned", 2.0), ("shuffled", 0.5)):
                about = {"rule": rule, "seed": seed, "reward": reward}
                rows.append({**about, "layer": "", "quantity": "accuracy", "value": correct})
                rows += [
                    {**about, "layer": name, "quantity": "change", "value": factor * (place + seed)}
                    for place, name in enumerate(study.LAYERS)
                ]
    return pd.DataFrame(rows)


def test_change_is_the_excess_over_the_control_in_networks_that_learned():
    found = profiles(known([0.95, 0.89, 1.0, 0.91]))
    assert set(found.index.get_level_values("seed")) == {0, 2, 3}
    excess = found.loc[("excess", RULE)]
    np.testing.assert_allclose(excess.loc[2], 1.5 * (np.arange(4) + 2))
    table = changes(known([0.95, 0.89, 1.0, 0.91]))
    line = table.raw.set_index(["rule", "reward"]).loc[("backprop", "excess")]
    assert line["learned"] == "3 of 4"
    assert line["ordered"] == "3 of 3"
    assert line["top"] == pytest.approx(1.5 * 3)
    assert line["layer1"] == pytest.approx(1.5 * np.mean([0, 2, 3]))


def test_no_network_learned():
    drawn = picture(known([0.5, 0.5, 0.6, 0.9]))
    assert len(drawn.figure.axes) == 4
    assert profiles(known([0.5, 0.5, 0.6, 0.9])).empty


def test_intervals_are_those_of_student():
    rows = pd.DataFrame({"key": "x", "value": [1.0, 2.0, 4.0, np.nan]})
    (line,) = over_seeds(rows, ["key"]).to_dict("records")
    half = 4.302653 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)
    assert line["seeds"] == 3
    assert [line["low"], line["high"]] == pytest.approx([7 / 3 - half, 7 / 3 + half], rel=1e-6)


def test_rows(rows):
    change = rows[rows["quantity"] == "change"]
    assert len(change) == 2 * 2 * len(study.LAYERS)
    assert (change["value"] > 0).all()
    pairs = change.pivot(index=["seed", "layer"], columns="reward", values="value")
    assert (pairs["earned"] != pairs["shuffled"]).all()


def test_only_the_head_is_new():
    coarse = study.coarse(8, 0)
    assert coarse.output.size == 8
    fine = study.with_new_head(coarse, 0)
    for name, array in fine.parameters.items():
        if not name.startswith(study.HEAD):
            np.testing.assert_array_equal(array, coarse.parameters[name])
    assert fine.output.size == 2
    assert fine.parameters[f"{study.HEAD}.weights"].any()


def test_tuning_is_the_mean_over_phases():
    network = study.SHAPE.build(0)
    found = study.tuning(network)
    assert found["layer4"].shape == (study.ORIENTATIONS, 32)
    phases = np.arange(study.PHASES) * 360 / study.PHASES
    images = grating(np.full(study.PHASES, 25.0), phases, study.PIXELS)
    expected = network.forward(images).activity["layer2"].mean(axis=0)
    np.testing.assert_allclose(found["layer2"][5], expected, atol=1e-12)


def test_change_of_tuning():
    before = {"layer1": np.ones((4, 3))}
    assert study.changed(before, {"layer1": np.ones((4, 3))}) == {"layer1": 0}
    assert study.changed(before, {"layer1": 1.5 * np.ones((4, 3))})["layer1"] == pytest.approx(0.5)


def test_diverged_networks_have_not_learned(tmp_path):
    """Steps of 1e200 overflow."""
    given = {"rules": ("sign_symmetry",), "optimiser": "sgd", "learning_rate": 1e200, "seeds": 2}
    given |= {"checkpoints": (8,), "coarse_steps": 8}
    found = studied.run("representation_change", tmp_path, **given)
    assert set(found.jobs["status"]) == {"diverged"}
    assert len(found.frame) == 2 * 2
    assert set(found.frame["quantity"]) == {"accuracy"}
    assert found.frame["value"].isna().all()
    tables, (drawn,) = report.report(found.frame)
    table = tables["representation_change"]
    assert table.notes[-1] == "Diverged and left out: 4 networks."
    assert drawn.figure.axes[0].get_title(loc="left").endswith("0 of 2 learned")
    assert drawn.name == "representation_change"


def test_a_control_that_diverged_leaves_no_excess():
    rows = known([0.95, 0.97, 1.0])
    lost = (rows["reward"] == "shuffled") & (rows["rule"] == RULE)
    table = changes(rows[~(lost & (rows["quantity"] == "change"))])
    ordered = table.raw.set_index(["rule", "reward"])["ordered"]
    assert ordered["attention gated", "earned"] == "3 of 3"
    assert ("attention gated", "excess") not in ordered.index
    assert ordered["backprop", "excess"] == "3 of 3"


@pytest.mark.acceptance
def test_learning_changes_the_top_most(record_figure, tmp_path):
    """In networks above 90 % right, after subtracting the control."""
    rules = ("reinforce[baseline=running]", "sign_symmetry")
    run = studied.run(
        "representation_change", tmp_path, executor=Processes(2), rules=rules, seeds=4
    )
    found = profiles(run.frame)
    for rule in rules:
        excess = found.loc[("excess", rule)]
        assert len(excess) >= 3
        top = (excess["layer4"] - excess["layer1"]).mean()
        record_figure(f"{rule}: excess change at the top minus that at the bottom", top)
        assert top > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 1}, "seeds"),
        ({"learning_rate": 0}, "learning_rate"),
        *(({"checkpoints": (steps,)}, "checkpoints") for steps in (0, -1, 1.5)),
        ({"checkpoints": (4, 8)}, "checkpoints: 2 numbers"),
        *(({"coarse_steps": steps}, "coarse_steps") for steps in (0, -1, 1.5)),
        ({"optimiser": "adagrad"}, "optimiser"),
        (
            {"rules": ("oja",)},
            "rules: oja cannot run in this study .Oja's rule needs dense synapses",
        ),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        study.Options(**options)

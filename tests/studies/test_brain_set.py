"""The brain set: its tasks, skill, divergence, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench import bench
from plausibench.bench.studies.brain_set import report, study
from plausibench.bench.studies.shared.altered import Altered
from plausibench.kernels.errors import InputError


def test_sequences_shown_at_once_and_few_examples():
    task = bench.make("task", "delayed_match", trials=30, dt=100)
    flat = Altered(task, flat=True, first=12)
    assert flat.train.inputs.shape == (12, flat.inputs_size)
    np.testing.assert_array_equal(flat.test.inputs, task.test.inputs.reshape(30, -1))
    turned = Altered(task, permuted=True).test
    assert turned.inputs.sum(axis=1) == pytest.approx(task.test.inputs.sum(axis=1), abs=1e-12)
    np.testing.assert_array_equal(turned.targets, task.test.targets)


class Quiet(study.Joystick):
    noise = 0.0


def test_skill_of_constant_and_of_right_answers():
    task = Altered(Quiet(examples=20), flat=True)
    network = bench.make("architecture", "mlp", sizes=[task.inputs_size, 1])
    silent = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    mean = np.full(1, float(task.test.targets.mean()))
    constant = network.with_parameters({**silent, "layer1.bias": mean})
    assert study.skill(constant, task) == pytest.approx(0, abs=1e-12)
    # The push -(0.1 x(t) + v), with the wind from the last two places: v = x(t) - 1.1 x(t-1).
    weights = np.zeros((1, task.inputs_size))
    weights[0, -1], weights[0, -2] = -1.1, 1.1
    right = network.with_parameters({**silent, "layer1.weights": weights})
    assert study.skill(right, task) == pytest.approx(1, abs=1e-12)


def test_driver(tmp_path):
    found = studied.run("brain_set", tmp_path, seeds=2, checkpoints=(2,))
    assert set(found.jobs["status"]) == {"done"}
    rows = found.frame
    assert len(rows) == 6 * 2 * 3 * 2
    assert rows["skill"].max() <= 1
    for _, part in rows.groupby("domain"):
        assert part["parameters"].max() < 1.1 * part["parameters"].min()
    tables, pictures = report.report(rows)
    assert len(tables["skills"].cells) == 18
    assert pictures[0].name == "brain_set"


def test_a_network_that_diverges_has_a_row_without_skill(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RATE", 1e308)
    found = studied.run(
        "brain_set",
        tmp_path,
        lambda job: job.about["domain"] == "memory",
        checkpoints=(3,),
        seeds=2,
    )
    assert set(found.jobs["status"]) == {"diverged"}
    assert len(found.frame) == len(found.jobs)
    assert found.frame["skill"].isna().all()
    assert found.frame["parameters"].notna().all()


def test_networks_of_the_brain_set_that_diverged_are_counted():
    rows = pd.DataFrame(
        [
            {"domain": domain, "rule": "backprop", "control": control, "seed": seed}
            | {"biased": biased, "network": "a" if biased else "b"}
            | {"skill": np.nan if biased and (domain == "value" or seed == 2) else 0.1 * seed}
            for domain in ("value", "memory")
            for control in study.CONTROLS
            for biased in (True, False)
            for seed in range(3)
        ]
    )
    tables, pictures = report.report(rows)
    raw = tables["skills"].raw.set_index(["domain", "control"])
    assert raw.loc["value", ["with_bias", "benefit"]].isna().all(axis=None)
    assert raw.loc[("memory", "task"), "with_bias"] == pytest.approx(0.05)
    assert raw.loc[("memory", "task"), "benefit"] == pytest.approx(0)
    assert "12 of 36 networks diverged" in tables["skills"].notes[-1]
    assert "12 of 36 networks diverged" in pictures[0].caption


def test_rules_that_cannot_run_are_refused_before_computing():
    """Neither one that runs nowhere, nor one that does not run in time."""
    for rule in ("equilibrium_propagation", "feedback_alignment"):
        with pytest.raises(
            InputError, match=r"rules: .* cannot run in this study \(.* is a rule for"
        ):
            studied.options("brain_set", rules=("backprop", rule))


@pytest.mark.parametrize(
    "options", [{"seeds": 1}, {"seed": -1}, {"checkpoints": (0,)}, {"checkpoints": ()}]
)
def test_bad_input_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        studied.options("brain_set", **options)

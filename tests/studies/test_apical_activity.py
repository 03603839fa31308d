"""Apical activity: silence without a signal, the rule that learns, and both predictions."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.architectures.mlp import Mlp
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.studies.apical_activity import report, study
from plausibench.bench.studies.apical_activity.report import (
    KEYS,
    by_condition,
    changes,
    predictions,
)
from plausibench.bench.studies.apical_activity.report import apical_activity as picture
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.objective import softmax
from plausibench.rules.backprop import Backprop
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.reinforce import Reinforce

FIRST = study.CONDITIONS[0]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """One condition of the reward model with enough seeds, all else with few and short."""
    folder = tmp_path_factory.mktemp("runs")

    def is_first(job):
        return job.arguments[:4] == ("reward", *FIRST)

    first = studied.run("apical_activity", folder / "first", is_first, seeds=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "AFTER", 50)
        others = studied.run(
            "apical_activity", folder / "others", lambda job: not is_first(job), seeds=2
        )
    return pd.concat([first.frame, others.frame], ignore_index=True)


def built(model, feedback):
    architecture, selector = study.MODELS[model, feedback]
    rule = select("rule", selector).make()
    network = registry.make(
        "architecture", architecture, sizes=(20, 60, 2), activation="relu", bias=False, seed=3
    )
    return rule, network, rule.initial_state(network, 3)


@pytest.mark.parametrize(("model", "feedback"), study.MODELS)
def test_apical_dendrites_are_silent_without_a_teaching_signal(model, feedback):
    rule, network, state = built(model, feedback)
    seen = study.patterns("orthogonal", 0)
    found = study.apical(rule, network, state, seen, np.zeros((2, 2)))
    # The circuit settles until no voltage changes by more than 1e-9.
    assert np.abs(found).max() < 1e-8


@pytest.mark.parametrize("feedback", ["aligned", "random"])
def test_both_models_carry_the_same_signal(feedback):
    """The microcircuit to first order in its nudging, up to a factor and the slopes of rates."""
    signal = np.array([[0.3, -0.3], [-0.2, 0.2]])
    found = {}
    for model in ("reward", "microcircuit"):
        rule, network, state = built(model, feedback)
        seen = study.patterns("orthogonal", 0)
        found[model] = study.apical(rule, network, state, seen, signal)
    if feedback == "aligned":
        cosine = np.corrcoef(found["reward"].ravel(), found["microcircuit"].ravel())[0, 1]
        assert cosine > 0.99
    # Neurons above threshold and below all receive their top-down input.
    assert (np.abs(found["microcircuit"]) > 0).mean() > 0.9


def test_the_reward_model_is_the_transposed_weights():
    rule, network, state = built("reward", "aligned")
    signal = np.array([[0.5, -0.5]])
    found = study.apical(rule, network, state, np.ones((1, 20)), signal)
    np.testing.assert_allclose(found, signal @ network.parameters["layer2.weights"], atol=1e-15)


def test_learning_is_reinforce_on_the_same_action():
    network = Mlp((20, 60, 2), activation="relu", bias=False).build(1)
    batch = Batch(study.patterns("overlapping", 1)[:1], [1], [7])
    noise = Noise(5, np.array([0]), batch.keys, network.dtype)
    clean = network.forward(batch.inputs)
    expected = form(
        network, Reinforce().estimate(network, ExpectedReward(), batch, clean, {}, noise)
    )
    policy = softmax(clean.output)
    action = int(noise.actions(policy)[0, 0])
    surprise = float(action == 1) - float(policy[0, 1])
    taught = Batch(batch.inputs, study.teaching(policy, action, surprise), batch.keys)
    found = form(
        network, Backprop().estimate(network, study.TeachingSignal(), taught, clean, {}, noise)
    )
    for name, array in found.items():
        np.testing.assert_allclose(array.reshape(expected[name][0].shape), expected[name][0])


def test_error_of_the_teaching_signal_is_the_derivative_of_its_loss():
    draw = np.random.default_rng(0)
    output, signal = draw.normal(size=(2, 4, 3))
    objective, step = study.TeachingSignal(), 1e-6
    for column in range(3):
        moved = output + step * np.eye(3)[column]
        slope = (objective.losses(moved, signal) - objective.losses(output, signal)) / step
        np.testing.assert_allclose(objective.error(output, signal)[:, column], slope, atol=1e-8)


def test_patterns():
    for seed in range(5):
        orthogonal = study.patterns("orthogonal", seed)
        np.testing.assert_allclose(orthogonal @ orthogonal.T, 20 * np.eye(2), atol=1e-12)
        overlapping = study.patterns("overlapping", seed)
        assert overlapping[0] @ overlapping[1] > 0.3 * 20
    with pytest.raises(InputError, match="neither orthogonal nor overlapping"):
        study.patterns("parallel", 0)


def test_both_predictions_hold_with_orthogonal_stimuli_and_aligned_feedback(rows, record_figure):
    found = by_condition(rows)
    hold = predictions(found)
    assert hold["reward", *FIRST]
    own = found.set_index([*KEYS, "quantity"]).sort_index()["value"].loc["reward", *FIRST]
    for quantity in ("A in A", "B in A"):
        record_figure(f"apical activity, reward model: {quantity}", own[quantity], "its sign")
    assert own["licks A"] > 0.9
    assert own["licks B"] < 0.1


def test_nothing_is_apical_before_reward(rows):
    course = rows[(rows["quantity"] == "course") & (rows["at"] < study.BEFORE)]
    assert (course["value"].dropna().abs() < 1e-8).all()


def test_report(rows):
    table = changes(rows)
    assert len(table.cells) == 2 * len(study.CONDITIONS)
    assert set(table.raw["both"]) <= {"yes", "no"}
    drawn = picture(rows)
    assert drawn.name == "apical_activity"
    assert len(drawn.figure.axes) == 4


def test_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "BEFORE", 50)
    monkeypatch.setattr(study, "AFTER", 100)
    found = studied.run("apical_activity", tmp_path, seeds=2)
    assert set(found.jobs["status"]) == {"done"}
    assert len(found.jobs) == 2 * len(study.CONDITIONS) * 2
    # Changes, time courses of 3 blocks and licks.
    assert len(found.frame) == len(found.jobs) * (2 * 3 + 2 * 3 + 2)
    tables, pictures = report.report(found.frame)
    assert tuple(tables) == report.TABLES
    assert [picture.name for picture in pictures] == ["apical_activity"]


@pytest.mark.parametrize("options", [{"seeds": 1}, {"seed": -1}, {"learning_rate": 0}])
def test_refusals(options):
    with pytest.raises(InputError, match=next(iter(options))):
        studied.options("apical_activity", **options)

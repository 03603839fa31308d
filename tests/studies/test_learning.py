"""Which rules learn hidden layers: the study, its table that is kept, and what cards say of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.store import Run
from plausibench.bench.studies.figure2.study import EQUAL
from plausibench.bench.studies.learning.report import learning, report
from plausibench.bench.studies.learning.study import LEARNED, LEARNING, TASKS, jobs
from plausibench.bench.studies.run import run
from plausibench.bench.studies.tuning.study import tuned
from plausibench.kernels.errors import InputError

KEPT = Path(__file__).parents[2] / "docs" / "learning"
"""Tables of runs, as the commands in docs/experiments.md write them."""
RULES = [rule for rule in registry.entries("rule") if rule not in EQUAL]
ASKED = {
    "forward_forward": 0.92,
    "target_propagation": 0.92,
    "equilibrium_propagation": 0.93,
    "deep_feedback_control": 0.94,
    "spiking_burstprop[feedback=symmetric]": 0.95,
    "augment": 0.94,
    "decorrelated_node_perturbation": 0.94,
}
"""Accuracy on digits, five seeds, after the common search."""
MANY_STEPS = ("node_perturbation", "weight_perturbation", "uoro")
"""Rules with one draw of a global outcome a step, which need steps and not another rate."""


def row(rule, seed, quantity, value, protocol="own"):
    return {
        "task": "digits",
        "architecture": "mlp",
        "objective": "cross_entropy",
        "rule": rule,
        "seed": seed,
        "protocol": protocol,
        "step": 500,
        "kind": "training",
        "projection": "all",
        "quantity": quantity,
        "value": value,
        "low": np.nan,
        "high": np.nan,
        "samples": 0,
        "redrawn": "nothing",
        "reference": "",
        "method": "exact",
        "effective_dimension": np.nan,
        "flag": "",
    }


def rows(accuracies, null):
    """Rows of rules and of the null, with equal seeds."""
    found = [
        row(rule, seed, quantity, value)
        for rule, reached in accuracies.items()
        for seed, accuracy in enumerate(reached)
        for quantity, value in (("test_accuracy", accuracy), ("learning_rate", 0.1))
    ]
    found += [
        row("readout_only", seed, "test_accuracy", value, "null") for seed, value in enumerate(null)
    ]
    return pd.DataFrame(found)


def test_differences_are_paired_over_seeds():
    """Seeds differ much, and the rule is 0.02 above the null with each, give or take 0.001."""
    null = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    above = 0.02 + 0.001 * np.array([-1, 0, 1, 0, 0])
    found = learning(rows({"backprop": null + above, "hebb": null - above}, null))
    half = above.std(ddof=1) / np.sqrt(5) * 2.776
    np.testing.assert_allclose(found["above"], [0.02, -0.02], atol=1e-12)
    np.testing.assert_allclose(found["above_low"], [0.02 - half, -0.02 - half], atol=1e-6)
    np.testing.assert_allclose(found["above_high"], [0.02 + half, -0.02 + half], atol=1e-6)
    assert found["lowest"].tolist() == [0.519, pytest.approx(0.481)]
    assert found["seeds"].tolist() == [5, 5]
    tables, _ = report(rows({"backprop": null + above, "hebb": null - above}, null))
    assert tables["learning"].cells["learns hidden layers"].tolist() == ["yes", "no"]


def test_a_rule_that_is_not_told_apart_from_the_null_does_not_count_as_learning():
    null = np.array([0.5, 0.5, 0.5])
    tables, _ = report(rows({"backprop": [0.6, 0.45, 0.5]}, null))
    assert tables["learning"].cells["learns hidden layers"].tolist() == ["no"]


def test_frozen_layers_are_never_said_to_learn():
    """As a rule readout_only may have a better learning rate than the null has."""
    null = np.array([0.5, 0.5, 0.5])
    tables, _ = report(rows({"readout_only": null + 0.1, "backprop": null + 0.1}, null))
    assert tables["learning"].cells["learns hidden layers"].tolist() == ["frozen", "yes"]


def test_a_seed_that_diverged_is_not_counted():
    data = rows({"backprop": [0.8, 0.9, 0.7]}, [0.5, 0.5, 0.5])
    data = data[(data["rule"] != "backprop") | (data["seed"] != 2)]
    (seeds,) = learning(data)["seeds"]
    assert seeds == 2


def test_from_the_command_line(tmp_path):
    arguments = ["run", "learning", "--tasks", "digits", "--rules", "backprop", "--seeds", "2"]
    arguments += ["--set", "steps=20", "--jobs", "1", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "Accuracy above readout only on digits" in done.output
    folder = tmp_path / "out" / "digits"
    search, end = Run.open(folder / "tuning"), Run.open(folder / "learned")
    (rate,) = end.options["learning_rates"].values()
    found = pd.read_csv(folder / "learned" / "learning.csv")
    assert found["learning_rate"].tolist() == [rate]
    assert found["steps"].tolist() == [20]
    assert search.frame["learning_rate"].isin([rate]).any()
    # The null has the seeds of the rule, and no others.
    frame = end.frame[end.frame["quantity"] == "test_accuracy"]
    assert frame.groupby(["rule", "protocol", "architecture"])["seed"].apply(list).tolist() == [
        [0, 1]
    ] * len(frame.groupby(["rule", "protocol", "architecture"]))
    means = frame.groupby(["rule", "protocol"])["value"].mean()
    above = means["backprop", "own"] - means["readout_only", "null"]
    assert found["above"].tolist() == [pytest.approx(above)]
    assert found["accuracy"].tolist() == [pytest.approx(means["backprop", "own"])]
    assert CliRunner().invoke(main, ["table", str(folder / "learned")]).exit_code == 0


def test_training_goes_on_from_the_search():
    """The rate and the option that were found are those that are trained, where they were found."""
    spec = LEARNING.choose({"rules": ["burstprop"], "tasks": ["mnist_1d"], "seeds": 2}).spec(
        "mnist_1d"
    )
    assert spec.paper_settings
    found = [
        {
            "rule": "burstprop",
            "tried": "burstprop[nudging=0.3]",
            "learning_rate": 0.002,
            "seed": seed,
            "accuracy": 0.5,
            "loss": 1.0,
        }
        for seed in (1000, 1001, 1002)
    ]
    first = jobs(tuned(spec, pd.DataFrame(found)))[0]
    assert first.about["rule"] == "burstprop[nudging=0.3]"
    _, hidden, how = first.arguments
    assert hidden == (32, 32)
    assert how["learning_rate"] == 0.002
    assert how["optimiser"] == "adam"
    assert how["steps"] == how["evaluate_every"] == 1000


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="tasks: 'mnist' is not known"):
        LEARNING.choose({"tasks": ["mnist"]})
    with pytest.raises(InputError, match="tasks: the list is empty"):
        LEARNING.choose({"tasks": []})
    with pytest.raises(InputError, match="steps: -1"):
        LEARNING.choose({"steps": -1})


def test_what_diverges_is_an_outcome(tmp_path):
    options = LEARNING.choose({"rules": ["backprop"], "tasks": ["digits"], "seeds": 1, "steps": 5})
    spec = options.spec("digits").with_values(
        architectures=("linear",), learning_rates={"backprop": 1e300}
    )
    (end,) = run(LEARNED, spec, tmp_path / "run")
    own = end.jobs[end.jobs["protocol"] == "own"]
    assert own["status"].tolist() == ["diverged"]
    assert set(end.frame["protocol"]) == {"null"}
    assert report(end.frame)[0]["learning"].cells.empty


def kept(rule):
    """Rows of a rule in the tables that are kept, at its usual number of steps."""
    searched = set(bench.make("rule", rule).searched)
    table = whole()
    own = [
        text.partition("[")[0] == rule
        and {name for name, _ in select("rule", text).options} <= searched
        for text in table["rule"]
    ]
    return table[own].sort_values("steps", kind="stable").drop_duplicates("task")


def whole():
    files = sorted(KEPT.glob("*.csv"))
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_learns_no_more_than_the_readout_says_why(rule):
    own = kept(rule)
    said = bench.make("rule", rule).card.no_more_than_readout
    missing = sorted(set(TASKS) - set(own["task"]))
    if not (own["above_low"] > 0).all():
        assert said, f"{rule} is not above readout only, and its card does not say why"
    elif said:
        assert missing, f"the card of {rule} says why it learns no more, but it does"
    if missing:
        pytest.skip(f"not in the table on {missing} yet: plausibench run learning --rules {rule}")


@pytest.mark.acceptance
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_in_the_table(rule):
    own = kept(rule)
    assert set(own["task"]) == set(TASKS)
    assert (own["seeds"] >= 5).all()


def reached(rule, steps=None):
    """Row of a rule or of a variant with some options, the most accurate if there are several."""
    name, given = select("rule", rule).name, dict(select("rule", rule).options)
    table = whole()
    own = [
        select("rule", text).name == name
        and given.items() <= dict(select("rule", text).options).items()
        for text in table["rule"]
    ]
    found = table[np.array(own) & (table["task"] == "digits")]
    if steps is not None:
        found = found[found["steps"] == steps]
    assert len(found), f"{rule} is not in the table on digits with steps {steps or 'of any number'}"
    return found.loc[found["accuracy"].idxmax()]


def told(row):
    """Accuracy beside readout only, with the number of steps."""
    return (
        f"{row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}], readout "
        f"only {row['readout_only']:.3f}, {row['steps']} steps, lowest of {row['seeds']} seeds "
        f"{row['lowest']:.3f}"
    )


@pytest.mark.acceptance
@pytest.mark.parametrize(("rule", "asked"), ASKED.items())
def test_rules_learn_digits_as_their_papers_say(record_figure, rule, asked):
    row = reached(rule)
    record_figure(f"{rule} on digits", told(row), f">= {asked}")
    assert row["accuracy"] >= asked
    assert row["seeds"] == 5
    if rule == "deep_feedback_control":
        assert row["lowest"] > 0.9  # none has failed


@pytest.mark.acceptance
@pytest.mark.parametrize("rule", MANY_STEPS)
def test_perturbation_needs_steps(record_figure, rule):
    few, many = (reached(rule, steps) for steps in (500, 20_000))
    for row in (few, many):
        record_figure(f"{rule} on digits", told(row), "beside readout only")
    assert many["accuracy_low"] > few["accuracy_high"]


def test_rules_are_told_apart_on_mnist_1d(record_figure):
    """Of the table with ten seeds: the most rules whose intervals do not overlap."""
    table = pd.read_csv(KEPT / "mnist_1d.csv")
    assert (table["seeds"] == 10).all()
    apart, end = [], -1.0
    for _, row in table.sort_values("accuracy_high").iterrows():
        if row["accuracy_low"] > end:
            apart.append(row["rule"])
            end = row["accuracy_high"]
    record_figure("rules on mnist_1d whose intervals do not overlap", ", ".join(apart), ">= 5")
    assert len(apart) >= 5

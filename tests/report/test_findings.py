"""Sentences about a run: they name who the numbers name, and nobody else."""

import pandas as pd

from generated import generate, values
from plausibench.bench.report.findings import NAMED, findings

RULES = ("backprop", "feedback_alignment", "dendritic_error", "node_perturbation")


def told(frame, units=None):
    units = pd.DataFrame({"status": ["done"], "rule": ["my_rule"]}) if units is None else units
    occasion, found = findings(frame, units)
    return occasion, {finding.about: finding.sentence for finding in found}


def cell(rule, bias=0.0, variance=0.0, **more):
    parts = [("bias_squared", bias), ("variance", variance)]
    exact = {"method": "exact"} | more
    rows = [values([size] * 3, name, rule=rule, **exact) for name, size in parts]
    rows = pd.concat(rows)
    return rows.assign(low=rows["value"], high=rows["value"])


def accuracy(rule, numbers, protocol="own", **more):
    return values(numbers, "test_accuracy", "training", rule, protocol=protocol, step=100, **more)


def test_the_most_biased_and_the_noisiest_come_first():
    frame = pd.concat([cell("a", 0.2), cell("b", 0.5, 30), cell("c", 0, 4000), cell("d", 1e-5)])
    occasion, said = told(frame)
    assert occasion == "After 0 steps of training by backpropagation."
    assert said["Bias"] == "Most (bias² in units of |g|²): b 0.5, a 0.2; less than 0.001: c, d."
    assert said["Noise"] == (
        "Most (variance in units of |g|²): c 4,000, b 30; none on a given batch: a, d."
    )


def test_a_small_variance_is_not_called_none():
    _, said = told(pd.concat([cell("a", 0.2), cell("b", 0.2, 5e-4), cell("c", 0.2, 30)]))
    assert said["Noise"] == (
        "Most (variance in units of |g|²): c 30; less than 0.001: b; none on a given batch: a."
    )


def test_a_bias_that_is_not_told_apart_from_zero_is_not_called_large():
    unsure = values([0.1, -0.2, 0.15], "bias_squared", rule="unsure")
    _, said = told(pd.concat([cell("a", 0.2), unsure]))
    assert said["Bias"].endswith("a 0.2; not told apart from 0: unsure.")


def test_values_of_several_tasks_are_a_range():
    occasion, said = told(pd.concat([cell("a", 0.2), cell("a", 0.4, task="mnist_1d")]))
    assert "a 0.2 to 0.4" in said["Bias"]
    assert occasion.endswith("; a range is over tasks.")


def test_hidden_layers_are_learned_where_the_interval_says_so():
    null = accuracy("readout_only", [0.5, 0.5, 0.5], "null")
    linear = accuracy("backprop", [0.85, 0.84, 0.86], "null", architecture="linear")
    frame = pd.concat(
        [
            accuracy("good", [0.8, 0.81, 0.79]),
            accuracy("unsure", [0.4, 0.6, 0.52]),
            accuracy("bad", [0.2, 0.21, 0.19]),
            null,
            linear,
        ]
    )
    _, said = told(frame)
    assert said["Hidden layers"] == (
        "Above frozen hidden layers (gain in test accuracy): good 0.3; not told apart from frozen "
        "hidden layers: unsure 0.0067; below frozen hidden layers: bad −0.3."
    )
    assert said["Best accuracy"].startswith("digits: good 0.800, frozen hidden layers 0.500")


def test_what_diverged_or_is_due_is_missing():
    frame, units = generate(seeds=2, steps=(0, 100), rules=["backprop", "weight_perturbation"])
    units.loc[units.index[0], "status"] = "due"
    _, said = told(frame, units)
    assert said["Missing"] == (
        "1 of 8 jobs not computed yet (backprop); 1 of 8 jobs diverged (weight perturbation)."
    )
    _, said = told(frame, units.assign(status="done"))
    assert said["Missing"] == "Nothing; all 8 jobs ended."


def test_of_many_rules_few_are_named():
    _, said = told(pd.concat([cell(f"rule_{n}", 1 + n) for n in range(9)]))
    assert said["Bias"].count("rule ") == NAMED
    assert said["Bias"].endswith(f"and {9 - NAMED} more.")


def test_a_run_without_results_says_what_is_missing():
    frame, units = generate(seeds=1, steps=(0,), rules=["backprop"])
    _, said = told(frame.iloc[:0], units.assign(status="due"))
    assert list(said) == ["Missing"]

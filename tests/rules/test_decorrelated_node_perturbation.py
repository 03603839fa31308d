"""Decorrelated node perturbation: the twin of its decorrelation, which is learned."""

import numpy as np
from hypothesis import given, settings

import naive_perturbation as twin
from perturbation_cells import CROSS_ENTROPY, cell, seeds, shapes, step_of
from plausibench import bench


@settings(max_examples=25)
@given(shapes, seeds)
def test_twin_of_the_decorrelation(sizes, seed):
    network, batch = cell(sizes, seed)
    rule = bench.make("rule", "decorrelated_node_perturbation", rate=0.3)
    state = rule.initial_state(network, seed)
    step = step_of(network, batch)
    once = rule.advance(state, step)
    again = rule.advance(once, step)
    for name, matrix in again.items():
        first = twin.decorrelate(np.eye(len(matrix)), step.clean.activity[name], 0.3)
        expected = twin.decorrelate(first, step.clean.activity[name], 0.3)
        np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-12)


def test_decorrelation_is_learned_on_a_task():
    task = bench.make("task", "digits")
    network = bench.make("architecture", "mlp", sizes=[64, 10])
    rule = bench.make("rule", "decorrelated_node_perturbation", rate=0.1)
    state = bench.advance(rule, task, network, CROSS_ENTROPY, steps=200)
    inputs = task.batch(500).inputs

    def correlation(activity):
        products = activity.T @ activity / len(activity)
        return np.linalg.norm(products - np.diag(np.diag(products))) / np.trace(products)

    assert correlation(inputs @ state["input"].T) < 0.5 * correlation(inputs)

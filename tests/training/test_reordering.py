"""Swaps of neurons along training: what follows them, and what is noticed if it does not."""

import numpy as np
import pytest

from plane_cells import LAYER, network
from plausibench import bench
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.reordering import Reordering
from plausibench.bench.training.training import trajectory
from plausibench.objectives.weighted_sum import WeightedSum
from plausibench.objectives.wiring_cost import WiringCost

DETERMINISTIC = (
    ("backpropagation_through_time", {}),
    ("real_time_recurrent_learning", {}),
    ("random_feedback_through_time", {}),
    *(
        (name, {"feedback": feedback})
        for name in ("e_prop", "rflo")
        for feedback in ("symmetric", "random", "adaptive")
    ),
)


def trained(rule, made, optimiser, cost, at, steps=8):
    """Network after some steps of training, reordered after step ``at``."""
    task = bench.make("task", "delayed_match", trials=40, dt=100)
    order = np.random.default_rng(5).permutation(9)

    def reorder(step, _):
        return {LAYER: order} if step == at else {}

    course = trajectory(
        rule,
        rule,
        made,
        cost,
        task,
        make_optimiser(optimiser, 0.01, 0.1),
        [steps],
        10,
        3,
        reorder,
    )
    return next(course)


def plane(task="delayed_match"):
    made = bench.make("task", task, trials=40, dt=100)
    return network(inputs=made.inputs_size, outputs=made.outputs_size)


def both_ways(rule, optimiser, cost):
    """The same order of neurons early and late in training."""
    made = plane()
    early, late = (trained(rule, made, optimiser, cost, at) for at in (1, 8))
    assert early.state.keys() == late.state.keys()
    arrays = [(early.network.parameters[name], a) for name, a in late.network.parameters.items()]
    arrays += [(early.state[name], array) for name, array in late.state.items()]
    scale = max(np.abs(array).max() for _, array in arrays)
    return max(np.abs(one - other).max() for one, other in arrays) / scale


def costs(distance):
    task = bench.make("task", "delayed_match", trials=40, dt=100)
    data = "cross_entropy" if task.kind == "classification" else "mean_squared_error"
    wiring = WiringCost(grid=(3, 3), base=1.0, distance=distance, uniform=1.0)
    return WeightedSum(((1.0, bench.make("objective", data)), (1e-3, wiring)))


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize(("name", "options"), DETERMINISTIC, ids=str)
def test_learning_then_swapping_is_swapping_then_learning(name, options, optimiser):
    """Weights, moments, feedback weights and traces follow their neurons.

    What rounding leaves is far below what any of them would do if it stayed behind.
    """
    rule = bench.make("rule", name, **options)
    assert both_ways(rule, optimiser, costs(0.0)) < 1e-9


def test_learning_then_swapping_is_another_thing_where_places_cost():
    rule = bench.make("rule", "backpropagation_through_time")
    assert both_ways(rule, "adam", costs(2.0)) > 1e-4


@pytest.mark.parametrize("name", ["rflo", "random_feedback_through_time"])
def test_feedback_that_stays_behind_is_noticed(name, monkeypatch):
    """The test above would fail if feedback weights were not permuted."""
    rule = bench.make("rule", name)
    monkeypatch.setattr(Reordering, "state", lambda self, rule, state: state)
    assert both_ways(rule, "sgd", costs(0.0)) > 1e-3


def test_moments_that_stay_behind_are_noticed(monkeypatch):
    rule = bench.make("rule", "backpropagation_through_time")
    monkeypatch.setattr(Reordering, "memory", lambda self, optimiser, memory: memory)
    assert both_ways(rule, "adam", costs(0.0)) > 1e-3

"""Moments of draws: those of a twin that adds one draw after another."""

import pytest

import naive
from plausibench import bench
from twin_cells import cell


def test_running_statistics_twin_agrees_with_the_engine():
    network, batch = cell([4, 5, 3], "tanh", seed=3)
    objective, rule = (
        bench.make("objective", "cross_entropy"),
        bench.make("rule", "node_perturbation"),
    )
    draws = bench.estimates(rule, network, objective, batch, samples=100)
    running = naive.RunningStatistics(bench.gradient(network, objective, batch))
    for k in range(100):
        running.add({name: array[k] for name, array in draws.items()})
    found = bench.measure(rule, network, objective, batch, samples=100, method="sampled")
    bias, variance = running.relative()
    assert found.value("bias_squared") == pytest.approx(bias, rel=1e-9)
    assert found.value("variance") == pytest.approx(variance, rel=1e-9)

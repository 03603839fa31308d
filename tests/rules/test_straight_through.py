"""The straight-through estimator: its twin, and where it is exact."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings

import naive_perturbation as twin
from perturbation_cells import OBJECTIVES, assert_twins, cell, deep, drawn, goals, noise_of, seeds
from plausibench import bench
from plausibench.objectives.objective import Objective


@settings(max_examples=25)
@given(deep, seeds, goals)
def test_twin(sizes, seed, goal):
    network, batch = cell(sizes, seed, "stochastic_mlp", bias=bool(seed % 2))
    drive = network.forward(batch.inputs).drive
    draws = noise_of(batch, seed).spikes({p.name: drive[p.name] for p in network.hidden})
    rule = bench.make("rule", "straight_through")
    for k, ours in enumerate(drawn(rule, network, OBJECTIVES[goal], batch, seed)):
        own = [array[k] for array in draws.values()]
        assert_twins(ours, twin.straight_through(network, goal, batch, own))


@dataclass(frozen=True)
class Linear(Objective):
    """A loss that is linear in the outputs."""

    summary: ClassVar[str] = "linear"

    def losses(self, output, targets):
        return (output * np.cos(np.arange(output.shape[-1]))).sum(axis=-1)

    def error(self, output, targets):
        return np.broadcast_to(np.cos(np.arange(output.shape[-1])), output.shape)


def test_straight_through_is_exact_for_a_linear_loss():
    network, batch = cell((3, 5, 2), 8, "stochastic_mlp")
    rule = bench.make("rule", "straight_through")
    assert bench.measure(rule, network, Linear(), batch, method="exact").value(
        "bias_squared"
    ) == pytest.approx(0, abs=1e-24)
    two, batch = cell((3, 5, 4, 2), 8, "stochastic_mlp")
    found = bench.measure(rule, two, Linear(), batch, method="exact")
    assert found.value("bias_squared") > 1e-6

"""Segregated dendrites: their twin, and where they are backpropagation."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_dendrites
from dendritic_cells import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    activations,
    assert_twin,
    nudgings,
    parameter_error,
    scales,
    shapes,
    situation,
)
from plausibench import bench
from plausibench.rules.segregated_dendrites import SegregatedDendrites
from plausibench.rules.theory import Situation


def test_segregated_dendrites_without_apical_voltage_are_backprop():
    """Y = W^T, outputs at 0 without teaching, linear: the gain is 1, the gradient is exact."""
    rule = SegregatedDendrites(nudging=1e-5)
    at = situation(rule, sizes=[5, 6, 3], activation="identity", bias=False)
    weights = at.network.parameters
    # Inputs that the network maps to 0, so that A = 0.
    product = weights["layer2.weights"] @ weights["layer1.weights"]
    null = np.linalg.svd(product)[2][3:]
    inputs = np.random.default_rng(0).standard_normal((4, 2)) @ null
    at = replace(
        at,
        batch=bench.Batch(inputs, at.batch.targets[:4]),
        state={"layer1": weights["layer2.weights"].T},
    )
    assert parameter_error(at, Situation.reference) < 1e-8


def test_segregated_dendrites_broadcast_the_output():
    state = SegregatedDendrites().initial_state(
        bench.make("architecture", "mlp", sizes=[6, 5, 4, 3]), 0
    )
    assert {name: array.shape for name, array in state.items()} == {
        "layer1": (5, 3),
        "layer2": (4, 3),
    }


@settings(max_examples=40)
@given(shapes, activations, st.integers(0, 1000), nudgings, scales)
def test_segregated_dendrites_against_their_naive_twin(sizes, activation, seed, nudging, scale):
    at = situation(
        SegregatedDendrites(nudging, scale=scale),
        [SQUARED_ERROR, CROSS_ENTROPY][seed % 2],
        seed=seed,
        sizes=sizes,
        activation=activation,
        bias=seed % 3 > 0,
    )
    assert_twin(at, naive_dendrites.segregated_dendrites)

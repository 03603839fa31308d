"""Forward-forward: its twin, its wrong labels, and what it needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    CROSS_ENTROPY,
    NETWORKS,
    SQUARED_ERROR,
    activations,
    assert_close,
    cell,
    drawn,
    mlp,
    numpy_noise,
    objectives,
    seeds,
    situation,
)
from plausibench import bench
from plausibench.kernels.errors import InputError


@settings(max_examples=20)
@given(
    st.lists(st.integers(3, 6), min_size=2, max_size=4),
    activations,
    objectives,
    seeds,
    st.booleans(),
)
def test_twin(sizes, activation, objective, seed, normalise):
    sizes = [*sizes[:-1], min(sizes[-1], sizes[0])]
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "forward_forward", threshold=0.5, normalise=normalise)
    name, others = "wrong label", sizes[-1] - 1
    numbers = numpy_noise(batch, seed).fractions({name: np.empty((batch.size, 1))})[name]
    for k, one in enumerate(drawn(rule, network, objective, batch, seed)):
        shift = 1 + np.floor(numbers[k, :, 0] * others).astype(int)
        wrong = (batch.targets + shift) % sizes[-1]
        assert (wrong != batch.targets).all()
        twin = naive_feedback.forward_forward(network, objective, batch, wrong, 0.5, normalise)
        assert_close(one, twin)


@pytest.mark.parametrize("where", NETWORKS)
def test_wrong_labels_vary_as_enumerated(where):
    at = situation("forward_forward", *NETWORKS[where])
    clean = at.network.forward(at.batch.inputs)
    law = at.rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
    for name, array in at.draws(20_000).items():
        spread = array.var(axis=0, ddof=1).sum()
        assert spread == pytest.approx(law.variance[name], rel=0.04, abs=1e-20)
        noise = np.sqrt(law.variance[name] / len(array))
        assert np.linalg.norm(array.mean(axis=0) - law.mean[name]) <= 4 * noise + 1e-12


def test_needs_labels_and_room_for_them():
    rule = bench.make("rule", "forward_forward")
    assert "first inputs" in rule.unsupported(mlp([2, 5, 3]), CROSS_ENTROPY)
    assert "two labels" in rule.unsupported(mlp([2, 5, 1]), CROSS_ENTROPY)
    network = mlp([4, 5, 3])
    real = bench.Batch(np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(InputError, match="integer classes"):
        bench.estimates(rule, network, SQUARED_ERROR, real)

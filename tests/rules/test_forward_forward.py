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
from plausibench.bench.training.training import train
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


def test_scores_are_goodness_of_every_label():
    """Against passes written out here, one example and label at a time."""
    network, rule = mlp([6, 5, 4, 3]), bench.make("rule", "forward_forward", threshold=0.5)
    inputs = np.random.default_rng(0).standard_normal((4, 6))
    scores = rule.scores(network, inputs)
    assert scores.shape == (4, 3)
    w = network.parameters
    for example, label in np.ndindex(4, 3):
        pre, total = inputs[example].copy(), 0.0
        pre[:3] = np.eye(3)[label]
        for layer in ("layer1", "layer2"):
            activity = np.tanh(w[f"{layer}.weights"] @ pre + w[f"{layer}.bias"])
            total += activity @ activity - 0.5 * activity.size
            pre = activity / np.linalg.norm(activity)
        assert scores[example, label] == pytest.approx(total, rel=1e-12)


def test_accuracy_of_what_it_trained_is_by_goodness():
    task, rule = bench.make("task", "digits"), bench.make("rule", "forward_forward")
    network = bench.make("architecture", "mlp", sizes=[64, 16, 10])
    trained = train(rule, task, network, CROSS_ENTROPY, steps=30, learning_rate=0.2)
    last = {row["quantity"]: row["value"] for row in trained.rows if row["step"] == 30}
    test = task.test
    by_goodness = rule.scores(trained.network, test.inputs).argmax(axis=1) == test.targets
    by_output = trained.network.forward(test.inputs).output.argmax(axis=1) == test.targets
    assert last["test_accuracy"] == by_goodness.mean() != by_output.mean()
    assert last["test_loss"] == bench.loss(trained.network, CROSS_ENTROPY, test)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_a_threshold_out_of_reach_is_refused(activation):
    network = mlp([6, 5, 3], activation=activation)
    reason = bench.make("rule", "forward_forward", threshold=1.0).unsupported(
        network, CROSS_ENTROPY
    )
    assert "below 1" in reason
    assert "rectified" in reason
    within = bench.make("rule", "forward_forward", threshold=0.99)
    assert within.unsupported(network, CROSS_ENTROPY) is None
    rectified = mlp([6, 5, 3], activation="relu")
    above = bench.make("rule", "forward_forward", threshold=2.0)
    assert above.unsupported(rectified, CROSS_ENTROPY) is None

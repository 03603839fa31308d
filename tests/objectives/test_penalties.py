"""Penalties on weights and wire: exact gradients, added to any estimate."""

import numpy as np
import pytest

from objective_cells import network_and_batch
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.readout_sparsity import ReadoutSparsity
from plausibench.objectives.smooth_kernels import SmoothKernels
from plausibench.objectives.weight_decay import WeightDecay
from plausibench.objectives.wiring_cost import WiringCost
from plausibench.rules.backprop import Backprop


@pytest.mark.parametrize(
    "penalty", [WeightDecay(), WeightDecay(1, True), WiringCost(0.3)], ids=repr
)
def test_penalties_have_exact_gradients(penalty):
    network, _ = network_and_batch()
    parameters = {name: array + 0.3 for name, array in network.parameters.items()}
    exact, h = penalty.penalty_gradient(parameters), 1e-6
    assert all(exact[name].shape == parameters[name].shape for name in exact)
    for name, array in parameters.items():
        for index in np.ndindex(array.shape):
            moved = [{**parameters, name: array.copy()} for _ in range(2)]
            moved[0][name][index] += h
            moved[1][name][index] -= h
            numeric = (penalty.penalty(moved[0]) - penalty.penalty(moved[1])) / (2 * h)
            expected = exact[name][index] if name in exact else 0.0
            assert numeric == pytest.approx(expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("penalty", [ReadoutSparsity(), SmoothKernels()], ids=repr)
def test_penalties_on_kernels_and_readouts_do_not_depend_on_scale(penalty):
    network = bench.make(
        "architecture", "what_where", shape=(5, 5, 2), channels=(3,), outputs=2, seed=1
    )
    parameters = dict(network.parameters)
    value, exact = penalty.penalty(parameters), penalty.penalty_gradient(parameters)
    scaled = {name: array.copy() for name, array in parameters.items()}
    scaled["where.weights"] *= 3
    scaled["what.weights"] /= 3
    scaled["layer1.weights"] *= 5
    assert penalty.penalty(scaled) == pytest.approx(value, rel=1e-12)
    for name, gradient in exact.items():
        direction = np.random.default_rng(0).standard_normal(gradient.shape)
        moved = [{**parameters, name: parameters[name] + h * direction} for h in (1e-6, -1e-6)]
        numeric = (penalty.penalty(moved[0]) - penalty.penalty(moved[1])) / 2e-6
        assert numeric == pytest.approx((gradient * direction).sum(), rel=1e-7)
    with pytest.raises(InputError, match=r"readout|convolutional"):
        penalty.penalty({"layer1.weights": np.ones((2, 2))})


def test_wire_is_as_long_as_neurons_are_apart():
    weights = {"layer1.weights": np.array([[1.0, -2.0], [0.0, 3.0]])}
    # Neurons at 1/4 and 3/4 on each line.
    assert WiringCost().penalty(weights) == pytest.approx(2 * 0.5)
    assert WiringCost(gap=1.2).penalty(weights) == pytest.approx(4 * 1.2 + 2 * 1.3)


@pytest.mark.parametrize(
    "rule", ["backprop", "node_perturbation", "feedback_alignment", "attention_gated"]
)
def test_penalties_are_added_exactly_to_any_estimate(rule):
    network, batch = network_and_batch()
    batch = bench.Batch(batch.inputs, np.array([0, 1, 2, 3]))
    made, plain = bench.make("rule", rule), CrossEntropy()
    both = bench.make("objective", "weighted_sum", terms="cross_entropy+0.5*weight_decay")
    without = bench.estimates(made, network, plain, batch, samples=3)
    found = bench.estimates(made, network, both, batch, samples=3)
    for name, array in network.parameters.items():
        extra = 0.5 * array if array.ndim == 2 else 0 * array
        np.testing.assert_allclose(found[name], without[name] + extra, rtol=1e-12, atol=1e-15)
    # What is added is no error: bias and variance are as before, in absolute terms.
    before, after = (bench.measure(made, network, o, batch, samples=64) for o in (plain, both))
    for quantity in ("absolute_bias_squared", "absolute_variance"):
        assert after.value(quantity) == pytest.approx(before.value(quantity), rel=1e-8, abs=1e-12)


def test_penalties_shrink_weights_in_training():
    task = bench.make("task", "linear_regression")
    network = bench.make("architecture", "linear", sizes=[task.inputs_size, task.outputs_size])
    lengths = []
    for terms in ("mean_squared_error", "mean_squared_error+weight_decay"):
        goal = bench.make("objective", "weighted_sum", terms=terms)
        course = bench.train(
            Backprop(), task, network, goal, steps=200, learning_rate=0.02, evaluate_every=200
        )
        lengths.append(np.linalg.norm(course.network.parameters["layer1.weights"]))
        first, last = course.frame.query("quantity == 'train_loss'")["value"]
        assert last < first
    assert lengths[1] < 0.9 * lengths[0]

"""BrainProp: its reference, its variance, and where it is biased."""

import numpy as np
import pytest

from class_cells import SQUARED_ERROR, classes, mlp, relative_error
from plausibench import bench


class TestBrainprop:
    def test_uniform_policy_gives_the_gradient_of_squared_error(self, record_figure):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop", exploration="uniform")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        exact = bench.gradient(network, SQUARED_ERROR, batch)
        error = relative_error({name: 3 * mean for name, mean in found.mean.items()}, exact)
        record_figure(
            "BrainProp, n times enumerated mean against squared-error gradient", error, "1e-12"
        )
        assert error < 1e-12

    def test_uniform_policy_has_the_closed_form_of_the_variance(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        rule = bench.make("rule", "brainprop", exploration="uniform")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        clean = network.forward(batch.inputs)
        error = (np.arange(3) == batch.targets[0]) - clean.output[0]
        spread = np.sum(error**2) / 3 - np.sum(error**2) / 9
        assert found.value("absolute_variance", "layer2.bias") == pytest.approx(spread, rel=1e-12)

    @pytest.mark.parametrize("exploration", ["max_boltzmann", "softmax", "uniform"])
    def test_unbiased_against_its_own_reference(self, exploration):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop", exploration=exploration)
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        assert found.value("bias_squared") < 1e-28
        assert found.frame["reference"].unique() == [rule.card.reference]

    def test_greedy_policy_is_biased_against_the_objective(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, reference="objective")
        assert found.value("direction_bias") > 0.01

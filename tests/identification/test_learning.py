"""Cores that rules learn, for identification."""

import numpy as np
import pytest

from identification_cells import simulated
from plausibench import bench
from plausibench.bench.identification.learning import Learning, learn
from plausibench.bench.identification.scores import (
    explained_variance,
)
from plausibench.kernels.errors import InputError


@pytest.fixture(scope="module")
def task():
    return simulated(neurons=50, examples=2048)


class TestLearning:
    def test_a_learned_core_identifies_more_than_one_that_is_not(self):
        task = simulated(neurons=12, examples=1024, side=14, patch=5)
        learning = Learning(kernel=5, steps=150)
        explained = {}
        for name in ("backprop", None):
            rule = None if name is None else bench.make("rule", name)
            found = learn(rule, task, learning)
            predicted = found.predict(task.test.inputs)
            explained[name] = explained_variance(predicted, task.test.targets).mean()
        assert explained["backprop"] > explained[None] + 0.2

    @pytest.mark.parametrize("rule", ["feedback_alignment", "sign_symmetry", "node_perturbation"])
    def test_local_rules_run(self, rule):
        task = simulated(neurons=4, examples=200, side=10, patch=3)
        found = learn(bench.make("rule", rule), task, Learning(kernel=3, steps=5))
        assert np.isfinite(found.predict(task.test.inputs)).all()

    @pytest.mark.parametrize("readout", ["factorised", "dense", "fixed_mask"])
    def test_deep_cores_learn(self, readout):
        task = bench.make(
            "task", "natural_scenes", neurons=6, examples=300, test_examples=200, side=12
        )
        learning = Learning(readout, (4, 2), 3, "relu", steps=60, penalty=0.0)
        found = learn(bench.make("rule", "backprop"), task, learning)
        predicted = found.predict(task.test.inputs)
        assert explained_variance(predicted, task.test.targets).mean() > 0

    def test_a_rule_that_cannot_is_refused(self):
        task = simulated(neurons=4, examples=200, side=10, patch=3)
        with pytest.raises(InputError, match="rules"):
            learn(bench.make("rule", "equilibrium_propagation"), task, Learning(kernel=3, steps=5))

"""Sums of objectives."""

import numpy as np
import pytest

from objective_cells import SUM, network_and_batch
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.weight_decay import WeightDecay
from plausibench.objectives.weighted_sum import WeightedSum


def test_sums_are_sums_and_what_a_rule_sees_is_their_part_of_activity():
    network, batch = network_and_batch()
    whole = bench.loss(network, SUM, batch)
    parts = [w * bench.loss(network, term, batch) for w, term in SUM.terms]
    assert whole == pytest.approx(sum(parts), rel=1e-12)
    exact = bench.gradient(network, SUM, batch)
    for name in network.parameters:
        each = [w * bench.gradient(network, term, batch)[name] for w, term in SUM.terms]
        np.testing.assert_allclose(exact[name], sum(each), rtol=1e-12, atol=1e-15)
    assert bench.make("objective", "weighted_sum").data == CrossEntropy()
    assert SUM.data == WeightedSum(SUM.terms[:2])
    assert WeightedSum(((1, WeightDecay()),)).data.losses(np.ones((2, 3)), None).tolist() == [0, 0]


@pytest.mark.parametrize("terms", ["", "cross", "x*cross_entropy", "weighted_sum", 3, [(1, 2)], ()])
def test_sums_of_something_else_are_refused(terms):
    with pytest.raises(InputError, match="terms"):
        bench.make("objective", "weighted_sum", terms=terms)

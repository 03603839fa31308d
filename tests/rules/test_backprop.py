"""Backpropagation is the gradient."""

from class_cells import CROSS_ENTROPY, classes, mlp, one, relative_error
from plausibench import bench


def test_backprop_is_the_gradient():
    network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
    exact = bench.gradient(network, CROSS_ENTROPY, batch)
    assert (
        relative_error(one(bench.make("rule", "backprop"), network, CROSS_ENTROPY, batch), exact)
        == 0
    )

"""The readout of one point: its interpolation, its gradient, and where points may lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_identification as naive
from plausibench import bench
from plausibench.architectures.point_readout import PointReadout
from plausibench.kernels.errors import InputError


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 99))
def test_a_point_reads_between_the_pixels(rows, columns, seed):
    generator = np.random.default_rng(seed)
    readout = PointReadout(rows, columns)
    positions = generator.uniform(-1.3, 1.3, (4, 2))
    image = generator.standard_normal((rows, columns))
    read = readout.masks(positions) @ image.reshape(-1)
    twin = [naive.bilinear(image, position) for position in positions]
    np.testing.assert_allclose(read, twin, rtol=1e-12, atol=1e-12)


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 99))
def test_gradient_of_a_point_agrees_with_finite_differences(rows, columns, seed):
    generator = np.random.default_rng(seed)
    readout = PointReadout(rows, columns)
    positions = generator.uniform(-1.2, 1.2, (6, 2))
    signal = generator.standard_normal((6, rows * columns))
    step = 1e-6
    found = readout.pull(positions, signal)
    # Only where no pixel, and no end of the map, lies within a step is there one derivative.
    ends = np.array([rows - 1, columns - 1])
    place = (np.clip(positions, -1, 1) + 1) / 2 * ends
    smooth = (np.abs(place - np.round(place)) > 1e-4) | (np.abs(positions) > 1 + 1e-4)
    for axis in (0, 1):
        move = step * np.eye(2)[axis]
        change = readout.masks(positions + move) - readout.masks(positions - move)
        numeric = (change * signal).sum(axis=1) / (2 * step)
        np.testing.assert_allclose(
            found[smooth[:, axis], axis], numeric[smooth[:, axis]], rtol=1e-6, atol=1e-7
        )


def test_the_gradient_of_a_point_goes_through_a_network():
    """By what_where with masks of one point each, and the estimate of any rule for them."""
    shape = {"shape": (6, 6), "channels": (2,), "kernel": 3, "stride": 1, "padding": 0}
    network = bench.make("architecture", "what_where", outputs=3, seed=1, **shape)
    readout = PointReadout(4, 4)
    generator = np.random.default_rng(0)
    positions = generator.uniform(-0.9, 0.9, (3, 2))
    batch = bench.Batch(generator.standard_normal((5, 36)), generator.standard_normal((5, 3)))
    goal = bench.make("objective", "mean_squared_error")

    def at(positions):
        masks = readout.masks(positions)
        return network.with_parameters({**network.parameters, "where.weights": masks})

    exact = bench.gradient(at(positions), goal, batch)["where.weights"]
    found = readout.pull(positions, exact)
    for place in np.ndindex(3, 2):
        move = np.zeros((3, 2))
        move[place] = 1e-6
        losses = [bench.loss(at(positions + sign * move), goal, batch) for sign in (1, -1)]
        assert found[place] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-6, abs=1e-9)


def test_points_are_clipped_drawn_and_placed():
    readout = PointReadout(3, 5)
    ends = readout.nearest(np.array([0, 14, 7]))
    np.testing.assert_allclose(ends, [[-1, -1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(readout.masks(ends).argmax(axis=1), [0, 14, 7])
    far = np.array([[4.0, -3.0]])
    np.testing.assert_array_equal(readout.masks(far), readout.masks(np.array([[1.0, -1.0]])))
    assert not readout.pull(far, np.ones((1, 15))).any()
    drawn = readout.drawn(np.zeros((4000, 2)), 0.2, np.random.default_rng(0))
    # Four standard errors of a standard deviation.
    assert abs(drawn.std() - 0.2) < 4 * 0.2 / np.sqrt(2 * 8000)
    with pytest.raises(InputError, match="rows"):
        PointReadout(1, 5)

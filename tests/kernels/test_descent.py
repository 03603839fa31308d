"""Fused steps of optimisers agree with their twins, to rounding, and see what is not finite."""

import numpy as np
import pytest

import naive_kernels
from plausibench.kernels import descent

SIZE = 1037  # no multiple of what vector instructions take together
KINDS = [np.float64, np.float32]


def drawn(kind, count):
    """As many arrays; the last one of squares."""
    random = np.random.default_rng(count)
    arrays = [random.standard_normal(SIZE).astype(kind) for _ in range(count)]
    return [*arrays[:-1], arrays[-1] ** 2]


def same(found, wanted, kind):
    """Whether arrays agree to a few roundings of the numbers that were added."""
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == kind
        np.testing.assert_allclose(one, other, rtol=0, atol=30 * np.finfo(kind).eps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_plain(kind, factor):
    w, g = drawn(kind, 2)
    wanted = [naive_kernels.descend(*pair, 0.9, 0.3, factor) for pair in zip(w, g, strict=True)]
    assert descent.plain(w, g, 0.9, 0.3, factor)
    same([w, g], zip(*wanted, strict=True), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_heavy_ball(kind, factor):
    w, g, v = drawn(kind, 3)
    wanted = [
        naive_kernels.descend_heavy_ball(*three, 0.9, 0.3, factor, 0.75)
        for three in zip(w, g, v, strict=True)
    ]
    assert descent.heavy_ball(w, g, v, 0.9, 0.3, factor, 0.75)
    same([w, g, v], zip(*wanted, strict=True), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_adam(kind, factor):
    w, g, m, v = drawn(kind, 4)
    how, shares = (0.9, 0.3, factor), (0.75, 0.875)
    wanted = [
        naive_kernels.descend_adam(*four, *how, *shares, 3, 0.125)
        for four in zip(w, g, m, v, strict=True)
    ]
    left = [1 - share**3 for share in shares]
    assert descent.adam(w, g, m, v, *how, *shares, *left, 0.125)
    same([w, g, m, v], zip(*wanted, strict=True), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 500, SIZE - 1])
def test_what_is_not_finite_is_seen(kind, wrong, place):
    for step, count, more in (
        (descent.plain, 2, ()),
        (descent.heavy_ball, 3, (0.5,)),
        (descent.adam, 4, (0.5, 0.5, 0.5, 0.5, 1e-8)),
    ):
        arrays = drawn(kind, count)
        arrays[0][place] = wrong
        assert not step(*arrays, 1.0, 0.1, 1.0, *more)
        arrays[0][place] = np.finfo(kind).max
        arrays[1][place] = 0
        for rest in arrays[2:]:
            rest[place] = 0
        assert step(*arrays, 1.0, 0.1, 1.0, *more)


def test_steps_have_the_bits_of_numpy():
    """Every operation is rounded once, in the order of the equations."""
    w, g, m, v = drawn(np.float64, 4)
    mean, square = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g * g
    change = -0.3 * (mean / 0.19) / (np.sqrt(square / 0.002) + 1e-8)
    wanted = 0.97 * w + change
    descent.adam(w, g, m, v, 0.97, 0.3, 1.0, 0.9, 0.999, 0.19, 0.002, 1e-8)
    np.testing.assert_array_equal(w, wanted)
    np.testing.assert_array_equal(m, mean)
    np.testing.assert_array_equal(v, square)
    np.testing.assert_array_equal(g, change)

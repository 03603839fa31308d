"""Kernels at places: their twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_identification as naive
from plausibench.bench.identification.placement import Placement


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_placed_kernels_agree_with_their_twin(patch, more, seed):
    generator, side = np.random.default_rng(seed), patch + more
    placement = Placement(side, patch)
    kernel = generator.standard_normal((patch, patch))
    matrix = np.zeros((placement.pixels, placement.places))
    placement.spread(kernel.reshape(-1), matrix)
    np.testing.assert_array_equal(matrix, naive.placed(kernel, side))
    other = generator.standard_normal(matrix.shape)
    by_kernel = placement.collect(other) @ kernel.reshape(-1)
    assert by_kernel == pytest.approx((other * matrix).sum(), rel=1e-10, abs=1e-10)

"""Optimisers of fits: their twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_identification as naive
from plausibench.bench.identification.optimiser import adam, shrink


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.integers(1, 9), st.integers(1, 50), st.sampled_from([0.0, 0.3]), st.integers(0, 99))
def test_adam_agrees_with_its_twin(dtype, size, count, penalty, seed):
    generator = np.random.default_rng(seed)
    values, gradient, mean = generator.standard_normal((3, size)).astype(dtype)
    square = generator.uniform(0.1, 1, size).astype(dtype)
    values[0] = 0
    twin = naive.adam(
        *(a.astype(float) for a in (values, gradient, mean, square)), count, 0.1, penalty
    )
    adam(values, gradient, mean, square, count, 0.1, penalty)
    near = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    for ours, theirs in zip((values, mean, square), twin, strict=True):
        np.testing.assert_allclose(ours, theirs, **near)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.integers(1, 9), st.sampled_from([0.0, 0.5, 3.0]), st.integers(0, 99))
def test_proximal_steps_agree_with_their_twin(dtype, size, penalty, seed):
    values, gradient, last = np.random.default_rng(seed).standard_normal((3, size)).astype(dtype)
    twin = naive.shrink(*(a.astype(float) for a in (values, gradient, last)), 0.2, penalty, 0.7)
    shrink(values, gradient, last, 0.2, penalty, 0.7)
    near = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    for ours, theirs in zip((values, last), twin, strict=True):
        np.testing.assert_allclose(ours, theirs, **near)

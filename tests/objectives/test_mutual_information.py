"""Mutual information of a channel where it is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.objectives.mutual_information import MutualInformation


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0.2, 3), st.integers(0, 99))
def test_information_of_a_linear_gaussian_channel(inputs, outputs, sigma, seed):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((12, inputs))
    weights = generator.standard_normal((outputs, inputs))
    found = -MutualInformation(sigma).loss(x @ weights.T, x)
    covariance = weights @ np.cov(x.T, bias=True).reshape(inputs, inputs) @ weights.T
    law = 0.5 * np.log(np.linalg.det(np.eye(outputs) + covariance / sigma**2))
    assert found == pytest.approx(law, rel=1e-9, abs=1e-12)

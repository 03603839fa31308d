"""Sparse coding where its code is known."""

import numpy as np

from plausibench.objectives.generative import loadings
from plausibench.objectives.sparse_coding import SparseCoding


def test_sparse_code_of_an_orthonormal_dictionary_is_the_soft_threshold():
    objective, dictionary = SparseCoding(sparsity=0.4), loadings(0, 6, 6)
    data = np.random.default_rng(0).standard_normal((5, 6))
    linear = data @ dictionary
    best = np.sign(linear) * np.maximum(np.abs(linear) - 0.4, 0)
    assert 0 < (best == 0).sum() < best.size
    lowest = objective.losses(best, data)
    np.testing.assert_allclose(objective.error(best, data)[best != 0], 0, atol=1e-12)
    generator = np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0):
        other = best + size * generator.standard_normal(best.shape)
        assert (objective.losses(other, data) > lowest).all()

"""Products inside compiled loops, against numpy and against each other."""

import numpy as np
import pytest

from plausibench.kernels.products import add_product, add_products


@pytest.mark.parametrize("lanes", [1, 3, 32])
@pytest.mark.parametrize(("senders", "receivers"), [(1, 1), (7, 3), (8, 5), (21, 10)])
def test_products_of_many_vectors_have_the_bits_of_each_alone(senders, receivers, lanes):
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((senders, lanes))
    matrix = generator.standard_normal((senders, receivers))
    start = generator.standard_normal((receivers, lanes))
    out = start.copy()
    add_products(vectors, matrix.ravel(), out)
    # Rounding of a sum of `senders` products.
    np.testing.assert_allclose(out, start + matrix.T @ vectors, rtol=0, atol=1e-13)
    for lane in range(lanes):
        alone = start[:, lane].copy()
        add_product(vectors[:, lane].copy(), matrix.ravel(), alone)
        np.testing.assert_array_equal(out[:, lane], alone)

"""Fixed points of maps, as rules that settle need them."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plausibench.rules.fixed_point import fixed_point


class TestFixedPoint:
    @given(st.integers(1, 4), st.integers(1, 3), st.floats(0.1, 3), st.integers(0, 99))
    @settings(max_examples=25)
    def test_of_a_linear_map_solves_its_equations(self, rows, size, strength, seed):
        """Also where plain turns would run away, in as many dimensions as turns are combined."""
        random = np.random.default_rng(seed)
        matrix = np.linalg.qr(random.standard_normal((size, size)))[0]
        matrix *= -strength * random.uniform(0.1, 1, size)
        assume(np.linalg.cond(np.eye(size) - matrix) < 100)
        shift = random.standard_normal((rows, size))
        found = fixed_point(lambda x: x @ matrix.T + shift, np.zeros((rows, size)), 1e-11, 200)
        exact = np.linalg.solve(np.eye(size) - matrix, shift.T).T
        np.testing.assert_allclose(found, exact, rtol=1e-7, atol=1e-8)

    def test_rows_do_not_see_each_other(self):
        start = np.array([[0.1, 0.4], [0.9, 0.2], [0.0, 3.0]])
        together = fixed_point(np.cos, start, 1e-13, 200)
        alone = np.concatenate([fixed_point(np.cos, row[None], 1e-13, 200) for row in start])
        np.testing.assert_allclose(together, alone, rtol=1e-12)
        np.testing.assert_allclose(together, 0.7390851332151607, rtol=1e-12)

    def test_says_when_there_is_none(self):
        assert fixed_point(lambda x: x + 1, np.zeros((2, 3)), 1e-11, 50) is None
        with np.errstate(over="ignore"):
            assert fixed_point(lambda x: np.exp(x) + 1, np.zeros((1, 1)), 1e-11, 50) is None

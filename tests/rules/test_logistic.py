"""The logistic function and its change."""

import numpy as np

from plausibench.rules.logistic import logistic, logistic_change


def test_change_of_the_logistic_function_keeps_its_digits():
    x = np.linspace(-30, 30, 61)
    slope = logistic(x) * logistic(-x)
    np.testing.assert_allclose(logistic_change(x, np.full(61, 1e-9)) / slope / 1e-9, 1, rtol=1e-3)
    for change in (-800.0, -3.0, 0.0, 2.0, 900.0):
        expected = logistic(x + change) - logistic(x)
        np.testing.assert_allclose(logistic_change(x, np.full(61, change)), expected, atol=1e-15)

"""The Poisson objective is the likelihood of counts."""

import numpy as np
from scipy import stats

from objective_cells import counts
from plausibench.objectives.poisson import Poisson


def test_poisson_is_the_likelihood_of_counts():
    rates, seen = np.random.default_rng(0).uniform(0.5, 4, (6, 3)), counts(6, 3)
    surprise = -stats.poisson.logpmf(seen, rates).sum(axis=1)
    constant = -stats.poisson.logpmf(seen, 1).sum(axis=1) - 3
    for objective, output in [
        (Poisson(), np.log(rates)),
        (Poisson(link="identity", offset=0), rates),
    ]:
        np.testing.assert_allclose(objective.losses(output, seen) + constant, surprise, rtol=1e-12)
        right = np.log(seen + 1) if objective.link == "log" else seen + 1
        np.testing.assert_allclose(objective.error(right, seen + 1), 0, atol=1e-12)

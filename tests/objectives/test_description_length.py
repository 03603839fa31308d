"""Description length: the shortest is minus the log evidence."""

import numpy as np
import pytest
from scipy import stats

from plausibench.objectives.description_length import DescriptionLength
from plausibench.objectives.generative import loadings


@pytest.mark.parametrize("variance", [0.2, 1.0, 3.0])
def test_the_shortest_description_is_minus_the_log_evidence(variance, record_figure):
    objective, columns = DescriptionLength(variance), loadings(0, 5, 3)
    data = np.random.default_rng(1).standard_normal((7, 5)) * 2
    # The posterior of a linear gaussian model.
    precision = np.eye(3) + columns.T @ columns / variance
    mean = np.linalg.solve(precision, columns.T @ data.T).T / variance
    spread = np.log(np.diag(np.linalg.inv(precision)))
    best = np.concatenate([mean, np.broadcast_to(spread, mean.shape)], axis=1)
    evidence = stats.multivariate_normal(
        np.zeros(5), columns @ columns.T + variance * np.eye(5)
    ).logpdf(data)
    gap = np.abs(objective.losses(best, data) + evidence).max()
    record_figure("free energy at its minimum, less minus the log evidence", gap, "1e-10")
    assert gap < 1e-10
    np.testing.assert_allclose(objective.error(best, data), 0, atol=1e-12)
    worse = best + 0.1 * np.random.default_rng(2).standard_normal(best.shape)
    assert (objective.losses(worse, data) > -evidence).all()

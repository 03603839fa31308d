"""Information gain: the expected change of a belief, and where a curious policy goes."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, gammaln

from plausibench.objectives.information_gain import InformationGain, information_gain
from plausibench.objectives.objective import softmax


def divergence(after, before):
    """Between two Dirichlet distributions, Kullback and Leibler's."""
    return (
        gammaln(after.sum())
        - gammaln(after).sum()
        - gammaln(before.sum())
        + gammaln(before).sum()
        + ((after - before) * (digamma(after) - digamma(after.sum()))).sum()
    )


def test_information_gain_is_the_expected_change_of_belief(record_figure):
    flat = float(information_gain(np.ones(2)))
    record_figure("information of a first coin toss, nats", flat, "log 2 - 1/2 = 0.1931")
    assert flat == pytest.approx(np.log(2) - 0.5, abs=1e-12)
    draw = np.random.default_rng(0)
    for size in (2, 3, 6):
        counts = draw.uniform(0.2, 9, size)
        each = [divergence(counts + unit, counts) for unit in np.eye(size)]
        assert information_gain(counts) == pytest.approx(counts / counts.sum() @ each, rel=1e-9)
    many = np.full(4, 1e4)
    assert information_gain(many) == pytest.approx(3 / (2 * many.sum()), rel=1e-3)
    # By sampling what is believed: mean over 20,000 draws within 4 standard errors.
    counts = np.array([2.0, 1.0, 0.5])
    drawn = draw.dirichlet(counts, 20_000)
    told = stats.entropy(counts / counts.sum()) - stats.entropy(drawn, axis=1)
    error = told.std() / np.sqrt(len(told))
    assert abs(told.mean() - information_gain(counts)) < 4 * error


def test_a_curious_policy_goes_where_least_is_known():
    objective, output = InformationGain(2), np.zeros((1, 3))
    counts = np.array([[50.0, 50, 1, 1, 20, 3]])
    for _ in range(400):
        output = output - 5 * objective.error(output, counts)
    assert softmax(output)[0, 1] > 0.95

"""Jumps of a regression: their tails, and whether an interval for their variance covers it."""

from dataclasses import dataclass

import numpy as np
import pytest

from plausibench import bench
from plausibench.rules.discontinuity import FEWEST, jump_weights
from plausibench.rules.estimate import Dense
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.rule import Rule

TRIALS = 16
"""Half of them on each side, on average: 6 or 7 on one of them in half of the draws."""


def lengths(inside, draws, seed=0):
    """Sum of squared weights of the limit from one side, of ``inside`` trials there, each draw."""
    generator = np.random.default_rng(seed)
    # Enough on the other side, where a mean is cheap: of them comes nothing but a constant.
    x = np.concatenate([generator.random((draws, inside)), -np.ones((draws, 1))], axis=1)
    weights, fitted = jump_weights(x, 1.0 + 1e-9, "local_linear")
    assert fitted.all()
    return (weights[:, :inside] ** 2).sum(axis=1)


def index(values, largest):
    """Index of the tail after Hill (1975), from the largest values."""
    top = np.sort(values)[-largest - 1 :]
    return 1 / np.mean(np.log(top[1:] / top[0]))


@pytest.mark.parametrize("inside", [FEWEST, FEWEST + 1])
def test_tail_of_lines(inside, record_figure):
    """Index (n - 1) / 2, above 2: the variance of squared draws is finite.

    The index from 1000 values has a standard error of 3 %, and is approached from below.
    """
    found = index(lengths(inside, 1_000_000), 1000)
    record_figure(f"tail index of lines through {inside} trials", found, (inside - 1) / 2)
    assert found == pytest.approx((inside - 1) / 2, rel=0.15)
    assert found > 2


def test_fewer_trials_make_a_mean():
    """Weights 1 / n, whose squares sum to 1 / n."""
    for inside in range(1, FEWEST):
        np.testing.assert_allclose(lengths(inside, 100), 1 / inside, rtol=1e-12)


@dataclass(frozen=True)
class Jumps(Rule):
    """Jump of noise of variance 1 for every weight: the estimator's variance, and no mean."""

    card = NodePerturbation.card

    def estimate(self, network, objective, batch, clean, state, noise):
        found = {}
        for p in network.projections:
            shape = np.empty((*p.synapse.shape, TRIALS))
            (x,) = noise.fractions({f"{p.name}.drive": shape}, shared=True).values()
            (y,) = noise.parameters({f"{p.name}.loss": shape}).values()
            weights, _ = jump_weights(np.moveaxis(2 * x - 1, -1, 1), 1.0, "local_linear")
            found[p.name] = Dense((np.moveaxis(weights, 1, -1) * y).sum(axis=-1))
        return found


def variance_of_a_jump():
    """Expected sum of squared weights, from as many draws as all intervals together see."""
    x = 2 * np.random.default_rng(7).random((400_000, TRIALS)) - 1
    return float((jump_weights(x, 1.0, "local_linear")[0] ** 2).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("samples", "repeats"),
    [
        (500, 300),
        pytest.param(2000, 150, marks=pytest.mark.acceptance),
        pytest.param(8000, 60, marks=pytest.mark.acceptance),
    ],
)
def test_intervals_for_the_variance_cover_it(samples, repeats, record_figure):
    """At least 93 % of intervals of 95 %; about 84 % with lines through 4 trials.

    The share of 300 intervals has a standard error of 1.3 %, that of 60 of 2.8 %; seeds are fixed.
    """
    network = bench.make("architecture", "mlp", sizes=[4, 3], bias=False, seed=0)
    objective = bench.make("objective", "mean_squared_error")
    batch = bench.Batch(np.eye(4)[:1], np.zeros((1, 3)))
    expected = variance_of_a_jump() * network.size
    covered = 0
    for seed in range(repeats):
        measured = bench.measure(
            Jumps(), network, objective, batch, samples=samples, seed=seed, threads=1
        )
        (row,) = (
            each
            for each in measured.rows
            if each["projection"] == "all" and each["quantity"] == "absolute_variance"
        )
        covered += row["low"] <= expected <= row["high"]
    share = covered / repeats
    record_figure(f"coverage of variance intervals, {samples} draws", share, 0.95)
    assert share >= 0.93

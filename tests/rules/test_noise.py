"""Noise that rules draw: actions follow their policy."""

import numpy as np

from plausibench import bench
from twin_cells import noise_of


def test_actions_follow_the_policy(record_figure):
    policy = np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
    batch = bench.Batch(np.zeros((2, 1)), np.zeros(2, dtype=int))
    actions = noise_of(batch, seed=5, samples=40_000).actions(policy)
    assert (actions[:, 1] == 1).all()
    shares = np.bincount(actions[:, 0], minlength=3) / 40_000
    # Five standard errors of the largest share.
    assert np.abs(shares - policy[0]).max() < 5 * np.sqrt(0.25 / 40_000)

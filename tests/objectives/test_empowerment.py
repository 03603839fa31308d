"""Empowerment: capacities that are known, and agents that maximise it."""

import numpy as np
import pytest
from scipy import stats

from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.empowerment import Empowerment, capacity, grid


def test_capacities_of_known_channels(record_figure):
    for flipped in (0.0, 0.1, 0.3, 0.5):
        channel = np.array([[1 - flipped, flipped], [flipped, 1 - flipped]])
        law = np.log(2) - stats.entropy([flipped, 1 - flipped])
        assert capacity(channel)[0] == pytest.approx(law, abs=1e-11)
    erased = np.array([[0.7, 0.3, 0], [0, 0.3, 0.7]])
    assert capacity(erased)[0] == pytest.approx(0.7 * np.log(2), abs=1e-11)
    # The Z channel, whose best input is not uniform.
    channel = np.array([[1, 0], [0.5, 0.5]])
    found, weights = capacity(channel)
    assert found == pytest.approx(np.log(1.25), abs=1e-11)
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=1e-5)
    with pytest.raises(InputError, match="not probabilities"):
        capacity(np.ones((2, 2)))
    with pytest.raises(Divergence, match="no capacity"):
        capacity(channel, steps=2)


def test_empowerment_in_a_grid_is_the_number_of_places_to_reach(record_figure):
    """Deterministic moves: log2 of the cells within reach."""
    for place, cells in [((2, 2), 5), ((0, 2), 4), ((0, 0), 3)]:
        bits = capacity(grid(5, 5, *place))[0] / np.log(2)
        record_figure(
            f"empowerment in a grid, {cells} cells in reach", bits, f"{np.log2(cells):.4f}"
        )
        assert bits == pytest.approx(np.log2(cells), abs=1e-10)
    far = {(r, c) for r in range(7) for c in range(7) if abs(r - 3) + abs(c - 3) <= 2}
    assert capacity(grid(7, 7, 3, 3, steps=2))[0] == pytest.approx(np.log(len(far)), abs=1e-10)
    with pytest.raises(InputError, match="row"):
        grid(3, 3, 3, 0)


def test_empowerment_of_sure_outcomes_is_at_rest():
    """Probabilities below the smallest number; the third action tells what the first one does."""
    output = np.array([[0.0, 1000.0], [1000.0, 0.0], [0.0, 1000.0]])
    goal, targets = bench.make("objective", "empowerment"), np.zeros(3, int)
    assert goal.loss(output, targets) == pytest.approx(-np.log(2), abs=1e-8)
    assert not goal.error(output, targets).any()


def test_an_agent_that_maximises_empowerment_tells_its_actions_apart():
    # An action that tells nothing is not taken, and stays so: the start matters.
    output = 0.3 * np.eye(4) + 0.1 * np.random.default_rng(0).standard_normal((4, 4))
    objective, start = Empowerment(1e-9), None
    for _ in range(200):
        start = objective.loss(output, None) if start is None else start
        output = output - objective.error(output, None)
    assert start > -0.05
    assert objective.loss(output, None) < -0.95 * np.log(4)

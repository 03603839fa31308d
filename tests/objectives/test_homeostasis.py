"""Homeostasis: set points, and drive reductions."""

import numpy as np
import pytest

from plausibench.objectives.homeostasis import Homeostasis


def test_homeostasis_reaches_its_set_point_and_drive_reductions_telescope():
    course = [np.array([[2.0, -1.0], [0.5, 3.0]])]
    for over in ("examples", "batch"):
        objective, course = Homeostasis(0.7, over), course[:1]
        for _ in range(200):
            course.append(course[-1] - 0.1 * objective.error(course[-1], None))
        # Each step leaves nine tenths of the distance.
        reached = course[-1] if over == "examples" else course[-1].mean(axis=0)
        np.testing.assert_allclose(reached, 0.7, atol=3 * 0.9**200)
        drive = [float(objective.loss(output, None)) for output in course]
        rewards = -np.diff(drive)
        assert rewards.sum() == pytest.approx(drive[0] - drive[-1], rel=1e-12)
        assert (rewards > 0).all()

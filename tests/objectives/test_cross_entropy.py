"""Cross-entropy refuses what is no probability."""

import numpy as np
import pytest

from objective_cells import network_and_batch
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.objectives.cross_entropy import CrossEntropy


def test_cross_entropy_refuses_what_is_no_probability():
    network, batch = network_and_batch()
    batch = bench.Batch(batch.inputs, np.array([[0.5, 0.5, 0, -0.25]] * 4))
    with pytest.raises(InputError, match=r"^targets: -0.25 is no probability; allowed"):
        bench.loss(network, CrossEntropy(), batch)

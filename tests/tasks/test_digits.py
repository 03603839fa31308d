"""The digits of scikit-learn."""

import numpy as np
import pytest

from plausibench.bench.tasks.digits import Digits
from plausibench.kernels.errors import (
    InputError,
)
from plausibench.objectives.batch import Batch
from task_cells import rows


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    task = Digits()
    assert np.array_equal(rows(task.train, task.test), rows(Batch(pixels / 16, labels)))
    assert (task.train.inputs.min(), task.train.inputs.max()) == (0, 1)
    kept, all_ = np.bincount(task.test.targets), np.bincount(labels)
    assert np.array_equal(kept, np.round(0.2 * all_))


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), "0.2", True, None])
def test_digits_refuse_another_fraction(value):
    with pytest.raises(InputError, match=r"^test_fraction: .* above 0 and below 1$"):
        Digits(test_fraction=value)

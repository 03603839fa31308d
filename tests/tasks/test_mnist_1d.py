"""MNIST-1D."""

import random
import sys

import numpy as np
import pytest

from plausibench.bench.tasks.mnist_1d import Mnist1d
from plausibench.kernels.errors import (
    InputError,
)


class TestMnist1d:
    def test_is_what_the_package_makes(self):
        from mnist1d.data import get_dataset_args, make_dataset

        made = make_dataset(get_dataset_args())
        task = Mnist1d()
        assert (task.train.size, task.test.size, task.inputs_size) == (4000, 1000, 40)
        assert np.array_equal(task.train.inputs, made["x"])
        assert np.array_equal(task.train.targets, made["y"])
        assert np.array_equal(task.test.inputs, made["x_test"])
        assert np.array_equal(task.test.targets, made["y_test"])

    def test_is_the_published_set(self):
        """First numbers of the first examples; last digits may differ between versions of scipy."""
        task = Mnist1d()
        expected = [-0.33200566736939013, -0.4719103656557236, -0.778697076293495]
        assert np.allclose(task.train.inputs[0, :3], expected, rtol=0, atol=1e-9)
        assert task.train.targets[:8].tolist() == [2, 6, 4, 5, 6, 6, 6, 0]
        both = np.concatenate([task.train.inputs, task.test.inputs])
        assert np.allclose((both.mean(), both.std()), (0, 1), rtol=0, atol=1e-12)

    def test_leaves_the_global_streams_as_they_are(self):
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        expected = np.random.random(3), random.random()  # noqa: NPY002
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        Mnist1d(seed=5).load()
        drawn = np.random.random(3), random.random()  # noqa: NPY002
        assert np.array_equal(drawn[0], expected[0])
        assert drawn[1] == expected[1]

    def test_seeds_differ_and_are_kept(self):
        first, again = Mnist1d(seed=5).load(), Mnist1d(seed=5).load()
        assert np.array_equal(first[0].inputs, again[0].inputs)
        assert not np.array_equal(first[0].inputs, Mnist1d().train.inputs)

    @pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, "1"])
    def test_refuses_other_seeds(self, seed):
        with pytest.raises(InputError, match=r"^seed: .* from 0 to 4294967295$"):
            Mnist1d(seed=seed)

    def test_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "mnist1d.data", None)
        with pytest.raises(
            InputError, match=r"^task: .*mnist1d.*pip install 'plausibench\[data\]'$"
        ):
            Mnist1d(seed=6).load()

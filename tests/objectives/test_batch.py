"""Batches: types, shapes, and parts of them."""

import numpy as np
import pytest

from plausibench.kernels.errors import (
    InputError,
)
from plausibench.objectives.batch import Batch


def test_batch_types():
    batch = Batch([[0, 1], [2, 3], [4, 5]], np.array([0, 2, 1], dtype=np.uint8))
    assert batch.size == 3
    assert batch.inputs.dtype == np.float64
    assert batch.targets.dtype == np.int64
    assert batch.keys.dtype == np.uint64
    assert batch.keys.tolist() == [0, 1, 2]


def test_single_precision_inputs_keep_it_and_give_it_to_regression_targets():
    batch = Batch(np.ones((2, 3), dtype=np.float32), np.ones((2, 1)))
    assert batch.inputs.dtype == np.float32
    assert batch.targets.dtype == np.float32


def test_batch_arrays_are_contiguous():
    batch = Batch(np.ones((3, 4)).T, np.ones((2, 4)).T, np.arange(8)[::2])
    assert all(a.flags.c_contiguous for a in (batch.inputs, batch.targets, batch.keys))


NAN = float("nan")


@pytest.mark.parametrize(
    ("inputs", "targets", "keys", "message"),
    [
        ([1.0, 2.0], [0, 1], None, r"^inputs: shape \(2,\) is not \(examples, inputs\)"),
        (np.empty((0, 3)), np.empty(0, int), None, r"^inputs: shape \(0, 3\)"),
        (np.empty((3, 0)), [0, 1, 2], None, r"^inputs: shape \(3, 0\)"),
        ([[1.0], [2.0, 3.0]], [0, 1], None, r"^inputs: .* unequal length"),
        ([["a"], ["b"]], [0, 1], None, r"^inputs: type <U1 is not a real number"),
        ([[1j], [2j]], [0, 1], None, r"^inputs: type complex128"),
        ([[None], [None]], [0, 1], None, r"^inputs: type object"),
        ([[1.0], [NAN]], [0, 1], None, r"^inputs: nan at \[1, 0\] is not a finite number"),
        ([[1.0], [-np.inf]], [0, 1], None, r"^inputs: -inf at \[1, 0\]"),
        ([[1.0], [2.0]], [0, 1, 2], None, r"^targets: shape \(3,\) does not match .* 2 examples"),
        ([[1.0], [2.0]], 1, None, r"^targets: shape \(\) does not match"),
        ([[1.0], [2.0]], [0, -1], None, r"^targets: -1 is not a class"),
        ([[1.0], [2.0]], [0.0, 1.0], None, r"^targets: float64 of shape \(2,\) is neither"),
        ([[1.0], [2.0]], [[0], [1]], None, r"^targets: int64 of shape \(2, 1\) is neither"),
        ([[1.0], [2.0]], np.empty((2, 0)), None, r"^targets: float64 of shape \(2, 0\)"),
        ([[1.0], [2.0]], [[0.5], [NAN]], None, r"^targets: nan at \[1, 0\]"),
        (np.ones((1, 1), np.float32), [[1e300]], None, r"^targets: inf at \[0, 0\]"),
        ([[1.0], [2.0]], [0, 1], [0], r"^keys: int64 of shape \(1,\) is not one whole number"),
        ([[1.0], [2.0]], [0, 1], [0, -1], r"^keys: int64 of shape \(2,\)"),
        ([[1.0], [2.0]], [0, 1], [0.0, 1.0], r"^keys: float64 of shape \(2,\)"),
    ],
)
def test_batch_refuses(inputs, targets, keys, message):
    with pytest.raises(InputError, match=message):
        Batch(inputs, targets, keys)


def test_take_moves_keys_with_their_rows():
    batch = Batch(np.arange(8.0).reshape(4, 2), [3, 1, 0, 2], [10, 11, 12, 13])
    taken = batch.take([2, 0, 2])
    assert taken.inputs.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert taken.targets.tolist() == [0, 3, 0]
    assert taken.keys.tolist() == [12, 10, 12]


@pytest.mark.parametrize("rows", [[], [0, 4], [-1], [0.0], [True, False, True, True], 2, [[0]]])
def test_take_refuses(rows):
    batch = Batch(np.ones((4, 2)), [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"^rows: .* positions from 0 to 3"):
        batch.take(rows)

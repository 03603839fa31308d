"""Memory that is taken again: never while anything refers to it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from plausibench.kernels import buffers
from plausibench.kernels.buffers import SMALL, empty


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 5), (20, 30, 40), (SMALL,)])
def test_has_shape_and_type(shape, dtype):
    array = empty(shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_memory_is_taken_again_when_it_is_free():
    first = empty((SMALL,), np.float64)
    place = first.ctypes.data
    del first
    gc.collect()
    places = {empty((SMALL,), np.float64).ctypes.data for _ in range(10)}
    assert places == {place}


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[3:],
        lambda a: a.reshape(2, -1).T,
        lambda a: a.reshape(4, -1)[1].view(np.int64)[::2],
        lambda a: memoryview(a),
        lambda a: np.broadcast_to(a, (3, a.size)),
    ],
)
def test_memory_is_not_taken_while_a_view_refers_to_it(view):
    array = empty((SMALL,), np.float64)
    kept, place = view(array), array.ctypes.data
    del array
    gc.collect()
    others = [empty((SMALL,), np.float64) for _ in range(5)]
    assert place not in {other.ctypes.data for other in others}
    assert len({other.ctypes.data for other in others}) == 5
    assert kept is not None


def test_threads_never_share_memory():
    def work(number):
        for _ in range(200):
            arrays = [empty((SMALL,), np.float32) for _ in range(3)]
            for index, array in enumerate(arrays):
                array[:] = number + index / 10
            if any((a != np.float32(number + i / 10)).any() for i, a in enumerate(arrays)):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(buffers, "MOST", 0)
    size = SMALL + 8
    held = [empty((size,), np.float64) for _ in range(3)]
    assert len(held) == 3
    assert not buffers._owners[size * 8]

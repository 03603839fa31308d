"""How many threads computations may use: as many as BLAS may.

Large products are divided among threads of our own. Those of BLAS wait for their next product in a
busy loop for a while, and would take a processor from whatever comes between.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.kernels.buffers import empty

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Array = np.ndarray

SMALL, LARGE = 1 << 18, 1 << 19
"""Multiplications from which BLAS would use its threads, and from which dividing is worth it."""


@lru_cache(maxsize=1)
def _pools() -> "ThreadpoolController":
    # Compiled products call the BLAS of scipy, which has threads of its own beside numpy's.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@lru_cache(maxsize=1)
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context in which BLAS uses one thread: with two, the last bits differ."""
    pools = _pools().lib_controllers  # a limit of theirs takes three times as long
    before = [pool.num_threads for pool in pools]
    for pool in pools:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        for pool, count in zip(pools, before, strict=True):
            pool.set_num_threads(count)


def blas_threads() -> int:
    """Threads that BLAS may use now."""
    return min((pool.num_threads for pool in _pools().lib_controllers), default=1)


def spread(function: Callable[..., object], blocks: Sequence[Any]) -> None:
    """Call ``function`` with every block, on as many threads as BLAS may use.

    Within a block BLAS uses one thread, so results have the same bits with any number of threads.
    """
    threads = min(blas_threads(), len(blocks))
    if threads == 1:
        for block in blocks:
            function(block)
        return
    left = deque(blocks)

    def work() -> None:
        while left:
            try:
                block = left.popleft()
            except IndexError:  # another thread was quicker
                return
            function(block)

    with one_blas_thread():
        others = [_workers(threads - 1).submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            for other in others:
                other.result()


def product(left: Array, right: Array) -> Array:
    """``left @ right``; a large one in as many parts as BLAS may use threads.

    Parameters
    ----------
    left
        ``(M, K)``, or with samples before: those are not divided.
    right
        ``(K, N)``, or with samples before.

    Returns
    -------
    ndarray
        ``(M, N)``, with samples before where a factor has some; a new array.
    """
    size = left.size * right.shape[-1]
    if left.ndim > 2 or right.ndim > 2 or size < SMALL:
        return left @ right
    threads, (rows, terms), columns = blas_threads(), left.shape, right.shape[1]
    kind = np.result_type(left, right)
    out = empty((rows, columns), kind)
    if threads == 1 or size < LARGE:
        with one_blas_thread():
            return np.matmul(left, right, out=out)
    edges = [max(rows, terms) * piece // threads for piece in range(threads + 1)]
    parts = [slice(low, high) for low, high in pairwise(edges)]
    if rows >= terms:
        spread(lambda part: np.matmul(left[part], right, out=out[part]), parts)
        return out
    sums = empty((threads, rows, columns), kind)
    spread(lambda n: np.matmul(left[:, parts[n]], right[parts[n]], out=sums[n]), range(threads))
    return sums.sum(axis=0, out=out)

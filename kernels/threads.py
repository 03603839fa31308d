"""How many threads computations may use: as many as BLAS may.

Large products are divided among threads of our own. Those of BLAS wait for their next product in a
busy loop for a while, and would take a processor from whatever comes between.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Array = np.ndarray

SMALL, LARGE = 1 << 18, 1 << 20
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


def one_blas_thread() -> AbstractContextManager[Any]:
    """Context in which BLAS uses one thread: with two, the last bits differ."""
    return _pools().limit(limits=1)


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
    """
    if left.ndim > 2 or right.ndim > 2 or left.size * right.shape[-1] < SMALL:
        return left @ right
    threads, rows = blas_threads(), len(left)
    if threads == 1:
        return left @ right
    if left.size * right.shape[-1] < LARGE:
        with one_blas_thread():
            return left @ right
    out = np.empty((rows, right.shape[-1]), np.result_type(left, right))
    edges = [rows * piece // threads for piece in range(threads + 1)]
    spread(
        lambda part: np.matmul(left[part], right, out=out[part]),
        [slice(low, high) for low, high in pairwise(edges)],
    )
    return out

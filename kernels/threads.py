"""How many threads computations may use: as many as BLAS may.

Large products are divided among threads of our own. Those of BLAS wait for their next product in a
busy loop for a while, and would take a processor from whatever comes between.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.kernels.buffers import empty

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Array = np.ndarray

SMALL = 1 << 18
"""Multiplications from which BLAS would use its threads."""
PART = 1 << 22
"""Multiplications that are worth a thread."""
ELEMENTS = 1 << 16
"""Elements to go through that are worth a thread."""
MOST = 8
"""Parts of a product at most: each brings its other factor into the cache again."""
TILE = 16
"""Rows or columns that BLAS takes together: elsewhere a division would change how they round."""

_granted: int | None = None
"""Threads that computations may use while BLAS is held to one; None where it is not."""


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
def _holding(threads: int) -> Iterator[None]:
    """Context in which BLAS uses one thread, and :func:`spread` this many."""
    global _granted
    before, _granted = _granted, threads
    # Where BLAS is held already nothing is asked of it, which takes a while.
    pools = _pools().lib_controllers if before is None else []
    counts = [pool.num_threads for pool in pools]
    for pool in pools:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        _granted = before
        for pool, count in zip(pools, counts, strict=True):
            pool.set_num_threads(count)


def one_blas_thread() -> AbstractContextManager[None]:
    """Context in which BLAS uses one thread, and large products too.

    With two threads the last bits of BLAS differ.
    """
    return _holding(1)


def all_threads() -> AbstractContextManager[None]:
    """Context in which BLAS uses one thread, and large products as many as BLAS might before.

    For many products one after the other: those of :func:`product` have the same bits with any
    number of threads, and BLAS is not asked for each how many it has.
    """
    return _holding(blas_threads())


def blas_threads() -> int:
    """Threads that computations may use now: as many as BLAS may."""
    if _granted is not None:
        return _granted
    return min((pool.num_threads for pool in _pools().lib_controllers), default=1)


def spread(function: Callable[..., object], blocks: Sequence[Any]) -> None:
    """Call ``function`` with every block, on as many threads as BLAS may use.

    Within a block BLAS uses one thread, so results have the same bits with any number of threads.
    """
    threads = min(blas_threads(), len(blocks))
    if threads <= 1:
        with nullcontext() if _granted else one_blas_thread():
            for block in blocks:
                function(block)
        return
    left, errors = deque(blocks), np.geterr()

    def work() -> None:
        with np.errstate(**errors):  # of other threads it is another
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


def by_rows(function: Callable[..., object], *arrays: Array) -> None:
    """Call ``function`` with the rows of arrays; those of large ones in parts, as of `spread`.

    Parameters
    ----------
    function
        Takes rows of all arrays and writes the last; what it writes depends on its row alone.
    *arrays
        With equally many rows, along the first axis.
    """
    out = arrays[-1]
    if out.size < 2 * ELEMENTS:
        function(*arrays)
        return
    few = max(1, ELEMENTS * len(out) // out.size)
    parts = [slice(first, first + few) for first in range(0, len(out), few)]
    spread(lambda part: function(*(array[part] for array in arrays)), parts)


def product(left: Array, right: Array) -> Array:
    """``left @ right``; a large one in parts, on as many threads as BLAS may use.

    The parts depend on the shapes alone, and BLAS uses one thread for each, so that the bits are
    the same with any number of threads.

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
    rows, columns = len(left), right.shape[1]
    out = empty((rows, columns), np.result_type(left, right))
    edges = _edges(max(rows, columns), size)
    if rows >= columns:
        pieces = [(left[low:high], right, out[low:high]) for low, high in pairwise(edges)]
    else:
        pieces = [(left, right[:, low:high], out[:, low:high]) for low, high in pairwise(edges)]
    spread(lambda piece: np.matmul(piece[0], piece[1], out=piece[2]), pieces)
    return out


def _edges(length: int, size: int) -> list[int]:
    """Where to divide an axis of a product of so many multiplications."""
    parts = 1
    while parts < MOST and size >= 2 * parts * PART and length >= 2 * parts * TILE:
        parts *= 2
    return [length * part // parts // TILE * TILE for part in range(parts)] + [length]

"""How many threads computations may use: as many as BLAS may."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


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
    return min((pool["num_threads"] for pool in _pools().info()), default=1)


def spread(function: Callable[..., None], blocks: Sequence[Any]) -> None:
    """Call ``function`` with every block, on as many threads as BLAS may use.

    Within a block BLAS uses one thread, so results have the same bits with any number of threads.
    """
    threads = min(blas_threads(), len(blocks))
    if threads == 1:
        for block in blocks:
            function(block)
        return
    with one_blas_thread():
        list(_workers(threads).map(function, blocks))

"""The decorator of every compiled function."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code on its first call with arguments of given types.

    Division by zero follows numpy (a check would block vectorisation), the interpreter lock is
    released, floating-point arithmetic is strict (bits do not depend on the processor), and the
    machine code is kept on disk. Where nothing can be kept, it is compiled anew in each process.

    Parameters
    ----------
    function : callable
        A function in the language of numba. It may call kernels of other files of this package:
        their sources name the folder of the machine code. Kernels outside the package call only
        kernels of their own file or of this package, for numba compares no other file.

    Returns
    -------
    callable
        The compiled function, with the same signature.
    """
    compiled: Any = partial(numba.njit, error_model="numpy", nogil=True)
    if _kept:
        try:
            return compiled(cache=True)(function)
        except RuntimeError:  # its source is in no file: typed at a prompt
            pass
    return compiled()(function)


def _writable(folder: str) -> bool:
    """Whether files can be written to ``folder``, which is made if need be."""
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


# Without this check numba would turn to folders beside the sources, where code that was compiled
# with an older version of another file is taken for current.
config: Any = numba.config
_kept = _writable(config.CACHE_DIR)

"""The decorator of every compiled function."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])
_Cache: Any = FunctionCache  # numba has no types


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code on its first call with arguments of given types.

    Division by zero follows numpy (a check would block vectorisation), the interpreter lock is
    released, floating-point arithmetic is strict (bits do not depend on the processor), and the
    machine code is kept on disk. Where nothing can be kept, or what was kept is damaged, it is
    compiled anew.

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
    compiled: Any = numba.njit(error_model="numpy", nogil=True)(function)
    if _kept and hasattr(compiled, "enable_caching"):  # not where compiling is disabled
        with suppress(RuntimeError):  # its source is in no file: typed at a prompt
            compiled._cache = _Disposable(function)  # noqa: SLF001 - as enable_caching does
    return compiled


class _Disposable(_Cache):  # type: ignore[misc]
    """Numba's cache of a function, whose loss costs the time to compile and nothing else."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code, or None where there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 - a damaged file can raise almost anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code if the disk takes it; a damaged index is begun anew."""
        with suppress(OSError):
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - the same
                self.flush()
                super().save_overload(sig, data)


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

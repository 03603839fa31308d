"""Compiled building blocks: the numba decorator, counter-based noise, elementwise functions."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

from plausibench.kernels import cache

cache.prepare()  # before any module here imports numba

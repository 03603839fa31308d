"""What all else stands on: compiled functions, random streams, places, refusals of bad input."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

from plausibench.kernels import cache

cache.prepare()  # before any module here imports numba

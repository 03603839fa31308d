"""Passes through time in blocks of examples, which do not act on each other.

Arrays of a pass have a row for each step and example, ``(..., T B, N)``; compiled loops see them
as ``(S, T, B, N)``, with S = 1 where all samples share them.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from plausibench.kernels.compiled import kernel

Array = np.ndarray

FULL = 64
"""Rows from which a larger product is hardly faster."""
LEAST = 16
"""Rows below which a product is not worth dividing."""


class Block(NamedTuple):
    """Samples and examples that go through time together."""

    first_sample: int
    last_sample: int
    first_example: int
    last_example: int


def blocks(samples: int, examples: int, apart: bool) -> list[Block]:
    """Divide all samples and examples, in the same way for any number of threads.

    Parameters
    ----------
    samples, examples
        S and B.
    apart
        Whether samples have weights of their own, and so need a product each.
    """
    if samples > 1 and not apart and examples <= FULL:
        group = max(1, FULL // max(1, examples))
        starts = range(0, samples, group)
        return [Block(s, min(s + group, samples), 0, examples) for s in starts]
    pieces = 1 if samples > 1 and examples <= FULL else max(2, examples // FULL)
    pieces = max(1, min(pieces, examples // LEAST))
    edges = [examples * piece // pieces for piece in range(pieces + 1)]
    return [Block(s, s + 1, first, last) for s in range(samples) for first, last in pairwise(edges)]


def by_step(rows: Array, examples: int) -> Array:
    """View of ``(..., T B, N)`` as ``(S, T, B, N)``."""
    size = rows.shape[-1]
    steps = rows.shape[-2] // examples
    whole = np.ascontiguousarray(rows)
    return whole.reshape(int(np.prod(rows.shape[:-2], dtype=np.int64)), steps, examples, size)


@kernel
def part(rows: Array, sample: int, step: int, first: int, last: int) -> Array:
    """Numbers of a step, in one dimension; ``sample`` is left aside where samples share them."""
    return rows[min(sample, rows.shape[0] - 1), step, first:last].reshape(-1)


@kernel
def product(before: Array, weights: Array, sample: int, out: Array) -> None:
    """Write ``before @ weights[sample]``; weights of shape ``(0, N, N)`` are none."""
    if weights.shape[0] > 0:
        np.dot(before, weights[min(sample, weights.shape[0] - 1)], out)

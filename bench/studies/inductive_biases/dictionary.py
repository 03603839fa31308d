"""A dictionary learned from data, whose codes are few or merely small."""

import numpy as np

from plausibench.kernels.errors import choose
from plausibench.kernels.streams import generator

Array = np.ndarray

COSTS = ("absolute", "squares")


def learned(
    data: Array,
    columns: int,
    cost: str,
    weight: float = 0.1,
    seed: int = 0,
    rounds: int = 60,
    steps: int = 12,
) -> Array:
    """Dictionary D with columns of length 1 that explains data as D times codes.

    Codes a minimise ``1/2 |x - D a|^2`` plus the cost of activity, ``weight |a|`` (Olshausen &
    Field 1996) or ``weight a^2``, by proximal gradient steps (Daubechies, Defrise & De Mol 2004);
    then the dictionary is the best for these codes (Engan, Aase & Husoy 1999), by turns.

    Parameters
    ----------
    data
        ``(B, N)``.
    columns
        Columns of the dictionary, which may be more than N.
    cost
        ``absolute`` or ``squares``.
    weight
        Of the cost.
    seed
        Of the first dictionary.
    rounds, steps
        Turns, and steps of the codes in each.

    Returns
    -------
    ndarray
        ``(N, columns)``.
    """
    cost = choose("cost", cost, COSTS)
    draw = generator(seed, "init", "dictionary")
    found = _normed(draw.standard_normal((data.shape[1], columns)))
    codes = np.zeros((len(data), columns))
    for _ in range(rounds):
        steepest = np.linalg.norm(found, 2) ** 2
        for _ in range(steps):
            codes = codes - (codes @ found.T - data) @ found / steepest
            if cost == "absolute":
                small = np.abs(codes) - weight / steepest
                codes = np.sign(codes) * np.maximum(small, 0)
            else:
                codes = codes / (1 + 2 * weight / steepest)
        # The ridge only keeps columns that are never used from dividing by zero.
        gram = codes.T @ codes + 1e-5 * len(data) * np.eye(columns)
        found = np.linalg.solve(gram, codes.T @ data).T
        unused = np.linalg.norm(found, axis=0) < 1e-6
        found[:, unused] = draw.standard_normal((data.shape[1], int(unused.sum())))
        found = _normed(found)
    return found


def _normed(columns: Array) -> Array:
    lengths: Array = np.linalg.norm(columns, axis=0)
    return columns / lengths


def recovered(found: Array, planted: Array, alike: float = 0.9) -> float:
    """Share of planted columns to which a found one has a cosine above ``alike``, up to sign."""
    return float((np.abs(planted.T @ found).max(axis=1) > alike).mean())

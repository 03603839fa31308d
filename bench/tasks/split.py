"""Splitting labelled examples into a training and a test set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.streams import generator


def stratified(
    labels: NDArray[np.integer[Any]], test_fraction: float, name: str, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the training and of the test set, each class in the same proportion.

    The split belongs to the data: it is keyed by ``name`` and a seed of the task's own, so that
    all seeds of a benchmark are tested on the same examples. A smaller test set is contained in a
    larger one.

    Parameters
    ----------
    labels : ndarray of int, shape (B,)
        Class of each example.
    test_fraction : float
        Share of the test set, above 0 and below 1, rounded for each class. A class of at
        least two examples has at least one in each set, a lone example is for training.
    name : str
        Name of the task.
    seed : int, default 0
        Seed of the task.

    Returns
    -------
    train, test : ndarray of int64
        Rows in random order; together each row once.
    """
    order = generator(seed, "data", name, "split").permutation(labels.size)
    held_out = np.zeros(labels.size, dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(round(test_fraction * members.size), 1), members.size - 1)
        held_out[members[:count]] = True
    return order[~held_out[order]], order[held_out[order]]


def shuffled(
    size: int, test_fraction: float, name: str, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the training and of the test set, whatever their targets.

    Parameters
    ----------
    size : int
        Number of examples B.
    test_fraction : float
        Share of the test set, above 0 and below 1; at least one example is in each set if there
        are two.
    name, seed
        As of :func:`stratified`.

    Returns
    -------
    train, test : ndarray of int64
        Rows in random order; together each row once.
    """
    order = generator(seed, "data", name, "split").permutation(size)
    count = min(max(round(test_fraction * size), 1), size - 1)
    return order[count:], order[:count]

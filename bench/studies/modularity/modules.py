"""Modules in a recurrent network: by function, by connections, by place, and their nulls.

Functional clusters are those of Yang et al. (2019): neurons alike in their variance across the
conditions of each task. Whether they are modules is asked of connections (modularity of directed
weighted graphs, Leicht & Newman 2008) and of places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plausibench.kernels.streams import generator

Array = np.ndarray

ACTIVE = 1e-3
"""Sum over tasks of the variance from which a neuron counts as active."""
MOST_CLUSTERS = 12
STARTS = 10
"""Random starts of k-means for each number of clusters."""
DRAWS = 500
"""Permutations of a null."""
ROUNDING = 1e-12
"""Differences of a statistic up to which its values are alike."""


def task_variance(rates: Array, conditions: Array, steps: Array) -> Array:
    """Variance of each neuron across the trials of each task, ``(N, tasks)``.

    Parameters
    ----------
    rates
        ``(T, B, N)``, without noise on the inputs.
    conditions
        Task of each trial, ``(B,)``, from 0.
    steps
        Weight of each step and trial in the mean over time, ``(T, B)``.
    """
    found = []
    for task in range(int(conditions.max()) + 1):
        own = conditions == task
        weight = steps[:, own].mean(axis=1)
        found.append(weight @ rates[:, own].var(axis=1) / weight.sum())
    return np.stack(found, axis=1)


def clusters(variance: Array, seed: int) -> Array:
    """Functional cluster of each neuron, ``(N,)``; -1 for those that are not active.

    K-means of the variances, each neuron's divided by its largest; the number of clusters is the
    one with the largest silhouette.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits

    labels = np.full(len(variance), -1)
    active = np.flatnonzero(variance.sum(axis=1) > ACTIVE)
    profiles = variance[active] / variance[active].max(axis=1, keepdims=True)
    different = len(np.unique(profiles.round(9), axis=0))
    if different < 3:
        labels[active] = 0
        return labels
    state = int(generator(seed, "clusters").integers(2**31))
    best = -1.0
    # So few neurons are clustered sooner by one thread than by several.
    with threadpool_limits(limits=1):
        for count in range(2, min(MOST_CLUSTERS, different - 1) + 1):
            found = KMeans(count, n_init=STARTS, random_state=state).fit_predict(profiles)
            score = float(silhouette_score(profiles, found))
            if score > best:
                best, labels[active] = score, found
    return labels


def modularity(weights: Array, labels: Array) -> float:
    """Weight within clusters beyond what in- and out-strengths explain, as a share of all.

    ``Q = (1/m) sum_ij (A_ij - out_j in_i / m) [c_i = c_j]`` with A the absolute weights
    ``(N, N)`` from j to i, and m their sum. 0 without weights.
    """
    absolute = np.abs(weights)
    total = absolute.sum()
    if total == 0:
        return 0.0
    members = (labels[:, None] == np.unique(labels)).astype(float)
    within = (members * (absolute @ members)).sum()
    expected = (absolute.sum(axis=1) @ members) @ (absolute.sum(axis=0) @ members)
    return float(within / total - expected / total**2)


def locality(distances: Array, labels: Array) -> float:
    """Mean distance of two neurons of one cluster over that of any two; 1 if labels are random.

    NaN if no cluster has two neurons.
    """
    above = np.triu_indices(len(labels), 1)
    within = (labels[:, None] == labels)[above]
    apart = distances[above]
    return float(apart[within].mean() / apart.mean()) if within.any() else float("nan")


def correlation(one: Array, other: Array) -> Callable[[Array], float]:
    """Correlation of two symmetric matrices over pairs of neurons (Mantel 1967).

    Returns
    -------
    callable
        Of an order of the neurons of the first, ``(N,)``; NaN if a matrix is constant.
    """
    i, j = np.triu_indices(len(one), 1)
    deviations = [matrix[i, j] - matrix[i, j].mean() for matrix in (one, other)]
    # The deviations of a constant may be the rounding of its mean.
    varies = all(np.ptp(matrix[i, j]) > 0 for matrix in (one, other))
    scale = float(np.prod([np.linalg.norm(each) for each in deviations])) if varies else 0.0

    def found(order: Array) -> float:
        return float(one[order[i], order[j]] @ deviations[1]) / scale if scale else float("nan")

    return found


def similarity(variance: Array) -> Array:
    """Cosine between the task variances of neurons, ``(N, N)``."""
    lengths = np.linalg.norm(variance, axis=1, keepdims=True)
    unit = variance / np.where(lengths > 0, lengths, 1.0)
    return unit @ unit.T


def autocorrelation(values: Array, distances: Array) -> float:
    """Moran's I of values at places, ``(N, K)``, weights being inverse distances; mean over K."""
    near = 1 / np.where(distances > 0, distances, np.inf)
    centred = values - values.mean(axis=0)
    scale = (centred**2).mean(axis=0)
    varying = scale > 0
    if not varying.any():
        return float("nan")
    products = (centred * (near @ centred)).sum(axis=0)
    return float((products[varying] / scale[varying]).mean() / near.sum())


@dataclass(frozen=True)
class Tested:
    """A statistic beside its distribution when neurons are relabelled at random.

    Attributes
    ----------
    value
        Statistic.
    z
        Distance to the mean of the null, in its standard deviations.
    p
        One-sided probability under the null of a value at least as extreme, never 0; NaN where
        the statistic is not defined, as that of a constant matrix.
    """

    value: float
    z: float
    p: float


def against_null(
    statistic: Callable[[Array], float],
    neurons: int,
    draw: np.random.Generator,
    *,
    small: bool,
) -> Tested:
    """Compare a statistic with its values when neurons are relabelled at random.

    Parameters
    ----------
    statistic
        Of the neuron that bears each label, ``(N,)``.
    neurons
        Number N.
    draw
        Generator of the permutations.
    small
        Whether small values are the extreme ones.
    """
    value = statistic(np.arange(neurons))
    if not np.isfinite(value):
        return Tested(value, float("nan"), float("nan"))
    null = np.array([statistic(draw.permutation(neurons)) for _ in range(DRAWS)])
    # Statistics are of order 1: what differs by rounding is alike, and ties are beyond.
    beyond = null <= value + ROUNDING if small else null >= value - ROUNDING
    spread = null.std(ddof=1)
    z = (value - null.mean()) / spread if spread > ROUNDING else float("nan")
    return Tested(value, float(z), float((1 + beyond.sum()) / (1 + DRAWS)))


def specificity(damage: Array) -> float:
    """How far lesions single out tasks, from 0 to 1; damage is ``(lesions, tasks)``.

    One minus the mean of the other tasks over the task most damaged, averaged over lesions in
    proportion to that damage; negative damage counts as none.
    """
    hurt = np.clip(damage, 0, None)
    most = hurt.max(axis=1)
    others = (hurt.sum(axis=1) - most) / (hurt.shape[1] - 1)
    return float(1 - others.sum() / most.sum()) if most.sum() > 0 else float("nan")

"""How well neurons were identified: what is predicted, where they look, and what they compute."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError, refusal
from plausibench.kernels.streams import generator

Array = NDArray[np.float64]

NEAR = 1.5
"""Distance, in pixels, up to which a place counts as found."""


def explained_variance(predicted: Array, responses: Array) -> Array:
    """Share of the variance of noiseless responses ``(B, N)`` that is predicted, ``(N,)``.

    1 for the true responses, 0 for their mean, below 0 for worse.
    """
    _alike(predicted, responses)
    return 1 - ((predicted - responses) ** 2).mean(axis=0) / responses.var(axis=0)


def explainable_variance_explained(predicted: Array, repeats: Array) -> Array:
    """Explained variance with the noise of single trials taken out, ``(N,)``.

    The same comes out of means over repeats, whose error and variance have an R-th of the noise.

    Parameters
    ----------
    predicted
        ``(B, N)``.
    repeats
        Trials ``(R, B, N)``, at least two of each image: what differs between them is noise.
    """
    noise = _noise(predicted, repeats)
    error = ((predicted - repeats) ** 2).mean(axis=(0, 1))
    # The mean of all trials has taken its share of the noise.
    count = repeats.shape[0] * repeats.shape[1]
    total = repeats.var(axis=(0, 1)) + noise / count
    return 1 - (error - noise) / (total - noise)


def correlation_of_means(predicted: Array, repeats: Array) -> Array:
    """Correlation of predictions with the means over repeats, ``(N,)``; 0 for constant ones."""
    _noise(predicted, repeats)
    means = repeats.mean(axis=0)
    one, two = predicted - predicted.mean(axis=0), means - means.mean(axis=0)
    lengths = np.sqrt((one**2).sum(axis=0) * (two**2).sum(axis=0))
    return (one * two).sum(axis=0) / np.where(lengths > 0, lengths, 1.0)


def location_errors(found: Array, true: Array) -> Array:
    """Distances ``(N,)``, in pixels, of places ``(N, 2)`` from where they should be.

    A kernel that is shifted one way and masks that are shifted the other predict the same, so
    the median shift of all neurons is taken out first.
    """
    _alike(found, true)
    off = np.asarray(found, float) - true
    return np.hypot(*(off - np.median(off, axis=0)).T)


def kernel_correlation(found: Array, true: Array) -> float:
    """Largest cosine of two kernels, square, over shifts of one and both signs."""
    from scipy.signal import correlate2d

    lengths = np.linalg.norm(found) * np.linalg.norm(true)
    return float(np.abs(correlate2d(found, true)).max() / lengths) if lengths else 0.0


def type_accuracy(features: Array, kinds: NDArray[np.int64], seed: int = 0) -> float:
    """Share of neurons in the right one of as many clusters of features as there are types.

    Features ``(N, K)`` are brought to length 1, since their size is that of a response, and to a
    positive sum. Clusters are those of k-means, named so that the share is largest.
    """
    from sklearn.cluster import KMeans

    names = np.unique(kinds)
    if len(features) != len(kinds):
        raise refusal("features", features.shape, f"a shape ({len(kinds)}, K)")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1.0)
    unit = unit * np.where(unit.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    state = int(generator(seed, "init", "clusters").integers(2**31))
    clusters = KMeans(len(names), n_init=10, random_state=state).fit_predict(unit)
    return max(float((np.array(order)[clusters] == kinds).mean()) for order in permutations(names))


def _noise(predicted: Array, repeats: Array) -> Array:
    """Variance of single trials around the mean of their image, unbiased, ``(N,)``."""
    if repeats.ndim != 3 or len(repeats) < 2:
        raise refusal("repeats", repeats.shape, "a shape (R, B, N) with at least two repeats")
    if repeats.shape[1:] != predicted.shape:
        raise InputError(
            f"predicted: shape {predicted.shape} does not fit repeats of shape {repeats.shape}"
        )
    return repeats.var(axis=0, ddof=1).mean(axis=0)


def _alike(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise InputError(f"shapes {one.shape} and {other.shape} are not the same")

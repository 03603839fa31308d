"""How well neurons were identified: what is predicted, where they look, and what they compute."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError, refusal
from plausibench.kernels.streams import generator

Array = NDArray[np.float64]

NEAR = 1.5
"""Distance, in pixels, up to which a place counts as found."""
CHANCE = 0.025
"""Probability with which a neuron that is all noise is taken for one with a signal."""


def explained_variance(predicted: Array, responses: Array) -> Array:
    """Share of the variance of noiseless responses ``(B, N)`` that is predicted, ``(N,)``.

    1 for the true responses, 0 for their mean, below 0 for worse; NaN for a neuron whose
    responses are all the same, of which there is nothing to explain.
    """
    _alike(predicted, responses)
    error = ((predicted - responses) ** 2).mean(axis=0)
    varies = responses.min(axis=0) < responses.max(axis=0)
    return 1 - error / np.where(varies, responses.var(axis=0), np.nan)


def explainable_variance_explained(predicted: Array, repeats: Array, limited: bool = True) -> Array:
    """Explained variance with the noise of single trials taken out, ``(N,)``.

    Error and variance of the means over repeats, less the noise that is left in them. The signal,
    which the error is a share of, has to be told from noise: of a neuron that is all noise, or
    silent, it would be a number near 0 of either sign.

    Parameters
    ----------
    predicted
        ``(B, N)``.
    repeats
        Trials ``(R, B, N)``, at least two: what differs between those of an image is noise. NaN
        where an image was shown less often than others, at least once.
    limited
        Whether an error that is estimated to be negative is none, so that no value is above 1.
        Without, values of single neurons may be, and their mean over neurons is unbiased.

    Returns
    -------
    ndarray, shape (N,)
        NaN where means over repeats do not vary more than noise would let them, by an
        F test at the level ``CHANCE``.
    """
    from scipy.special import fdtri

    means, noise, freedom = _trials(predicted, repeats)
    count = len(means)
    if count < 2:
        return np.full(means.shape[1], np.nan)
    left = noise * (1 - 1 / count)  # the mean over images has taken its share
    variance = means.var(axis=0)
    # A constant varies by rounding, which must not pass for a signal.
    varies = np.nanmin(repeats, axis=(0, 1)) < np.nanmax(repeats, axis=(0, 1))
    resolved = varies & (variance > left * fdtri(count - 1, freedom, 1 - CHANCE))
    error = ((predicted - means) ** 2).mean(axis=0) - noise
    if limited:
        error = np.maximum(error, 0.0)
    return 1 - error / np.where(resolved, variance - left, np.nan)


def correlation_of_means(predicted: Array, repeats: Array) -> Array:
    """Correlation of predictions with the means over repeats, ``(N,)``; 0 for constant ones.

    Trials are as of :func:`explainable_variance_explained`.
    """
    means, _, _ = _trials(predicted, repeats)
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


def _trials(predicted: Array, repeats: Array) -> tuple[Array, Array, Array]:
    """Means over trials ``(B, N)``, the variance that noise leaves in them, and its freedom.

    The variance is unbiased, a mean over images ``(N,)``; that of an image with one trial is
    taken from the others.
    """
    if repeats.ndim != 3 or len(repeats) < 2:
        raise refusal("repeats", repeats.shape, "a shape (R, B, N) with at least two repeats")
    if repeats.shape[1:] != predicted.shape:
        raise InputError(
            f"predicted: shape {predicted.shape} does not fit repeats of shape {repeats.shape}"
        )
    seen = ~np.isnan(repeats)
    count = seen.sum(axis=0)
    if np.isinf(repeats).any() or not count.all() or not (count > 1).any(axis=0).all():
        raise InputError(
            "repeats: a value is infinite, or an image has no trial, or a neuron none twice; "
            "allowed are numbers, or NaN for trials that are missing"
        )
    means = np.nanmean(repeats, axis=0)
    squares = np.where(seen, repeats - means, 0.0) ** 2
    several = count > 1
    single = squares.sum(axis=0) / np.where(several, count - 1, 1)
    common = (single * several).sum(axis=0) / several.sum(axis=0)
    noise = (np.where(several, single, common) / count).mean(axis=0)
    return means, noise, (count - 1).sum(axis=0).astype(float)


def _alike(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise InputError(f"shapes {one.shape} and {other.shape} are not the same")

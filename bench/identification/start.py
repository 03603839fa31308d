"""Where a neuron looks, before anything is fitted: the envelope of its spike-triggered average."""

import numpy as np

from plausibench.bench.identification.placement import Placement
from plausibench.bench.identification.recording import Recording

Array = np.ndarray


def envelope(averages: Array, placement: Placement, width: float, squared: bool = True) -> Array:
    """Smoothed energy of spike-triggered averages at every place of the kernel, ``(P, N)``.

    The average itself, smoothed, can fail: that of a centre with a strong surround is about zero
    where the neuron looks, and largest beside it. The square has its peak there.

    Parameters
    ----------
    averages
        ``(pixels, N)``.
    placement
        Places of the kernel; its middle is where an average is looked at.
    width
        Standard deviation of the smoothing, pixels.
    squared
        Whether to square before smoothing; otherwise the absolute value of the smoothed average.
    """
    from scipy.ndimage import gaussian_filter

    side, neurons = placement.side, averages.shape[1]
    maps = averages.T.reshape(neurons, side, side).astype(float)
    maps = maps - np.median(maps, axis=(1, 2), keepdims=True)
    smoothed = gaussian_filter(maps**2 if squared else maps, (0, width, width), mode="constant")
    first = placement.patch // 2
    inside = slice(first, first + placement.across)
    return np.abs(smoothed[:, inside, inside]).reshape(neurons, -1).T


def signal(recorded: Recording, placement: Placement, peaks: Array) -> Array:
    """Standard deviation of each neuron's response without noise, as seen from its peak ``(N,)``.

    That of white images: the length of the spike-triggered average in the window, less what
    noise adds to it. At least a tenth of the standard deviation of the responses.
    """
    windows = placement.covered[:, peaks]
    energy = (np.take_along_axis(recorded.cross, windows, axis=0) ** 2).sum(axis=0)
    noise = len(windows) * recorded.squares / recorded.size
    return np.sqrt(np.maximum(energy - noise, 0.01 * recorded.squares))

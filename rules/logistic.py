"""The logistic function, and differences of activity that keep their digits."""

import numpy as np

from plausibench.architectures.neurons import Neurons, Pointwise, TwoCompartment

Array = np.ndarray


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), for any x."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def logistic_change(x: Array, change: Array) -> Array:
    """Logistic function at ``x + change`` less that at ``x``.

    For a >= b, sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a)): a small change keeps
    its digits, which the difference of two rates would lose.
    """
    distance, high = np.abs(change), np.maximum(x, x + change)
    risen = logistic(high) * logistic(distance - high) * -np.expm1(-distance)
    return np.sign(change) * risen


def activity_change(neurons: Neurons, drive: Array, change: Array) -> Array:
    """Activity at ``drive + change`` less that at ``drive``.

    A small change keeps its digits for neurons whose rate is pointwise; others are subtracted.
    """
    if isinstance(neurons, TwoCompartment):
        c = neurons.attenuation
        return activity_change(neurons.rate, c * drive, c * change)
    name = neurons.activation if isinstance(neurons, Pointwise) else ""
    if name == "identity":
        return change
    if name == "sigmoid":
        return logistic_change(drive, change)
    if name == "tanh":
        return 2 * logistic_change(2 * drive, 2 * change)
    if name == "relu":
        return np.where(drive > 0, np.maximum(change, -drive), np.maximum(drive + change, 0))
    moved = neurons.activate(drive + change) - neurons.activate(drive)
    if name == "hard_sigmoid":
        # Of a unit within its bounds, up to the nearer of change and bound.
        inside = (drive >= 0) & (drive <= 1)
        return np.where(inside, np.clip(change, -drive, 1 - drive), moved)
    if name == "softplus":
        # Of log(1 + exp(x)) within 1; beyond, nothing cancels.
        near = np.clip(change, -1, 1)
        gentle = np.log1p(logistic(drive) * np.expm1(near))
        return np.where(near == change, gentle, moved)
    return moved

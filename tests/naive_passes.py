"""Naive twins of compiled passes through time: the neurons' own steps, in a plain loop.

Arrays of a pass are ``(S, T, B, N)`` and weights ``(S, N, N)``, with S = 1 where samples share
them; weights of None are none.
"""

import numpy as np


def of_sample(array, s):
    return array[min(s, len(array) - 1)]


def forward(neurons, weights, outside, noise, amplitude):
    """Drives without noise, activity and traces of every sample, step and example."""
    given = [a for a in (weights, outside, noise) if a is not None]
    samples = max(map(len, given))
    drives, rates, left = [], [], {name: [] for name in neurons.traces}
    for s in range(samples):
        driven = of_sample(outside, s)
        steps, examples, size = driven.shape
        activity = np.full((examples, size), getattr(neurons, "start", 0.0))
        state = neurons.rest(activity.shape, np.dtype(float))
        for t in range(steps):
            drive = driven[t].copy()
            if weights is not None:
                drive += np.einsum("ij,bj->bi", of_sample(weights, s), activity)
            reached = drive if noise is None else drive + amplitude * of_sample(noise, s)[t]
            traces = {name: np.empty((examples, size)) for name in neurons.traces}
            activity = neurons.step(state, reached, traces).copy()
            drives.append(drive)
            rates.append(activity)
            for name, trace in traces.items():
                left[name].append(trace)
    shape = (samples, steps, examples, size)
    traces = {name: np.reshape(trace, shape) for name, trace in left.items()}
    return np.reshape(drives, shape), np.reshape(rates, shape), traces


def adjoint(neurons, weights, slopes, arriving):
    """Signals on the drives for those that arrive at the activity."""
    signals = np.empty_like(arriving)
    for s in range(len(arriving)):
        after, carried = np.zeros(arriving.shape[2:]), {}
        for t in reversed(range(arriving.shape[1])):
            signal = arriving[s, t].copy()
            if weights is not None:
                signal += np.einsum("ij,bi->bj", of_sample(weights, s), after)
            now = tuple(of_sample(slope, s)[t] for slope in slopes)
            after = signals[s, t] = neurons.adjoint_step(now, signal, carried)
    return signals


def tangent(neurons, weights, slopes, outside):
    """Changes of drives and activity for changes of the drive from outside."""
    drives, changes = np.empty_like(outside), np.empty_like(outside)
    for s in range(len(outside)):
        before, moved = np.zeros(outside.shape[2:]), {}
        for t in range(outside.shape[1]):
            drives[s, t] = outside[s, t]
            if weights is not None:
                drives[s, t] += np.einsum("ij,bj->bi", of_sample(weights, s), before)
            now = tuple(of_sample(slope, s)[t] for slope in slopes)
            before = changes[s, t] = neurons.tangent_step(now, drives[s, t], moved).copy()
    return drives, changes

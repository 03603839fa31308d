"""Slow, obvious twins of the compiled building blocks, in plain Python and numpy."""

import math

import numpy as np
from scipy.special import expit

from plausibench.kernels.noise import EDGES, TAIL

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(state):
    """Words of splitmix64 from a state."""
    while True:
        state = state + GOLDEN & MASK
        yield mix(state)


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def xoshiro256(state):
    """Words of xoshiro256++ from a state of four words."""
    s = list(state)
    while True:
        yield (rotate((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)


def rotate(x, count):
    return (x << count | x >> 64 - count) & MASK


def words(key, sample, row):
    """Random words of one row."""
    seed = mix(key + GOLDEN & MASK)
    seed = mix(seed + sample * GOLDEN & MASK)
    seed = mix(seed + row * GOLDEN & MASK)
    state = splitmix64(seed)
    return xoshiro256([next(state) for _ in range(4)])


def fill(draw, key, samples, rows, size):
    """Array (S, R, N) whose rows are ``draw(words, N)``."""
    out = np.empty((len(samples), len(rows), size))
    for s, sample in enumerate(samples):
        for r, row in enumerate(rows):
            out[s, r] = draw(words(key, int(sample), int(row)), size)
    return out


def uniform(key, samples, rows, size):
    def draw(source, size):
        return [fraction(next(source)) for _ in range(size)]

    return fill(draw, key, samples, rows, size)


def rademacher(key, samples, rows, size):
    def draw(source, size):
        signs = []
        while len(signs) < size:
            word = next(source)
            signs += [-1 if word >> bit & 1 else 1 for bit in range(64)]
        return signs[:size]

    return fill(draw, key, samples, rows, size)


def normal(key, samples, rows, size):
    def draw(source, size):
        return [one_normal(source) for _ in range(size)]

    return fill(draw, key, samples, rows, size)


def one_normal(source):
    """Ziggurat: a point in a random layer, kept if it is below the density."""
    while True:
        word = next(source)
        layer = word & 255
        place = (word >> 10 | 1) - (1 << 54 if word >> 63 else 0)
        x = place * (EDGES[layer] / 2**53)
        if abs(place) < math.floor(EDGES[layer + 1] / EDGES[layer] * 2**53):
            return x
        if layer == 0:
            return math.copysign(tail(source), x)
        low, high = density(EDGES[layer]), density(EDGES[layer + 1])
        if low + (high - low) * fraction(next(source)) < density(x):
            return x


def tail(source):
    """A normal number above TAIL."""
    while True:
        excess = -math.log1p(-fraction(next(source))) / TAIL
        if -2 * math.log1p(-fraction(next(source))) > excess * excess:
            return TAIL + excess


def density(x):
    return math.exp(-x * x / 2)


def fraction(word):
    return (word >> 11) / 2**53


def activation(name, drive):
    """f(drive) with more digits than ``drive`` has, where the machine has such numbers."""
    x = drive.astype(np.longdouble)
    if name == "identity":
        return x
    if name == "tanh":
        return np.tanh(x)
    if name == "sigmoid":
        return expit(x)
    if name == "relu":
        return np.maximum(x, 0)
    if name == "hard_sigmoid":
        return np.clip(x, 0, 1)
    return np.logaddexp(0, x)


def slope(name, drive):
    """f'(drive) with more digits than ``drive`` has, where the machine has such numbers."""
    x = drive.astype(np.longdouble)
    if name == "identity":
        return np.ones_like(x)
    if name == "tanh":
        return 4 * expit(2 * x) * expit(-2 * x)
    if name == "sigmoid":
        return expit(x) * expit(-x)
    if name == "relu":
        return np.where(np.isnan(x), x, np.heaviside(x, 0))
    if name == "hard_sigmoid":
        return np.where(np.isnan(x), x, (x > 0) & (x < 1))
    return expit(x)


def descend(w, g, kept, rate, factor):
    """A step down g: the parameter after it, and its change without decay."""
    change = factor * (-rate * g)
    return kept * w + change, change


def descend_heavy_ball(w, g, v, kept, rate, factor, momentum):
    """The same, with the velocity after it (Polyak 1964)."""
    v = momentum * v + g
    return (*descend(w, v, kept, rate, factor), v)


def descend_adam(w, g, m, v, kept, rate, factor, first, second, count, epsilon):
    """The same, with both means after it, in the step of this count (Kingma & Ba 2015, alg. 1)."""
    m = first * m + (1 - first) * g
    v = second * v + (1 - second) * g * g
    unbiased, scale = m / (1 - first**count), (v / (1 - second**count)) ** 0.5 + epsilon
    return (*descend(w, unbiased / scale, kept, rate, factor), m, v)

"""Naive twins of recurrent weights made of modes, in plain loops over modes and neurons.

One recurrent layer with modes Xi_in (N, P), scores (P,) and Xi_out (P, N), and a linear readout.
"""

import numpy as np

import naive_time


def formed(into, scores, out):
    """W, one number after another."""
    neurons, modes = into.shape
    weights = np.zeros((neurons, neurons))
    for i in range(neurons):
        for j in range(neurons):
            for mu in range(modes):
                weights[i, j] += into[i, mu] * scores[mu] * out[mu, j]
    return weights


def pulled(g, into, scores, out):
    """Derivatives by Xi_in, scores and Xi_out of the sum of G times W."""
    neurons, modes = into.shape
    found = np.zeros_like(into), np.zeros_like(scores), np.zeros_like(out)
    for i in range(neurons):
        for j in range(neurons):
            for mu in range(modes):
                found[0][i, mu] += g[i, j] * scores[mu] * out[mu, j]
                found[1][mu] += into[i, mu] * g[i, j] * out[mu, j]
                found[2][mu, j] += into[i, mu] * scores[mu] * g[i, j]
    return found


def split(vector, *arrays):
    """Parts of a vector in the shapes of arrays."""
    ends = np.cumsum([array.size for array in arrays])
    parts = np.split(vector, ends[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


def uoro(weights, x, errors, signs, k, activation, epsilon):
    """Unbiased online recurrent optimisation in the parameters of the modes."""
    w_in, into, scores, out, b, w_out, c = weights
    w_rec = formed(into, scores, out)
    drives, rates, _ = naive_time.rate_trial((w_in, w_rec, b, w_out, c), x, k, activation)
    learned = (w_in, out, scores, into, b)
    s, theta = np.zeros(len(b)), np.zeros(sum(array.size for array in learned))
    g, norm = np.zeros_like(theta), np.linalg.norm
    for t, now in enumerate(x):
        f = naive_time.slope(activation, drives[t])
        forward = (1 - k) * s + k * f * (w_rec @ s)
        post = signs[t] * k * f
        modes = pulled(np.outer(post, rates[t]), into, scores, out)
        parts = np.outer(post, now), modes[2], modes[1], modes[0], post
        immediate = np.concatenate([part.ravel() for part in parts])
        r0 = np.sqrt((norm(theta) + epsilon) / (norm(forward) + epsilon))
        r1 = np.sqrt((norm(immediate) + epsilon) / (norm(signs[t]) + epsilon))
        s, theta = r0 * forward + r1 * signs[t], theta / r0 + immediate / r1
        g += (w_out.T @ errors[t]) @ s * theta
    return split(g, *learned)


def spiking_influence(w_in, into, scores, out, w_out, x, errors, refractory, pseudo):
    """Gradient of spiking neurons with a single filter by the influence of every parameter.

    Every number has the vector of its derivatives beside it, and a spike the pseudo-derivative;
    the reset passes derivatives on, the refractory period has none.
    """
    a_s, a_m, a_d = (np.exp(-2.0 / tau) for tau in (10.0, 20.0, 30.0))
    (n, inputs), modes = w_in.shape, len(scores)
    size = w_in.size + out.size + scores.size + into.size
    at_out, at_scores = w_in.size, w_in.size + out.size
    at_in = at_scores + scores.size
    current, potential, r, s = (np.zeros((n, 1 + size)) for _ in range(4))
    last, g, count = np.full(n, -(10**6)), np.zeros(size), 0
    for t, now in enumerate(x):
        seen = np.zeros((modes, 1 + size))
        for mu in range(modes):
            for j in range(n):
                seen[mu] += out[mu, j] * r[j]
                seen[mu, 1 + at_out + mu * n + j] += r[j, 0]
        scored = np.zeros_like(seen)
        for mu in range(modes):
            scored[mu] = scores[mu] * seen[mu]
            scored[mu, 1 + at_scores + mu] += seen[mu, 0]
        before = s.copy()
        for i in range(n):
            drive = np.zeros(1 + size)
            for j in range(inputs):
                drive[0] += w_in[i, j] * now[j]
                drive[1 + i * inputs + j] += now[j]
            for mu in range(modes):
                drive += into[i, mu] * scored[mu]
                drive[1 + at_in + i * modes + mu] += scored[mu, 0]
            current[i] = a_s * current[i] + drive
            gate = 1.0 if t > last[i] + refractory else 0.0
            charge = gate * (a_m * potential[i] + (1 - a_m) * current[i])
            kept = charge * (1 - before[i, 0])
            kept[1:] -= charge[0] * before[i, 1:]
            potential[i] = kept
            r[i] = a_d * r[i] + 2.0 / 30.0 * before[i]
        for i in range(n):
            distance = potential[i, 0] - 1
            s[i] = pseudo(np.array([distance]))[0] * potential[i]
            s[i, 0] = 1.0 if distance > 0 else 0.0
            if distance > 0:
                last[i], count = t, count + 1
        for i in range(n):
            g += (w_out.T @ errors[t])[i] * r[i, 1:]
    return split(g, w_in, out, scores, into), count

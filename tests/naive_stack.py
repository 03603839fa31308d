"""Rules that carry influence, in any stack of layers: all rates as one vector, explicit matrices.

For tanh rates that leak by k, of one trial; nothing is shared with the twins of a single layer.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass
class Stack:
    """A trial: rates (T + 1, N) with those before the first step, and derivatives of each step.

    ``jacobian`` is of all rates by those before, ``fresh`` by all drives, ``above`` by the drives
    in the same layer alone (its diagonal); ``q`` is the derivative of the loss of a step by the
    rates.
    """

    layers: list
    k: float
    between: np.ndarray
    recurrent: np.ndarray
    slopes: np.ndarray
    jacobian: np.ndarray
    fresh: np.ndarray
    q: np.ndarray
    rates: np.ndarray
    pre: list


def stack(network, x, errors, k):
    """Go through a trial x (T, N_in) with errors (T, N_out) at its readout."""
    w, names = network.parameters, [p.name for p in network.hidden]
    sizes = [p.size for p in network.hidden]
    ends = np.cumsum([0, *sizes])
    layers = [np.arange(a, b) for a, b in pairwise(ends)]
    total = ends[-1]
    between, recurrent = np.zeros((total, total)), np.zeros((total, total))
    for number, name in enumerate(names):
        recurrent[np.ix_(layers[number], layers[number])] = w[f"{name}.recurrent"]
        if number:
            below = layers[number - 1]
            between[np.ix_(layers[number], below)] = w[f"{name}.weights"]
    rates, slopes, pre = [np.zeros(total)], [], []
    for now in x:
        after, f, seen = rates[-1].copy(), np.zeros(total), []
        for number, name in enumerate(names):
            here = layers[number]
            below = now if number == 0 else after[layers[number - 1]]
            u = w[f"{name}.weights"] @ below + w[f"{name}.recurrent"] @ rates[-1][here]
            u = u + w[f"{name}.bias"]
            seen.append(np.concatenate([below, rates[-1][here], [1.0]]))
            after[here] = (1 - k) * rates[-1][here] + k * np.tanh(u)
            f[here] = 1 - np.tanh(u) ** 2
        rates.append(after)
        slopes.append(f)
        pre.append(seen)
    last = f"layer{len(names) + 1}.weights"
    q = np.zeros((len(x), total))
    q[:, layers[-1]] = errors @ w[last]
    jacobian, fresh = [], []
    for f in slopes:
        solved = np.linalg.inv(np.eye(total) - k * f[:, None] * between)
        jacobian.append(solved @ ((1 - k) * np.eye(total) + k * f[:, None] * recurrent))
        fresh.append(solved @ np.diag(k * f))
    arrays = map(np.array, (slopes, jacobian, fresh, q, rates))
    f, j, d, q, h = arrays
    return Stack(layers, k, between, recurrent, f, j, d, q, h, pre)


def gradients(network, at, post):
    """Outer products of post factors (T, N) with what each layer sees, by parameter."""
    found = {}
    for number, (name, here) in enumerate(
        zip([p.name for p in network.hidden], at.layers, strict=True)
    ):
        g = sum(np.outer(post[t][here], at.pre[t][number]) for t in range(len(post)))
        found |= named(name, g, len(here))
    return found


def named(name, g, n):
    inputs = g.shape[1] - n - 1
    return {
        f"{name}.weights": g[:, :inputs],
        f"{name}.recurrent": g[:, inputs : inputs + n],
        f"{name}.bias": g[:, -1],
    }


def kf_rtrl(network, at, signs, epsilon):
    """Signs (T,) by layer."""
    norm, found = np.linalg.norm, {}
    for number, (p, here) in enumerate(zip(network.hidden, at.layers, strict=True)):
        a, u, g = np.zeros((at.rates.shape[1], len(here))), 0.0, 0.0
        for t, sign in enumerate(signs[p.name]):
            z, forward, fresh = at.pre[t][number], at.jacobian[t] @ a, at.fresh[t][:, here]
            p1 = np.sqrt((norm(forward) + epsilon) / (norm(u) + epsilon))
            p2 = np.sqrt((norm(fresh) + epsilon) / (norm(z) + epsilon))
            u, a = p1 * u + sign * p2 * z, forward / p1 + sign * fresh / p2
            g = g + np.outer(at.q[t] @ a, u)
        found |= named(p.name, g, len(here))
    return found


def snap(network, at, order):
    """Influences (N, weights) of the weights onto one neuron after the other, masked."""
    found = {}
    # Patterns of the derivatives themselves, of trials in which no slope is 0.
    reached = at.fresh[0] != 0
    for _ in range(order - 1):
        reached = (np.abs(at.jacobian[0]) > 0) @ reached
    for number, (p, here) in enumerate(zip(network.hidden, at.layers, strict=True)):
        rows = []
        for i in here:
            influence, g = 0.0, 0.0
            for t, q in enumerate(at.q):
                fresh = np.outer(at.fresh[t][:, i], at.pre[t][number])
                carried = at.jacobian[t] @ influence if t else 0.0
                influence = reached[:, i : i + 1] * (carried + fresh)
                g = g + q @ influence
            rows.append(g)
        found |= named(p.name, np.array(rows), len(here))
    return found


def kernl(network, at, beta, kappa):
    """Sensitivities (N_last, N) of the last layer, decays (N,)."""
    post, last = np.zeros_like(at.slopes), at.layers[-1]
    for t in range(len(post)):
        for later in range(t, len(post)):
            post[t] += kappa ** (later - t) * (beta.T @ at.q[later][last])
    return gradients(network, at, at.k * at.slopes * post)


def dni(network, at, guesses, window):
    """Guesses (N, N), (N,) of the gradient after the last step of a window, over all layers."""
    post, steps = np.zeros_like(at.slopes), len(at.q)
    for t in range(steps):
        last = min((t // window + 1) * window, steps) - 1
        signal = at.q[last].copy()
        if last + 1 < steps:
            signal += guesses[0] @ at.rates[last + 1] + guesses[1]
        for step in range(last, t, -1):
            signal = at.q[step - 1] + at.jacobian[step].T @ signal
        post[t] = at.fresh[t].T @ signal
    return gradients(network, at, post)


def mod_prop(network, at, average, variant, means):
    """Recurrent weights averaged by types; means (N,) of slopes, None for those of each neuron."""
    post, total, direct = np.zeros_like(at.slopes), 0.0, 0.0
    eye = np.eye(at.rates.shape[1])
    for t in reversed(range(len(post))):
        later = at.slopes[min(t + 1, len(post) - 1)] if means is None else means
        told = total if variant == "modprop" else direct
        back = (1 - at.k) * total + average.T @ (at.k * later * told)
        # Errors of the layers above return in the same step, by the slopes there are.
        up = np.linalg.inv(eye - (at.k * at.slopes[t][:, None] * at.between).T)
        arriving = at.q[t] + back
        total = up @ arriving
        direct = total - back
        post[t] = at.k * at.slopes[t] * total
    return gradients(network, at, post)

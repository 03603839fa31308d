"""The influence of all weights on all rates, to rank one: what unbiased online learning carries."""

import numpy as np

from plausibench.architectures.network import Projection
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.influence import Arrays, Layers, backwards, forwards
from plausibench.rules.noise import Noise

Array = np.ndarray


def rank_one(course: Layers, noise: Noise, epsilon: float) -> Estimates:
    """Estimates of the weights onto recurrent layers by Tallec & Ollivier (2018).

    Parameters
    ----------
    epsilon
        Added to lengths, so that a factor of nothing is 1.
    """
    network, clean, size, names = course.network, course.clean, course.size, course.names
    signs = noise.examples({name: clean.drive[name] for name in names}, "rademacher")
    learned, errors = course.learned, course.errors
    before = {p.name: clean.presynaptic(p) for p in learned}
    count, steps = noise.samples.size, course.steps
    influence = {name: np.zeros_like(signs[name][:, :size]) for name in names}
    # What is carried is a sum of outer products, one of each step so far: only their factors,
    # their weights and the length of the sum are kept.
    posts = {p.name: np.empty((count, len(clean.output), p.synapse.factors[0])) for p in learned}
    weights = np.zeros((steps, count, size))
    totals = np.zeros_like(weights)
    square = np.zeros((count, size))
    for step in range(steps):
        here, now = course.rows(step), course.at(step)
        nu = {name: signs[name][here] for name in names}
        forward = forwards(network, now, influence)
        back = backwards(network, now, nu)
        for p in learned:
            posts[p.name][here] = network.postsynaptic(back, p)
        products = _products(learned, posts, before, step, size)
        first = balance(np.sqrt(square), length(forward), epsilon)
        second = balance(np.sqrt(products[step]), length(nu), epsilon)
        along_carried = (weights[:step] * products[:step]).sum(axis=0)
        square = square / first**2 + 2 * along_carried / (first * second)
        # Rounding may take a sum that cancels below zero.
        square = np.maximum(square + products[step] / second**2, 0)
        weights[:step] /= first
        weights[step] = 1 / second
        influence = {
            name: first[..., None] * forward[name] + second[..., None] * nu[name] for name in names
        }
        totals += weights * sum(
            (errors[name][here] * influence[name]).sum(axis=-1) for name in names
        )
    weighted = totals.swapaxes(0, 1).reshape(count, -1, 1)
    return {
        p.name: Outer((weighted * posts[p.name]).astype(network.dtype), before[p.name])
        for p in learned
    }


def balance(one: Array, other: Array, epsilon: float) -> Array:
    """Root of the ratio of two lengths, which makes two factors alike in length."""
    return np.sqrt((one + epsilon) / (other + epsilon))


def _products(
    learned: list[Projection],
    posts: Arrays,
    before: Arrays,
    step: int,
    size: int,
) -> Array:
    """Inner products of the outer product of a step with those up to it, ``(step + 1, S, B)``."""
    total = np.zeros(())
    for p in learned:
        sizes = p.synapse.factors
        post = posts[p.name][:, : (step + 1) * size].reshape(-1, step + 1, size, sizes[0])
        pre = before[p.name][: (step + 1) * size].reshape(step + 1, size, -1)
        if p.synapse.separable:
            across = np.einsum("tbm,bm->tb", pre, pre[-1])[:, None]
            total = total + np.einsum("stbn,sbn->tsb", post, post[:, -1]) * across
        else:
            formed = p.synapse.outer(post[..., None, :], pre[..., None, :])
            formed = formed.reshape(*post.shape[:3], -1)
            total = total + np.einsum("stbw,sbw->tsb", formed, formed[:, -1])
    return total


def length(parts: Arrays) -> Array:
    """Length over all parts ``(S, B, ...)`` together, for each sample and trial."""
    squares = [(part.reshape(*part.shape[:2], -1) ** 2).sum(axis=-1) for part in parts.values()]
    return np.sqrt(sum(squares[1:], squares[0]))

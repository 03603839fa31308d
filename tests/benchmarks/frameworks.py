"""The same statistics of the same estimator in other frameworks, as their users would write it.

Node perturbation, antithetic, gaussian, on a tanh network with cross-entropy: relative squared bias
(U-statistic) and relative variance from K estimates of the gradient. Every function takes a
:class:`Problem` and K, and returns ``(bias_squared, variance)``.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

SIGMA = 1e-3
CHUNK = 16


@dataclass(frozen=True)
class Problem:
    """Weights, biases, inputs, classes and the exact gradient, in one floating-point type."""

    weights: list
    biases: list
    inputs: np.ndarray
    targets: np.ndarray
    gradient: list  # of weights and bias of each layer, alternating
    sigma: float = SIGMA

    @property
    def shapes(self):
        """Shape of the noise of each layer."""
        return [(len(self.inputs), len(bias)) for bias in self.biases]


def summarise(total, squares, gradient, count):
    """Relative squared bias and variance from sums of deviations and of their squares."""
    length = sum(float((t * t).sum()) for t in total)
    g2 = sum(float((g * g).sum()) for g in gradient)
    variance = (squares - length / count) / (count - 1)
    return (length - squares) / (count * (count - 1)) / g2, variance / g2


@cache
def torch_parts(threads):
    """PyTorch, and the losses of a pass with noise on every drive."""
    import torch

    torch.set_num_threads(threads)

    def losses(weights, biases, inputs, targets, noise):
        a = inputs
        for layer, (w, b, xi) in enumerate(zip(weights, biases, noise, strict=True)):
            z = a @ w.T + b + xi
            a = z if layer == len(weights) - 1 else torch.tanh(z)
        return torch.nn.functional.cross_entropy(a, targets, reduction="none")

    return torch, losses


def torch_state(problem):
    """The problem as tensors, with the activities of the clean pass."""
    torch, _ = torch_parts(2)
    weights = [torch.tensor(w) for w in problem.weights]
    biases = [torch.tensor(b) for b in problem.biases]
    inputs, targets = torch.tensor(problem.inputs), torch.tensor(problem.targets)
    pre, a = [], inputs
    for w, b in zip(weights, biases, strict=True):
        pre.append(a)
        a = torch.tanh(a @ w.T + b)
    return weights, biases, inputs, targets, pre, [torch.tensor(g) for g in problem.gradient]


def torch_estimate(problem, state, noise):
    """One estimate of the gradient, formed."""
    losses = torch_parts(2)[1]
    weights, biases, inputs, targets, pre, _ = state
    plus = losses(weights, biases, inputs, targets, [problem.sigma * xi for xi in noise])
    minus = losses(weights, biases, inputs, targets, [-problem.sigma * xi for xi in noise])
    change = (plus - minus) / (2 * problem.sigma) / len(inputs)
    estimate = []
    for xi, a in zip(noise, pre, strict=True):
        post = change[:, None] * xi
        estimate += [post.T @ a, post.sum(dim=0)]
    return estimate


def torch_loop(problem, count):
    """An eager loop over estimates."""
    torch, _ = torch_parts(2)
    state = torch_state(problem)
    gradient, dtype = state[-1], state[0][0].dtype
    total, squares = [torch.zeros_like(g) for g in gradient], 0.0
    with torch.no_grad():
        for _ in range(count):
            noise = [torch.randn(shape, dtype=dtype) for shape in problem.shapes]
            for t, estimate, g in zip(
                total, torch_estimate(problem, state, noise), gradient, strict=True
            ):
                d = estimate - g
                t += d
                squares += float((d * d).sum())
    return summarise([t.numpy() for t in total], squares, problem.gradient, count)


def torch_vmap(problem, count):
    """Chunks of estimates by vmap."""
    torch, _ = torch_parts(2)
    state = torch_state(problem)
    gradient, dtype = state[-1], state[0][0].dtype
    total, squares = [torch.zeros_like(g) for g in gradient], 0.0
    batched = torch.vmap(lambda *noise: tuple(torch_estimate(problem, state, noise)))
    with torch.no_grad():
        for _ in range(count // CHUNK):
            noise = [torch.randn((CHUNK, *shape), dtype=dtype) for shape in problem.shapes]
            for t, estimate, g in zip(total, batched(*noise), gradient, strict=True):
                d = estimate - g
                t += d.sum(dim=0)
                squares += float((d * d).sum())
    return summarise([t.numpy() for t in total], squares, problem.gradient, count)


@cache
def jax_modules():
    """JAX on the processor, with float64 allowed."""
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


def jax_losses(weights, biases, inputs, targets, noise):
    """Losses of a pass with noise on every drive."""
    jax, jnp = jax_modules()
    a = inputs
    for layer, (w, b, xi) in enumerate(zip(weights, biases, noise, strict=True)):
        z = a @ w.T + b + xi
        a = z if layer == len(weights) - 1 else jnp.tanh(z)
    return -jax.nn.log_softmax(a)[jnp.arange(len(targets)), targets]


def jax_posts(problem, key):
    """Noise of one estimate and its post factors."""
    jax, _ = jax_modules()
    keys = jax.random.split(key, len(problem.shapes))
    dtype = problem.inputs.dtype
    noise = [jax.random.normal(k, s, dtype) for k, s in zip(keys, problem.shapes, strict=True)]
    arguments = (problem.weights, problem.biases, problem.inputs, problem.targets)
    plus = jax_losses(*arguments, [problem.sigma * xi for xi in noise])
    minus = jax_losses(*arguments, [-problem.sigma * xi for xi in noise])
    change = (plus - minus) / (2 * problem.sigma) / len(problem.inputs)
    return [change[:, None] * xi for xi in noise]


def clean_activities(problem):
    """Presynaptic activities of the clean pass."""
    pre, a = [], problem.inputs
    for w, b in zip(problem.weights, problem.biases, strict=True):
        pre.append(a)
        a = np.tanh(a @ w.T + b)
    return pre


def jax_scan(problem, count):
    """Jitted scan over estimates, each formed."""
    pre = clean_activities(problem)

    def one(carry, key):
        total, squares = carry
        estimate = []
        for post, a in zip(jax_posts(problem, key), pre, strict=True):
            estimate += [post.T @ a, post.sum(axis=0)]
        d = [e - g for e, g in zip(estimate, problem.gradient, strict=True)]
        squares = squares + sum((x * x).sum() for x in d)
        return ([t + x for t, x in zip(total, d, strict=True)], squares), None

    total, squares = scan(problem, ("scan", count), one, count)
    return summarise([np.asarray(t) for t in total], float(squares), problem.gradient, count)


def jax_identities(problem, count):
    """The same with the identities of this package: no estimate is formed."""
    pre = clean_activities(problem)
    grams = [a @ a.T + 1 for a in pre]  # the bias is a weight from a constant 1
    along = [
        a @ g.T + b
        for a, g, b in zip(pre, problem.gradient[::2], problem.gradient[1::2], strict=True)
    ]
    g2 = sum(float((g * g).sum()) for g in problem.gradient)

    def one(carry, key):
        total, squares = carry
        posts = jax_posts(problem, key)
        length = sum(((p @ p.T) * gram).sum() for p, gram in zip(posts, grams, strict=True))
        inner = sum((p * r).sum() for p, r in zip(posts, along, strict=True))
        squares = squares + length - 2 * inner + g2
        return ([t + p for t, p in zip(total, posts, strict=True)], squares), None

    posts, squares = scan(problem, ("identities", count), one, count, factors=True)
    total = []
    for p, a, gw, gb in zip(posts, pre, problem.gradient[::2], problem.gradient[1::2], strict=True):
        total += [np.asarray(p).T @ a - count * gw, np.asarray(p).sum(axis=0) - count * gb]
    return summarise(total, float(squares), problem.gradient, count)


COMPILED = {}


def scan(problem, name, one, count, factors=False):
    """Run a jitted scan, compiled once for a problem."""
    jax, jnp = jax_modules()
    dtype = problem.inputs.dtype
    like = problem.shapes if factors else [g.shape for g in problem.gradient]

    def whole(key):
        start = ([jnp.zeros(shape, dtype) for shape in like], jnp.zeros((), dtype))
        return jax.lax.scan(one, start, jax.random.split(key, count))[0]

    key = (id(problem), name)
    if key not in COMPILED:
        COMPILED[key] = jax.jit(whole)
    return jax.block_until_ready(COMPILED[key](jax.random.key(0)))


FRAMEWORKS = {
    "PyTorch, eager loop": torch_loop,
    "PyTorch, vmap": torch_vmap,
    "JAX, jit and scan": jax_scan,
    "JAX, with the same identities": jax_identities,
}
NEEDS = {name: name.split(",")[0].lower().replace("pytorch", "torch") for name in FRAMEWORKS}

"""Updates of rules in time in other frameworks, each given the reverse-time form.

One recurrent layer with a linear readout, squared error at every step. What returns through the
recurrent weights makes the rule: all of them (BPTT), their diagonal (e-prop) or nothing (RFLO); a
dense matrix, a vector and None here. Every function takes a :class:`Problem` and returns the
gradient estimates of input, recurrent and readout weights.
"""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from frameworks import jax_modules


@dataclass(frozen=True)
class Problem:
    """A cell in one floating-point type."""

    kind: str  # rate or spiking
    rule: str
    weights: tuple  # of input, recurrence and readout
    feedback: np.ndarray  # (N, N_out), weights from the errors to the neurons
    inputs: np.ndarray  # (T, B, N_in)
    targets: np.ndarray  # (T, B, N_out)
    factors: tuple  # k of rates; a_s, a_m, a_d, weight of a spike, refractory steps, k and h else

    @property
    def returned(self):
        """What returns through the recurrent weights."""
        recurrent = self.weights[1]
        choice = {"backpropagation_through_time": recurrent, "e_prop": np.diag(recurrent).copy()}
        return choice.get(self.rule)


@cache
def torch_module():
    """PyTorch with the threads it takes by itself."""
    import torch

    return torch


TENSORS = {}


def tensors(problem):
    """The problem's arrays as tensors, made once."""
    torch = torch_module()
    if id(problem) not in TENSORS:
        arrays = (*problem.weights, problem.feedback, problem.inputs, problem.targets)
        returned = problem.returned
        back = None if returned is None else torch.tensor(returned)
        TENSORS[id(problem)] = problem, [torch.tensor(array) for array in arrays], back
    return TENSORS[id(problem)][1:]


def torch_update(problem):
    """Eager loops over steps, without automatic differentiation."""
    torch = torch_module()
    (w_in, w_rec, w_out, feedback, inputs, targets), back = tensors(problem)
    with torch.no_grad():
        driven = inputs @ w_in.T
        passes = torch_rate if problem.kind == "rate" else torch_spikes
        rates, adjoint = passes(torch, problem.factors, driven, w_rec)
        error = (rates @ w_out.T - targets) / (len(targets) * targets.shape[1])
        posts = adjoint(error @ feedback.T, back)
        flat, count = posts.reshape(-1, posts.shape[-1]), posts.shape[1]
        before = rates[:-1].reshape(-1, rates.shape[-1])
        return (
            flat.T @ inputs.reshape(-1, inputs.shape[-1]),
            flat[count:].T @ before,
            error.reshape(-1, error.shape[-1]).T @ rates.reshape(-1, rates.shape[-1]),
        )


def torch_rate(torch, factors, driven, w_rec):
    """Rates of all steps, and the function that returns signals."""
    (k,) = factors
    rates, slopes = torch.empty_like(driven), torch.empty_like(driven)
    h, matrix = torch.zeros_like(driven[0]), w_rec.T.contiguous()
    for t in range(len(driven)):
        f = torch.addmm(driven[t], h, matrix).tanh_()
        h = torch.lerp(h, f, k)
        rates[t] = h
        torch.mul(f, f, out=slopes[t]).neg_().add_(1).mul_(k)

    def adjoint(arriving, back):
        posts, carried = torch.empty_like(driven), torch.zeros_like(driven[0])
        for t in reversed(range(len(driven))):
            signal = arriving[t] + carried
            if back is not None and t + 1 < len(driven):
                after = posts[t + 1]
                signal += after @ back if back.ndim == 2 else after * back
            torch.mul(slopes[t], signal, out=posts[t])
            carried = signal.mul_(1 - k)
        return posts

    return rates, adjoint


def torch_spikes(torch, factors, driven, w_rec):
    """The same for integrate-and-fire neurons."""
    a_s, a_m, a_d, weight, refractory, sharpness, height = factors
    rates, pseudo, opened, charges = (torch.empty_like(driven) for _ in range(4))
    current, potential, spike, r = (torch.zeros_like(driven[0]) for _ in range(4))
    since, matrix = torch.full_like(driven[0], refractory + 1), w_rec.T.contiguous()
    for t in range(len(driven)):
        current = torch.addmm(driven[t], r, matrix).add_(current, alpha=a_s)
        gate, quiet = (since >= refractory).to(driven.dtype), 1 - spike
        charge = gate * (a_m * potential + (1 - a_m) * current)
        potential = charge * quiet
        r = a_d * r + weight * spike
        away = potential - 1
        spike = (away > 0).to(driven.dtype)
        since = (since + 1) * (1 - spike)
        rates[t], charges[t], opened[t] = r, charge, gate * quiet
        pseudo[t] = height / (1 + sharpness * away.abs()) ** 2

    def adjoint(arriving, back):
        posts = torch.empty_like(driven)
        spike, filtered, voltage, carried = (torch.zeros_like(driven[0]) for _ in range(4))
        for t in reversed(range(len(driven))):
            filtered = filtered + arriving[t]
            if back is not None and t + 1 < len(driven):
                after = posts[t + 1]
                filtered += after @ back if back.ndim == 2 else after * back
            potential = voltage + pseudo[t] * spike
            into = opened[t] * potential
            now = carried + (1 - a_m) * into
            spike = weight * filtered - charges[t] * potential
            filtered, voltage, carried = a_d * filtered, a_m * into, a_s * now
            posts[t] = now
        return posts

    return rates, adjoint


def jax_rate(factors, driven, w_rec):
    """Rates of all steps, and the function that returns signals."""
    jax, jnp = jax_modules()
    (k,) = factors

    def step(h, now):
        f = jnp.tanh(now + h @ w_rec.T)
        h = (1 - k) * h + k * f
        return h, (h, k * (1 - f * f))

    start = jnp.zeros_like(driven[0])
    rates, slopes = jax.lax.scan(step, start, driven)[1]

    def adjoint(arriving, returned):
        def back(carry, now):
            carried, after = carry
            slope, signal = now
            signal = signal + carried + returned(after)
            return ((1 - k) * signal, slope * signal), slope * signal

        return jax.lax.scan(back, (start, start), (slopes, arriving), reverse=True)[1]

    return rates, adjoint


def jax_spikes(factors, driven, w_rec):
    """The same for integrate-and-fire neurons."""
    jax, jnp = jax_modules()
    a_s, a_m, a_d, weight, refractory, sharpness, height = factors
    start = jnp.zeros_like(driven[0])

    def step(carry, now):
        current, potential, spike, r, since = carry
        current = a_s * current + now + r @ w_rec.T
        gate = (since >= refractory).astype(now.dtype)
        charge = gate * (a_m * potential + (1 - a_m) * current)
        potential, opened = charge * (1 - spike), gate * (1 - spike)
        r = a_d * r + weight * spike
        away = potential - 1
        spike = (away > 0).astype(now.dtype)
        pseudo = height / (1 + sharpness * abs(away)) ** 2
        left = r, pseudo, opened, charge
        return (current, potential, spike, r, (since + 1) * (1 - spike)), left

    first = (start, start, start, start, jnp.full_like(start, refractory + 1))
    rates, *slopes = jax.lax.scan(step, first, driven)[1]

    def adjoint(arriving, returned):
        def back(carry, now):
            spike, filtered, voltage, carried, after = carry
            pseudo, opened, charge, signal = now
            filtered = filtered + signal + returned(after)
            potential = voltage + pseudo * spike
            into = opened * potential
            post = carried + (1 - a_m) * into
            spike = weight * filtered - charge * potential
            return (spike, a_d * filtered, a_m * into, a_s * post, post), post

        return jax.lax.scan(back, (start,) * 5, (*slopes, arriving), reverse=True)[1]

    return rates, adjoint


COMPILED = {}


def jax_update(problem):
    """Jitted scans over steps."""
    jax, jnp = jax_modules()
    if id(problem) not in COMPILED:
        passes = jax_rate if problem.kind == "rate" else jax_spikes
        given = problem.returned

        def returned(after, back):
            if given is None:
                return 0
            return after @ back if given.ndim == 2 else after * back

        def whole(w_in, w_rec, w_out, feedback, inputs, targets, back):
            rates, adjoint = passes(problem.factors, inputs @ w_in.T, w_rec)
            error = (rates @ w_out.T - targets) / (len(targets) * targets.shape[1])
            posts = adjoint(error @ feedback.T, partial(returned, back=back))
            return (
                jnp.einsum("tbi,tbj->ij", posts, inputs),
                jnp.einsum("tbi,tbj->ij", posts[1:], rates[:-1]),
                jnp.einsum("tbi,tbj->ij", error, rates),
            )

        arrays = (*problem.weights, problem.feedback, problem.inputs, problem.targets)
        arrays = (*arrays, np.zeros(1) if given is None else given)
        COMPILED[id(problem)] = problem, jax.jit(whole), [jnp.asarray(a) for a in arrays]
    _, compiled, arrays = COMPILED[id(problem)]
    return jax.block_until_ready(compiled(*arrays))


FRAMEWORKS = {"PyTorch": torch_update, "JAX": jax_update}
NEEDS = {"PyTorch": "torch", "JAX": "jax"}

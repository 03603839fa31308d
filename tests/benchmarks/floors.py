"""The floor of this machine for each rule: the work that its statistics cannot do without.

Random numbers by the package's own generator, matrix products by BLAS, its fastest elementwise
functions, and the Gram matrices, on all cores, in memory that is warm. What a rule takes beyond
its floor is bookkeeping, sums, and passes over memory.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from plausibench.bench.measuring.deviations import deviations
from plausibench.kernels import elementwise, noise
from plausibench.kernels.buffers import empty
from plausibench.kernels.threads import one_blas_thread

CORES = os.cpu_count() or 1
BLOCK = 32


def threaded(work, count):
    """Blocks of samples on all cores, one BLAS thread each."""
    with one_blas_thread(), ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, range(0, count, BLOCK)))


def layers(network, dtype):
    """Weights of each layer, and the sizes from the input on."""
    weights = [p.astype(dtype) for p in network.parameters.values() if p.ndim == 2]
    return weights, [weights[0].shape[1], *(len(w) for w in weights)]


def node_perturbation(network, batch, dtype, count):
    """Noise, tanh, the products of both passes above the first layer, and the Gram matrices."""
    weights, sizes = layers(network, dtype)
    rows, keys = batch.size, batch.keys

    def work(start):
        numbers = np.arange(start, start + BLOCK)
        drawn = [empty((BLOCK, rows, n), dtype) for n in sizes[1:]]
        for key, out in enumerate(drawn):
            noise.normal(key, numbers, keys, out)
        activity = [empty((BLOCK, rows, n), dtype) for n in sizes[1:-1]]
        product = [empty((BLOCK * rows, n), dtype) for n in sizes[2:]]
        for _ in range(2):
            for layer, out in enumerate(activity):
                elementwise.perturb(elementwise.TANH, drawn[layer], drawn[layer], 1e-3, out)
                flat = out.reshape(-1, out.shape[-1])
                np.matmul(flat, weights[layer + 1].T, out=product[layer])
        for out in drawn:
            out @ out.swapaxes(1, 2)

    threaded(work, count)


def weight_perturbation(network, batch, dtype, count):
    """Noise for every weight, both sets of weights, the products of both passes, and the sums."""
    weights, sizes = layers(network, dtype)
    size = sum(w.size for w in weights)
    keys, inputs = np.zeros(1, np.uint64), batch.inputs.astype(dtype)
    flat = np.concatenate([w.reshape(-1) for w in weights])
    reference = flat.astype(np.float64)

    def work(start):
        xi, changed = empty((1, 1, size), dtype), empty((size,), dtype)
        sums = empty((1, size), float), np.empty(1), np.empty(1)
        for number in range(start, start + BLOCK):
            noise.normal(0, np.array([number]), keys, xi)
            for sign in (1e-3, -1e-3):
                np.multiply(xi[0, 0], dtype.type(sign), out=changed)
                changed += flat
                activity, first = inputs, 0
                for below, above in itertools.pairwise(sizes):
                    matrix = changed[first : first + above * below].reshape(above, below)
                    drive = np.ascontiguousarray(activity @ matrix.T)
                    activity, first = np.empty_like(drive), first + matrix.size
                    elementwise.activate(elementwise.TANH, drive, activity)
            deviations(np.ones(1), xi[0], reference, 1.0, 1, *sums)

    threaded(work, count)


def attention_gated(network, batch, dtype, count):
    """Random numbers, the products of the way back from the winner, slopes, Gram matrices."""
    weights, sizes = layers(network, dtype)
    rows, keys = batch.size, batch.keys

    def work(start):
        numbers = np.arange(start, start + BLOCK)
        noise.uniform(0, numbers, keys, empty((BLOCK, rows, 1), np.dtype(float)))
        signal = np.zeros((BLOCK, rows, sizes[-1]), dtype)
        for layer in range(len(weights) - 1, 0, -1):
            signal @ signal.swapaxes(1, 2)
            back = empty((BLOCK, rows, sizes[layer]), dtype)
            flat = back.reshape(-1, sizes[layer])
            np.matmul(signal.reshape(-1, sizes[layer + 1]), weights[layer], out=flat)
            back *= dtype.type(0.5)
            signal = back
        signal @ signal.swapaxes(1, 2)

    threaded(work, count)


def dendritic_error(network, batch, dtype, count):
    """Each step's products of the whole batch with both kinds of weights, and its rates."""
    _, sizes = layers(network, dtype)
    steps, rows = count, batch.size
    generator = np.random.default_rng(0)
    pairs = [
        (generator.random((below, 2 * above)), generator.random((2 * above, below)))
        for below, above in itertools.pairwise(sizes[1:])
    ]
    rates = [np.zeros((rows, 2 * n)) for n in sizes[1:]]
    with one_blas_thread():
        for _ in range(steps):
            for (up, down), low, high in zip(pairs, rates, rates[1:], strict=False):
                low[:, : len(up)] @ up
                high @ down
            for rate in rates:
                elementwise.activate(elementwise.TANH, rate, rate)


FLOORS = {
    "node_perturbation": node_perturbation,
    "weight_perturbation": weight_perturbation,
    "attention_gated": attention_gated,
    "dendritic_error": dendritic_error,
}
REMAINS = {
    "node_perturbation": "losses, sums over post factors, calls under the interpreter lock",
    "weight_perturbation": "biases; the first layer's noise is multiplied once, the floor's twice",
    "attention_gated": "the policy, slopes, sums over post factors, calls of numpy",
    "dendritic_error": "examples settle apart, each to its own end, so products are by vector",
}

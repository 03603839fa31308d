"""Recurrent product by P modes against that of a full matrix, and a whole pass through time.

``make performance`` times them; the ordinary tests run each once, and check that both are the same
before anything is timed.
"""

from functools import cache

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.threads import one_blas_thread

EXAMPLES = 32
CASES = [
    (neurons, modes)
    for neurons in (50, 100, 200, 400, 1000)
    for modes in (1, 3, 10, 100, None)
    if modes is None or modes <= neurons / 2
]


@cache
def network(neurons, modes, form):
    """The network of some modes, or the same with its matrix formed."""
    made = bench.make("architecture", "spiking_mode_rnn", sizes=(4, neurons, 1), modes=modes)
    return made.formed() if form else made


@cache
def arrays(neurons):
    generator = np.random.default_rng(0)
    return generator.random((EXAMPLES, neurons)), generator.random((EXAMPLES, 20, 4)) * 3


@pytest.mark.parametrize("what", ["product", "pass"])
@pytest.mark.parametrize(("neurons", "modes"), CASES)
def test_modes_against_matrix(benchmark, what, neurons, modes):
    known = 10 if modes is None else modes
    own = network(neurons, known, modes is None)
    activity, inputs = arrays(neurons)
    (path,) = own.loops("layer1")

    def product(net=own):
        return path.synapse.drive(net.weights[path.name], activity)

    def through_time(net=own):
        return net.forward(inputs).output

    function = {"product": product, "pass": through_time}[what]
    if modes is not None:
        full = network(neurons, known, True)
        (dense,) = full.loops("layer1")
        expected = {
            "product": lambda: dense.synapse.drive(full.weights[dense.name], activity),
            "pass": lambda: full.forward(inputs).output,
        }[what]()
        np.testing.assert_allclose(function(), expected, atol=1e-12)
    benchmark.group = f"{what}, N = {neurons}"
    benchmark.extra_info.update(neurons=neurons, modes=modes, what=what)
    with one_blas_thread():
        benchmark.pedantic(function, rounds=5, iterations=20 if what == "product" else 1)

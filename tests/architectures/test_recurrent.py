"""Compiled passes through time against plain loops over the neurons' own steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_passes
from plausibench import bench
from plausibench.architectures.blocks import Weights, blocks
from plausibench.architectures.integrate_and_fire import IntegrateAndFire, Surrogate
from plausibench.architectures.network import Population, Projection
from plausibench.architectures.recurrent import _return_blocks, _run, _tangent_blocks
from plausibench.architectures.synapses import DenseSynapse
from plausibench.architectures.temporal import Leaky
from plausibench.kernels import threads

NEURONS = [
    Leaky("tanh", 0.3),
    Leaky("softplus", 0.6, "potential"),
    Leaky("relu", 1.0),
    Leaky("tanh", 0.4, start=0.7),
    IntegrateAndFire(surrogate=Surrogate("triangle", 1.0, 0.3), refractory=1),
    IntegrateAndFire(filtering="double", adaptation=0.3, surrogate=Surrogate("sigmoid", 2.0)),
    IntegrateAndFire(filtering="double_continuous", detach_reset=True, refractory=0),
    IntegrateAndFire(reset="subtract", refractory=0, surrogate=Surrogate("triangle", 1.0, 0.3)),
]

passes = given(
    neurons=st.sampled_from(NEURONS),
    size=st.integers(1, 9),
    steps=st.integers(1, 20),
    examples=st.sampled_from([1, 3, 7, 40, 70]),
    samples=st.sampled_from([1, 2, 5, 23]),
    recurrent=st.sampled_from(["none", "shared", "own", "diagonal"]),
    seed=st.integers(0, 99),
)


def drawn(size, steps, examples, samples, recurrent, seed):
    """Weights (S, N, N) or None, and a function that draws arrays of a pass."""
    random = np.random.default_rng(seed)
    weights = random.standard_normal((samples if recurrent == "own" else 1, size, size))
    weights = weights * np.eye(size) if recurrent == "diagonal" else weights
    return None if recurrent == "none" else weights / np.sqrt(size), (
        lambda count: random.standard_normal((count, steps, examples, size))
    )


def rows(array):
    """``(S, T, B, N)`` as the network holds it, without samples where there is one."""
    flat = array.reshape(len(array), -1, array.shape[-1])
    return flat[0] if len(array) == 1 else flat


def dense(weights, size):
    none = np.empty((0, size, size))
    return Weights(none if weights is None else weights, none)


@passes
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("noisy", [False, True])
def test_forward(noisy, neurons, size, steps, examples, samples, recurrent, seed):
    weights, draw = drawn(size, steps, examples, samples, recurrent, seed)
    outside = 2 * draw(1 if noisy else samples)
    noise = draw(samples) if noisy else None
    expected = naive_passes.forward(neurons, weights, outside, noise, 0.3)
    loops, held = [], []
    if weights is not None:
        loops = [Projection("a", "h", "h", DenseSynapse(size, size), 1)]
        held = [weights[0] if len(weights) == 1 else weights]
    found = _run(
        Population("h", size, neurons),
        loops,
        held,
        rows(outside),
        None if noise is None else rows(noise),
        0.3,
        examples,
    )
    for one, twin in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(one, rows(twin), rtol=1e-9, atol=1e-11)
    assert set(found[2]) == set(expected[2])
    for name, trace in found[2].items():
        np.testing.assert_allclose(trace, rows(expected[2][name]), rtol=1e-8, atol=1e-9)


@passes
@settings(max_examples=60, deadline=None)
def test_adjoint_and_tangent(neurons, size, steps, examples, samples, recurrent, seed):
    weights, draw = drawn(size, steps, examples, samples, recurrent, seed)
    slopes = neurons.slopes(draw(1), {name: draw(1) for name in neurons.traces})
    arriving = draw(samples)
    given_slopes, matrix = [rows(slope) for slope in slopes], dense(weights, size)
    found = _return_blocks(neurons, matrix, tuple(given_slopes), rows(arriving).copy(), examples)
    expected = naive_passes.adjoint(neurons, weights, slopes, arriving)
    np.testing.assert_allclose(found, rows(expected), rtol=1e-9, atol=1e-11 * abs(expected).max())
    found = _tangent_blocks(neurons, matrix, tuple(given_slopes), rows(arriving), examples)
    for one, twin in zip(
        found, naive_passes.tangent(neurons, weights, slopes, arriving), strict=True
    ):
        np.testing.assert_allclose(one, rows(twin), rtol=1e-9, atol=1e-11 * abs(twin).max())


@given(samples=st.integers(1, 300), examples=st.integers(1, 300), apart=st.booleans())
def test_blocks_cover_every_example_once(samples, examples, apart):
    seen = np.zeros((samples, examples), int)
    for block in blocks(samples, examples, apart):
        first, last, low, high = block
        seen[first:last, low:high] += 1
        assert last > first
        assert not (apart and last - first > 1)
        assert last - first == 1 or (low, high) == (0, examples)
    assert (seen == 1).all()


@pytest.mark.parametrize("architecture", ["rate_rnn", "spiking_rnn"])
def test_same_bits_with_any_number_of_threads(architecture, monkeypatch):
    """Passes; sums over steps are BLAS's own."""
    network = bench.make("architecture", architecture, sizes=[3, 20, 2], seed=0)
    inputs = np.random.default_rng(0).standard_normal((40, 30, 3))
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "blas_threads", lambda count=count: count)
        with threads.one_blas_thread():
            clean = network.forward(inputs)
            error = {"layer2": np.ones_like(clean.output)}
            signals = network.credit(clean, error)["layer1"]
            moved = network.tangent(clean, {"layer1": np.ones_like(signals)}).output
        found = [clean.activity["layer1"].copy(), signals.copy(), moved.copy()]
        if count == 1:
            expected = found
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("architecture", ["rate_rnn", "spiking_rnn"])
def test_single_precision(architecture):
    network = bench.make("architecture", architecture, sizes=[3, 8, 2], seed=0)
    inputs = np.random.default_rng(0).standard_normal((5, 12, 3))
    batch = bench.Batch(inputs, np.arange(5) % 2)
    small = bench.Batch(inputs.astype(np.float32), batch.targets)
    goal = bench.make("objective", "cross_entropy")
    exact = network.gradient(goal, batch)
    for name, array in network.astype("float32").gradient(goal, small).items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, exact[name], atol=1e-4 * abs(exact[name]).max())


@pytest.mark.parametrize("architecture", ["rate_rnn", "spiking_rnn"])
def test_passes_leave_what_they_are_given_as_it_was(architecture):
    """Signals and drives take the place of arrays of the network's own alone."""
    network = bench.make("architecture", architecture, sizes=[3, 8, 2], seed=0)
    random = np.random.default_rng(0)
    clean = network.forward(random.standard_normal((5, 12, 3)))
    drive, arriving = clean.drive["layer1"], random.standard_normal((60, 8))
    kept = drive.copy(), arriving.copy()
    network.respond(clean, "layer1", drive)
    network.credit(clean, {"layer1": arriving})
    for now, before in zip((drive, arriving), kept, strict=True):
        np.testing.assert_array_equal(now, before)
    recurrent = next(p for p in network.projections if p.delay)
    late = clean.presynaptic(recurrent)
    assert not late[:5].any()
    np.testing.assert_array_equal(late[5:], clean.activity["layer1"][:-5])

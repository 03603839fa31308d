"""Average and max pooling and wires: twins, adjoints, gradients, and every rule on top of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import naive
import naive_vision
from plausibench import bench
from plausibench.architectures.convolution import ChannelBias, ConvolutionalSynapse, Windows
from plausibench.architectures.network import CONSTANT, INPUT, Population, Projection
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.permutation import permuted_network
from plausibench.architectures.pooling import (
    AveragePool,
    Competition,
    PooledSynapse,
    Wire,
    parts_of_average,
    windows_of_average,
)
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse
from plausibench.architectures.wired import WiredNetwork
from plausibench.bench.components import registry
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise

NEED_LAYERS = {
    "burstprop",
    "contrastive_hebbian",
    "difference_reconstruction",
    "difference_target_propagation",
    "phaseless_alignment_learning",
    "spiking_burstprop",
    "target_propagation",
}
"""Rules that need a chain, or all paths equally long."""
NEED_SYNAPSES = {
    "deep_feedback_control",
    "forward_forward",
    "indirect_feedback_alignment",
    "learned_feedback",
    "predictive_coding",
}
"""Rules that send signals along synapses by themselves."""
GOAL = bench.make("objective", "cross_entropy")


def pool(height, width, channels, kernel, stride=None, padding=0, **options):
    sides = [
        windows_of_average(size, kernel, stride or kernel, padding, **options)
        for size in (height, width)
    ]
    return AveragePool(*sides, channels)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_averages_are_those_of_the_twin(shape, kernel, stride, padding, counted, partial, seed):
    height, width, channels = shape
    assume(padding <= kernel // 2 and kernel <= min(height, width) + 2 * padding)
    made = pool(*shape, kernel, stride, padding, counted=counted, partial=partial)
    random = np.random.default_rng(seed)
    images = random.standard_normal((2, height * width * channels))
    ours = made.average(images)
    for image, found in zip(images, ours, strict=True):
        twin = naive_vision.averages(
            image.reshape(shape), kernel, stride, padding, counted, partial
        )
        assert made.shape == twin.shape
        np.testing.assert_allclose(found.reshape(twin.shape), twin, rtol=1e-12, atol=1e-13)
    signals = random.standard_normal(ours.shape)
    np.testing.assert_allclose(
        (made.spread(signals) * images).sum(), (signals * ours).sum(), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(("size", "parts"), [(6, 3), (7, 3), (5, 5), (3, 5), (4, 1)])
def test_parts_cover_a_side(size, parts):
    """Each part from floor(n size / parts) to ceil((n + 1) size / parts), by counting."""
    weights = parts_of_average(size, parts)
    for number in range(parts):
        inside = [
            place
            for place in range(size)
            if (place + 1) * parts > number * size and place * parts < (number + 1) * size
        ]
        expected = np.zeros(size)
        expected[inside] = 1 / len(inside)
        np.testing.assert_allclose(weights[number], expected, rtol=1e-14)


def test_pools_follow_each_other():
    first, second = pool(6, 4, 2, 2), pool(3, 2, 2, 2, 1)
    images = np.random.default_rng(0).standard_normal((3, 48))
    np.testing.assert_allclose(
        second.after(first).average(images), second.average(first.average(images)), rtol=1e-13
    )


def pooled_synapses():
    return {
        "dense": PooledSynapse(DenseSynapse(3, 8), pool(4, 4, 2, 2)),
        "both": PooledSynapse(
            ConvolutionalSynapse(Windows(3, 3, 2, 2), 4), pool(6, 6, 2, 2), pool(2, 2, 4, 2)
        ),
        "bias": PooledSynapse(ChannelBias(9, 2), None, pool(3, 3, 2, 2, 1, 1)),
    }


@pytest.mark.parametrize("name", ["dense", "both", "bias"])
@pytest.mark.parametrize("sampled", [False, True])
def test_pooled_synapses_are_bilinear(name, sampled):
    """<drive(W, x), y> = <W, outer(y, x)> = <x, feedback(W, y)>."""
    synapse, random = pooled_synapses()[name], np.random.default_rng(1)
    outputs, inputs = synapse.factors
    lead = (2,) if sampled else ()
    weights = random.standard_normal((*lead, *synapse.shape))
    pre, post = random.standard_normal((*lead, 3, inputs)), random.standard_normal((2, 3, outputs))
    drive = (synapse.drive(weights, pre) * post).sum()
    assert synapse.drive(weights, pre).shape == (*lead, 3, outputs)
    outer = (synapse.outer(post, pre) * weights).sum()
    feedback = (synapse.feedback(weights, post) * pre).sum()
    np.testing.assert_allclose([outer, feedback], drive, rtol=1e-11)
    np.testing.assert_array_equal(synapse.untranspose(synapse.transpose(weights)), weights)
    assert not synapse.separable


def residual(pointwise="tanh"):
    """A dense network with a shortcut, and neurons that a wire alone drives."""
    sizes = {"a": 4, "b": 4, "c": 4, "d": 3}
    made = {
        "a.weight": (INPUT, "a", DenseSynapse(4, 5)),
        "a.bias": (CONSTANT, "a", BiasSynapse(4)),
        "b.weight": ("a", "b", DenseSynapse(4, 4)),
        "d.weight": ("c", "d", DenseSynapse(3, 4)),
        "d.bias": (CONSTANT, "d", BiasSynapse(3)),
    }
    neurons = {"b": "identity", "d": "identity"}
    return wired(sizes, made, (Wire("a", "b"), Wire("b", "c")), neurons, 5, pointwise)


def pooled():
    """A convolution with averages below, above and within a shortcut."""
    sizes = {"a": 32, "b": 8, "d": 3}
    below, within = pool(8, 8, 1, 2), pool(4, 4, 2, 2)
    fields = ConvolutionalSynapse(Windows(4, 4, 1, 3, 1, 1), 2)
    above = ConvolutionalSynapse(Windows(4, 4, 2, 3, 1, 1), 2)
    made = {
        "a.weight": (INPUT, "a", PooledSynapse(fields, below)),
        "a.bias": (CONSTANT, "a", ChannelBias(16, 2)),
        "b.weight": ("a", "b", PooledSynapse(above, None, within)),
        "b.bias": (CONSTANT, "b", PooledSynapse(ChannelBias(16, 2), None, within)),
        "d.weight": ("b", "d", DenseSynapse(3, 8)),
    }
    return wired(sizes, made, (Wire("a", "b", within),), {"d": "identity"}, 64)


def wired(sizes, made, wires, neurons, inputs, pointwise="tanh"):
    random = np.random.default_rng(5)
    return WiredNetwork(
        "residual of a test",
        inputs,
        tuple(
            Population(name, size, Pointwise(neurons.get(name, pointwise)))
            for name, size in sizes.items()
        ),
        tuple(Projection(name, *rest) for name, rest in made.items()),
        {name: 0.6 * random.standard_normal(rest[2].shape) for name, rest in made.items()},
        wires,
    )


NETWORKS = {"residual": residual, "pooled": pooled}


def batch_for(network, examples=4, seed=3):
    random = np.random.default_rng(seed)
    inputs = random.uniform(0, 1, (examples, network.inputs))
    return bench.Batch(inputs, random.integers(0, network.output.size, examples))


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_agrees_with_finite_differences(name, record_figure):
    network = NETWORKS[name]()
    batch = batch_for(network)
    exact = bench.gradient(network, GOAL, batch)
    numeric = naive.finite_difference_gradient(
        network, lambda moved: bench.loss(network.with_parameters(moved), GOAL, batch)
    )
    for key, array in exact.items():
        error = np.linalg.norm(array - numeric[key]) / np.linalg.norm(array)
        record_figure(f"gradient of a {name} network with wires", f"{error:.1e}", "1e-7")
        assert error < 1e-7


@pytest.mark.parametrize("name", NETWORKS)
def test_a_change_is_carried_along(name):
    """The tangent against a difference of passes, and a pass that begins from another."""
    network = NETWORKS[name]()
    batch = batch_for(network)
    clean = network.forward(batch.inputs)
    random = np.random.default_rng(0)
    first = network.populations[0].name
    noise = {first: random.standard_normal((2, *clean.drive[first].shape))}
    moved = network.tangent(clean, drive=noise).output
    h = 1e-5
    up, down = (
        network.forward(batch.inputs, drive_noise=noise, amplitude=s * h, clean=clean).output
        for s in (1, -1)
    )
    np.testing.assert_allclose(moved, (up - down) / (2 * h), rtol=1e-6, atol=1e-9)
    whole = network.forward(batch.inputs, drive_noise=noise, amplitude=h)
    np.testing.assert_array_equal(up, whole.output)


def test_signals_return_through_wires_where_any_return():
    network = residual()
    clean = network.forward(batch_for(network).inputs)
    signal = {"b": np.ones_like(clean.drive["b"])}
    silent = {p.name: np.zeros(p.synapse.shape) for p in network.returning}
    slope = network.population("a").neurons.slope(clean.drive["a"], clean.activity["a"])
    np.testing.assert_array_equal(network.credit(clean, signal, silent)["a"], slope)
    assert set(network.credit(clean, signal, {})) == {"b"}


@pytest.mark.parametrize("rule", sorted(registry.entries("rule")))
def test_every_rule_runs_or_says_why_not(rule):
    """What the conformance suite asks holds, closed forms and orders of bias included."""
    made, network = bench.make("rule", rule), residual()
    batch = batch_for(network, examples=4)
    reason = made.refusal(network, GOAL)
    if rule in NEED_SYNAPSES:
        assert "by a wire without weights" in reason
    if rule in NEED_LAYERS:
        assert reason is not None
    if reason is not None:
        pytest.skip(reason)
    outcomes = run_checks(made, Case(network, GOAL, batch))
    failed = {outcome.name: str(outcome) for outcome in outcomes if outcome.status == "failed"}
    if not made.card.unbiased:
        failed.pop("bias", None)  # with little below the output a bias may be too small to see
    assert failed == {}


@pytest.mark.parametrize("rule", sorted(registry.entries("rule")))
def test_closed_forms_hold_with_wires(rule):
    """Mean and variance against 4000 draws: 5 standard errors, a false alarm below 1e-4."""
    made, network = bench.make("rule", rule), residual()
    batch = batch_for(network, examples=3)
    clean = network.forward(batch.inputs)
    if made.refusal(network, GOAL) is not None or not made.randomness():
        pytest.skip("it does not run here, or draws nothing")
    if made.closed_form(network, GOAL, batch, clean, made.randomness()) is None:
        pytest.skip("no closed form is known")
    options = {"redraw": made.randomness()}
    theory = bench.measure(made, network, GOAL, batch, method="exact", **options)
    found = bench.measure(made, network, GOAL, batch, method="sampled", samples=4000, **options)
    for name in network.parameters:
        expected = theory.value("variance", name)
        row = found.frame.query("projection == @name and quantity == 'variance'").iloc[0]
        spread = (row["high"] - row["low"]) / 4
        assert abs(row["value"] - expected) < 5 * spread + 1e-9, name


def test_feedback_is_returned_beside_the_wires():
    """With B = W^T feedback alignment is backpropagation; with B = 0 the wires remain."""
    network = residual()
    batch = batch_for(network)
    rule = bench.make("rule", "feedback_alignment")
    clean = network.forward(batch.inputs)
    exact = network.gradient(GOAL, batch)
    weights = {p.name: p.synapse.transpose(network.parameters[p.name]) for p in network.returning}
    assert list(weights) == list(rule.initial_state(network, 0)) == ["b.weight", "d.weight"]
    without = {"b.weight": 0 * weights["b.weight"], "d.weight": weights["d.weight"]}
    noise = Noise(0, np.zeros(1, np.int64), batch.keys, network.dtype)
    for state, same in ((weights, True), (without, False)):
        found = rule.estimate(network, GOAL, batch, clean, state, noise)["a.weight"]
        ours = network.projections[0].synapse.outer(found.post, found.pre)
        assert np.allclose(ours, exact["a.weight"], rtol=1e-12) == same
        assert np.abs(ours).max() > 0.01


def test_a_chain_with_a_wire_is_no_chain():
    """Rules that need one refuse it even where the shortcut is the only difference."""
    network = bench.make("architecture", "mlp", sizes=[5, 4, 4, 3])
    shortcut = WiredNetwork(
        "mlp",
        network.inputs,
        network.populations,
        network.projections,
        network.parameters,
        (Wire("layer1", "layer2"),),
    )
    for name in NEED_LAYERS | NEED_SYNAPSES:
        rule = bench.make("rule", name)
        assert rule.refusal(network, GOAL) is None or name == "spiking_burstprop"
        assert rule.refusal(shortcut, GOAL) is not None
    with pytest.raises(InputError, match="by a wire without weights"):
        bench.measure(bench.make("rule", "contrastive_hebbian"), shortcut, GOAL, batch_for(network))
    with pytest.raises(InputError, match="joined by a wire"):
        permuted_network(shortcut, "layer2", np.arange(4)[::-1])
    plain = replace(shortcut, wiring=())
    inputs = batch_for(network).inputs
    np.testing.assert_array_equal(plain.forward(inputs).output, network.forward(inputs).output)


def competing(height, width, channels, kernel, stride, activation="identity"):
    sides = [(windows_of_average(n, kernel, stride) > 0).astype(float) for n in (height, width)]
    return Competition(AveragePool(*sides, channels), activation)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(["identity", "tanh", "sigmoid", "relu", "softplus"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_competition_is_that_of_the_twin(shape, kernel, apart, activation, ties, seed):
    """Windows with neurons between them, negative drives, and equal ones among them."""
    assume(kernel <= min(shape[:2]))
    neurons = competing(*shape, kernel, kernel + apart, activation)
    images = np.random.default_rng(seed).standard_normal((2, 3, np.prod(shape)))
    images = np.round(images) if ties else images
    ours = neurons.activate(images)
    maxima = neurons.windows.average(ours)
    for image, found, largest in zip(
        images.reshape(-1, *shape), ours.reshape(-1, *shape), maxima.reshape(6, -1), strict=True
    ):
        active, twin = naive_vision.competition(image, kernel, kernel + apart, activation)
        np.testing.assert_allclose(found, active, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(largest.reshape(twin.shape), twin, rtol=1e-12, atol=1e-15)


def test_signals_return_to_the_winner_only():
    neurons = competing(4, 6, 2, 2, 2, "tanh")
    random = np.random.default_rng(0)
    drive, signal = random.standard_normal((2, 5, 48))
    activity = neurons.activate(drive)
    returned = neurons.adjoint(drive, activity, signal)
    np.testing.assert_array_equal(returned != 0, activity != 0)
    assert np.count_nonzero(returned) == 5 * 48 / 4
    step = 1e-6
    for _ in range(10):
        way = random.standard_normal(drive.shape)
        change = neurons.activate(drive + step * way) - neurons.activate(drive - step * way)
        assert abs((signal * change).sum() / (2 * step) - (returned * way).sum()) < 1e-8
        np.testing.assert_allclose(
            (signal * neurons.tangent(drive, activity, way)).sum(), (returned * way).sum()
        )


def test_noise_can_change_who_wins():
    neurons = competing(2, 2, 1, 2, 2)
    drive, noise = np.array([[3.0, 1.0, 0.0, 2.0]]), np.array([[[-3.0, 0.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(neurons.perturb(drive, noise, 0.5), [[[0, 0, 0, 2]]])
    np.testing.assert_array_equal(neurons.perturb(drive, noise, 0.1), [[[2.7, 0, 0, 0]]])


def test_windows_that_overlap_are_refused():
    with pytest.raises(InputError, match="windows: they overlap"):
        competing(5, 5, 1, 3, 2)

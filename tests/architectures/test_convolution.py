"""Receptive fields: twins, adjoints, gradients, and every feed-forward rule on top of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
import naive_vision
from plausibench import bench
from plausibench.architectures.convolution import (
    ChannelBias,
    ConvolutionalSynapse,
    LocallyConnectedSynapse,
    Windows,
)
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, OneToOneSynapse
from plausibench.architectures.what_where import FixedMaskSynapse, WhereSynapse
from plausibench.bench.components import registry
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import InputError
from plausibench.rules.estimate import form
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step

KINDS = [ConvolutionalSynapse, LocallyConnectedSynapse]
SMALL = {"shape": (5, 6, 2), "channels": (3, 2), "outputs": 3, "kernel": (3, 2), "stride": (2, 1)}


@st.composite
def windows(draw):
    """Windows on a small image, strides and paddings that do not come out even included."""
    height, width, channels = (draw(st.integers(1, most)) for most in (6, 6, 3))
    padding = draw(st.integers(0, 2))
    kernel = draw(st.integers(1, min(4, height + 2 * padding, width + 2 * padding)))
    return Windows(height, width, channels, kernel, draw(st.integers(1, 3)), padding)


@st.composite
def synapses(draw):
    if draw(st.booleans()):
        return draw(st.sampled_from(KINDS))(draw(windows()), draw(st.integers(1, 3)))
    kinds = {BiasSynapse: 1, OneToOneSynapse: 1, ChannelBias: 2, DenseSynapse: 2, WhereSynapse: 2}
    kind = draw(st.sampled_from([*kinds, FixedMaskSynapse]))
    if kind is FixedMaskSynapse:
        masks = np.random.default_rng(draw(st.integers(0, 9))).standard_normal((3, 4))
        return FixedMaskSynapse(masks, draw(st.integers(1, 3)))
    sizes = [draw(st.integers(1, 4)) for _ in range(kinds[kind])]
    return kind(*sizes)


@pytest.mark.parametrize("kind", KINDS)
@given(windows(), st.integers(1, 3), st.integers(0, 99))
def test_agrees_with_its_naive_twin(kind, where, channels, seed):
    synapse, generator = kind(where, channels), np.random.default_rng(seed)
    outputs, inputs = synapse.factors
    weights = generator.standard_normal(synapse.shape)
    pre, post = generator.standard_normal((2, inputs)), generator.standard_normal((2, outputs))
    matrix = naive_vision.dense(synapse, weights)
    near = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(synapse.drive(weights, pre), pre @ matrix.T, **near)
    np.testing.assert_allclose(synapse.feedback(weights, post), post @ matrix, **near)
    twin = naive_vision.outer(synapse, post, pre)
    np.testing.assert_allclose(synapse.outer(post, pre), twin, **near)


@given(synapses(), st.integers(0, 99), st.integers(1, 3), st.booleans(), st.booleans())
def test_adjoint_identities(synapse, seed, examples, weights_sampled, pre_sampled):
    """<drive(W, x), y> = <W, outer(y, x)> = <x, feedback(W, y)>, with any sample axes."""
    generator, (outputs, inputs) = np.random.default_rng(seed), synapse.factors
    weights = generator.standard_normal((2, *synapse.shape))
    pre = generator.standard_normal((2, examples, inputs))
    post = generator.standard_normal((2, examples, outputs))
    one = [
        weights if weights_sampled else np.broadcast_to(weights[0], weights.shape),
        pre if pre_sampled else np.broadcast_to(pre[0], pre.shape),
    ]
    given_weights = weights if weights_sampled else weights[0]
    given_pre = pre if pre_sampled else pre[0]
    drive = np.broadcast_to(synapse.drive(given_weights, given_pre), post.shape)
    by_drive = (drive * post).sum(axis=(1, 2))
    product = synapse.outer(post, given_pre)
    by_outer = (one[0] * product).reshape(2, -1).sum(axis=1)
    by_feedback = (one[1] * synapse.feedback(given_weights, post)).sum(axis=(1, 2))
    for other in (by_outer, by_feedback):
        np.testing.assert_allclose(other, by_drive, rtol=1e-10, atol=1e-10)
    there = synapse.transpose(weights)
    np.testing.assert_array_equal(synapse.untranspose(there), weights)
    np.testing.assert_array_equal(synapse.untranspose(there[0]), weights[0])


@given(synapses(), st.integers(0, 99))
def test_gram_is_that_of_isotropic_signals(synapse, seed):
    """For post factors that are independent of each other, |outer|^2 is N times the Gram."""
    generator, (outputs, inputs) = np.random.default_rng(seed), synapse.factors
    pre = generator.standard_normal((1, inputs))
    # The sum over unit vectors is the expectation over isotropic signals.
    units = np.eye(outputs)[:, None]
    squares = (synapse.outer(units, pre) ** 2).sum()
    np.testing.assert_allclose(squares, outputs * synapse.pre_gram(pre)[0, 0], rtol=1e-10)
    direct, gram = synapse.outer_cost(2)
    assert synapse.separable or gram >= direct


def shifted(network, seed=2, size=0.3):
    generator = np.random.default_rng(seed)
    return network.with_parameters(
        {
            name: array + size * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def random_batch(network, examples=3, seed=3):
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0, 1, (examples, network.inputs))
    return bench.Batch(inputs, generator.integers(0, network.output.size, examples))


@pytest.mark.parametrize("name", ["convolutional", "locally_connected", "residual"])
@pytest.mark.parametrize("options", [{}, {"bias": False, "activation": "softplus"}])
def test_gradient_agrees_with_finite_differences(name, options, record_figure):
    rest = TINY_OF[name] if name == "residual" else SMALL
    network = shifted(bench.make("architecture", name, seed=1, **rest, **options))
    batch, goal = random_batch(network), bench.make("objective", "cross_entropy")
    exact = bench.gradient(network, goal, batch)
    numeric = naive.finite_difference_gradient(
        network, lambda moved: bench.loss(network.with_parameters(moved), goal, batch)
    )
    for key, array in exact.items():
        error = np.linalg.norm(array - numeric[key]) / np.linalg.norm(array)
        record_figure(f"gradient of {name} against finite differences", f"{error:.1e}", "1e-7")
        assert error < 1e-7


def torch_loss(torch, network, options, parameters, batch):
    """Loss by conv2d; channels come first there."""
    height, width, channels = options["shape"]
    a = torch.tensor(batch.inputs.reshape(-1, height, width, channels)).permute(0, 3, 1, 2)
    for number, population in enumerate(network.populations, start=1):
        weights, bias = (parameters[f"layer{number}.{part}"] for part in ("weights", "bias"))
        if weights.ndim == 4:
            stride = options["stride"][number - 1]
            a = torch.nn.functional.conv2d(
                a, weights.permute(0, 3, 1, 2), bias, stride=stride, padding=options["padding"]
            )
        else:
            flat = a.permute(0, 2, 3, 1).reshape(len(a), -1) if a.ndim == 4 else a
            a = flat @ weights.T + bias
        if population is not network.output:
            a = torch.tanh(a)
    return torch.nn.functional.cross_entropy(a, torch.tensor(batch.targets))


def test_convolution_agrees_with_an_independent_autograd(record_figure):
    torch = pytest.importorskip("torch")
    options = {**SMALL, "padding": 1, "hidden": [4]}
    network = shifted(bench.make("architecture", "convolutional", **options))
    batch, goal = random_batch(network), bench.make("objective", "cross_entropy")
    parameters = {
        name: torch.tensor(array, requires_grad=True) for name, array in network.parameters.items()
    }
    loss = torch_loss(torch, network, options, parameters, batch)
    loss.backward()
    assert abs(bench.loss(network, goal, batch) - loss.item()) < 1e-12
    for name, ours in bench.gradient(network, goal, batch).items():
        theirs = parameters[name].grad.numpy()
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        record_figure(
            "gradient of a convolutional network against PyTorch", f"{error:.1e}", "1e-10"
        )
        assert error < 1e-10


def as_dense(network):
    """The network with matrices in place of receptive fields, and single biases."""
    projections, parameters = [], {}
    for p in network.projections:
        outputs, inputs = p.synapse.factors
        weights = network.parameters[p.name]
        if hasattr(p.synapse, "windows"):
            parameters[p.name] = naive_vision.dense(p.synapse, weights)
            projections.append(replace(p, synapse=DenseSynapse(outputs, inputs)))
        elif isinstance(p.synapse, ChannelBias):
            parameters[p.name] = np.tile(weights, p.synapse.positions)
            projections.append(replace(p, synapse=BiasSynapse(outputs)))
        else:
            parameters[p.name] = weights
            projections.append(p)
    return replace(
        network, architecture="mlp", projections=tuple(projections), parameters=parameters
    )


@pytest.mark.parametrize("name", ["convolutional", "locally_connected"])
def test_node_perturbation_is_that_of_the_dense_network_pulled_back(name):
    """The noise is on drives, which both have; only the way to the weights differs."""
    network = shifted(bench.make("architecture", name, **SMALL))
    batch, goal = random_batch(network), bench.make("objective", "cross_entropy")
    found = bench.estimates(NodePerturbation(), network, goal, batch, samples=3)
    twin = bench.estimates(NodePerturbation(), as_dense(network), goal, batch, samples=3)
    for p in network.projections:
        if not hasattr(p.synapse, "windows"):
            continue
        for sample in range(3):
            # The derivative of the dense matrix along each weight collects what it shares.
            pulled = np.array(
                [
                    (naive_vision.dense(p.synapse, unit.reshape(p.synapse.shape)) * matrix).sum()
                    for matrix in [twin[p.name][sample]]
                    for unit in np.eye(int(np.prod(p.synapse.shape)))
                ]
            )
            ours = found[p.name][sample].reshape(-1)
            np.testing.assert_allclose(ours, pulled, rtol=1e-6, atol=1e-8)


TINY = {"shape": (4, 4), "channels": (2,), "kernel": 2, "outputs": 3, "hidden": [4], "padding": 0}
SEEN = {"shape": (4, 4), "channels": (2,), "kernel": 2, "stride": 2, "outputs": 3, "padding": 0}
TINY_OF = {
    "convolutional": TINY,
    "locally_connected": TINY,
    "residual": {"inputs": 5, "width": 4, "blocks": 2, "outputs": 3},
    "what_where": SEEN,
    "what_where[readout=fixed_mask]": SEEN,
}


EVERYWHERE = {"backprop", "feedback_alignment", "node_perturbation", "predictive_coding"}
"""Rules that use a network in ways of their own, and run on all of them; others on the first."""


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        pytest.param(
            rule,
            name,
            marks=() if rule in EVERYWHERE or name == "convolutional" else pytest.mark.acceptance,
        )
        for rule in sorted(registry.entries("rule"))
        for name in TINY_OF
    ],
)
def test_every_feed_forward_rule_runs(name, rule):
    """What the conformance suite asks holds for each rule that does not refuse."""
    made = bench.make("rule", rule)
    network = shifted(select("architecture", name).make(**TINY_OF[name]))
    batch, goal = random_batch(network, examples=4), bench.make("objective", "cross_entropy")
    reason = made.refusal(network, goal)
    if reason is not None:
        pytest.skip(reason)
    outcomes = run_checks(made, Case(network, goal, batch))
    failed = {outcome.name: str(outcome) for outcome in outcomes if outcome.status == "failed"}
    if not made.card.unbiased:
        failed.pop("bias", None)  # with little below the output a bias may be too small to see
    assert failed == {}
    # And it learns: what feedback it has keeps its layout.
    state, clean = made.initial_state(network, 0), network.forward(batch.inputs)
    noise = Noise(0, np.zeros(1, np.int64), batch.keys, network.dtype)
    found = form(network, made.estimate(network, goal, batch, clean, state, noise))
    change = {p.name: -0.01 * found[p.name].reshape(p.synapse.shape) for p in network.projections}
    moved = {name: array + change[name] for name, array in network.parameters.items()}
    step = Step(network.with_parameters(moved), goal, batch, clean, change, 0.0, noise)
    after = made.advance(state, step)
    assert {name: array.shape for name, array in after.items()} == {
        name: array.shape for name, array in state.items()
    }


@pytest.mark.parametrize("selector", ["convolutional", "locally_connected[channels=4]", "residual"])
def test_networks_learn_digits(selector):
    task, goal = bench.make("task", "digits"), bench.make("objective", "cross_entropy")
    network = build_network(selector, task, (), seed=0)
    rule = bench.make("rule", "backprop")
    course = bench.train(
        rule, task, network, goal, steps=150, learning_rate=0.2, evaluate_every=150
    )
    last = course.frame.query("quantity == 'test_accuracy'")["value"].iloc[-1]
    assert last > 0.8


def test_a_shortcut_of_gain_zero_is_none():
    network = bench.make("architecture", "residual", **TINY_OF["residual"])
    batch = random_batch(network)
    skips = [name for name in network.parameters if name.endswith("skip")]
    assert skips == ["layer3.skip", "layer5.skip"]
    without = network.with_parameters(
        {
            name: np.zeros_like(array) if name in skips else array
            for name, array in network.parameters.items()
        }
    )
    twin = bench.make("architecture", "mlp", sizes=[5, 4, 4, 4, 4, 4, 3])
    outputs = [each.forward(batch.inputs).output for each in (without, twin, network)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[2] - outputs[1]).max() > 0.01


def test_closed_forms_of_dense_synapses_are_not_claimed():
    network = bench.make("architecture", "convolutional", **TINY)
    with pytest.raises(InputError, match="no closed form here"):
        bench.measure(
            NodePerturbation(),
            network,
            bench.make("objective", "cross_entropy"),
            random_batch(network),
            method="exact",
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel": 9}, "does not fit"),
        ({"kernel": (3, 3, 3)}, "one number, or one for each"),
        ({"shape": 8}, "at least 2"),
        ({"shape": (8, 8, 1, 1)}, "height and width"),
        ({"padding": -1}, "padding"),
        ({"channels": ()}, "at least 1"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        bench.make("architecture", "convolutional", **{"padding": 0, **options})


def test_what_is_seen_is_side_by_side_and_put_back():
    where = Windows(28, 28, 3, 5, 2, 1)
    image = np.random.default_rng(0).standard_normal((2, where.inputs))
    seen = where.gather(image)
    assert seen.shape == (2, where.positions, 75)
    np.testing.assert_allclose((where.scatter(seen) * image).sum(), (seen * seen).sum(), rtol=1e-12)


READOUTS = {
    "factorised": lambda positions, channels: positions + channels,
    "dense": lambda positions, channels: positions * channels,
    "fixed_mask": lambda positions, channels: channels,
}
IMAGE = {"shape": (5, 6, 2), "channels": (3, 2), "kernel": 2, "stride": 1, "padding": 0}


@pytest.mark.parametrize("readout", READOUTS)
def test_readouts_have_exact_gradients_and_the_parameters_they_say(readout, record_figure):
    network = shifted(
        bench.make("architecture", "what_where", readout=readout, outputs=4, seed=1, **IMAGE)
    )
    read = sum(
        array.size for name, array in network.parameters.items() if not name.startswith("layer")
    )
    assert read == 4 * READOUTS[readout](3 * 4, 2) + 4
    batch, goal = random_batch(network), bench.make("objective", "cross_entropy")
    exact = bench.gradient(network, goal, batch)
    numeric = naive.finite_difference_gradient(
        network, lambda moved: bench.loss(network.with_parameters(moved), goal, batch)
    )
    for key, array in exact.items():
        error = np.linalg.norm(array - numeric[key]) / np.linalg.norm(array)
        record_figure(f"gradient of {readout} readout against differences", f"{error:.1e}", "1e-7")
        assert error < 1e-7


def test_what_times_where_is_a_dense_readout_of_rank_one():
    network = shifted(bench.make("architecture", "what_where", outputs=4, **IMAGE))
    dense = bench.make("architecture", "what_where", outputs=4, readout="dense", **IMAGE)
    what = network.parameters["what.weights"].reshape(4, 2)
    where = network.parameters["where.weights"]
    product = np.einsum("np,nk->npk", where, what).reshape(4, -1)
    same = {name: network.parameters.get(name, product) for name in dense.parameters}
    same["readout.weights"], same["readout.bias"] = product, network.parameters["where.bias"]
    dense = dense.with_parameters(same)
    batch, goal = random_batch(network), bench.make("objective", "mean_squared_error")
    outputs = [each.forward(batch.inputs).output for each in (network, dense)]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12, atol=1e-13)
    ours, theirs = (bench.gradient(each, goal, batch) for each in (network, dense))
    for name in ("layer1.weights", "layer2.bias"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, atol=1e-13)
    # The chain rule from the matrix to its two factors.
    full = theirs["readout.weights"].reshape(4, 12, 2)
    np.testing.assert_allclose(ours["where.weights"], np.einsum("npk,nk->np", full, what))
    np.testing.assert_allclose(
        ours["what.weights"].reshape(4, 2), np.einsum("npk,np->nk", full, where)
    )


def test_feedback_through_a_factorised_readout_is_rank_one():
    network = bench.make("architecture", "what_where", outputs=4, **IMAGE)
    rule = bench.make("rule", "feedback_alignment")
    state = bench.initial_state(rule, network)
    what, where = (
        p.synapse.untranspose(state[p.name])
        for p in network.returning
        if p.source == "what" or p.target == "what"
    )
    assert what.shape == (4, 1, 1, 2)
    assert where.shape == (4, 12)


def test_a_mask_of_width_zero_reads_one_pixel_where_it_is_told():
    places = [(0.0, 0.0), (2.0, 3.0), (1.0, 2.0)]
    network = bench.make(
        "architecture",
        "what_where",
        readout="fixed_mask",
        outputs=3,
        places=places,
        width=1e-3,
        **IMAGE,
    )
    (synapse,) = [p.synapse for p in network.projections if p.name == "readout.weights"]
    np.testing.assert_allclose(synapse.masks[[0, 1, 2], [0, 11, 6]], 1, rtol=1e-12)
    np.testing.assert_allclose(synapse.masks.sum(axis=1), 1, rtol=1e-12)
    for wrong in ([(0, 0)], [(0,), (1, 2)], [(0, 0), (0, np.nan)], [1, 2], 3, "ab"):
        with pytest.raises(InputError, match=r"^architecture what_where: places: "):
            bench.make("architecture", "what_where", places=wrong, outputs=2)
    with pytest.raises(InputError, match="readout"):
        bench.make("architecture", "what_where", readout="gaussian")

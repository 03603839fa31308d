"""Sign symmetry: its twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    activations,
    assert_close,
    cell,
    drawn,
    numpy_noise,
    objectives,
    seeds,
    shapes,
)
from plausibench import bench


@settings(max_examples=30)
@given(
    shapes,
    activations,
    objectives,
    seeds,
    st.sampled_from(["uniform", "fixed", "batchwise"]),
)
def test_twin(sizes, activation, objective, seed, variant):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "sign_symmetry", variant=variant, scale=1.5)
    state, weights = rule.initial_state(network, seed), network.parameters
    for k, one in enumerate(drawn(rule, network, objective, batch, seed)):
        feedback = []
        for p in network.returning:
            inputs = weights[p.name].shape[1]
            magnitude = np.full((inputs, len(weights[p.name])), 1.5 / np.sqrt(inputs))
            if variant == "fixed":
                magnitude = state[p.name]
            elif variant == "batchwise":
                shape = {p.name: weights[p.name]}
                numbers = numpy_noise(batch, seed).fractions(shape, shared=True)[p.name][k]
                magnitude = magnitude * numbers.T
            feedback.append(magnitude * np.sign(weights[p.name].T))
            assert (magnitude >= 0).all()
            assert (magnitude <= 1.5 / np.sqrt(inputs)).all()
        assert_close(one, naive_feedback.layerwise(network, objective, batch, feedback))


@settings(max_examples=30)
@given(
    shapes,
    activations,
    objectives,
    seeds,
    st.sampled_from(["uniform", "fixed", "batchwise"]),
)
def test_twin_with_magnitudes_of_the_first_weights(sizes, activation, objective, seed, variant):
    first, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "sign_symmetry", variant=variant, scale=1.5, magnitudes="initial")
    state = rule.initial_state(first, seed)
    network = first.with_parameters({n: -3 * w for n, w in first.parameters.items()})
    names = [p.name for p in network.returning]
    roots = {
        name: sum(w**2 for w in first.parameters[name].ravel()) ** 0.5
        / first.parameters[name].size ** 0.5
        for name in names
    }
    for k, one in enumerate(drawn(rule, network, objective, batch, seed, state)):
        feedback = []
        for name in names:
            signs, most = -np.sign(first.parameters[name].T), 1.5 * roots[name]
            if variant == "uniform":
                magnitude = np.full(signs.shape, most)
            elif variant == "fixed":
                magnitude = state[name]
            else:
                shape = {name: first.parameters[name]}
                numbers = numpy_noise(batch, seed).fractions(shape, shared=True)[name][k]
                magnitude = 3**0.5 * most * numbers.T
            assert (magnitude >= 0).all()
            assert (magnitude <= 3**0.5 * most).all()
            feedback.append(magnitude * signs)
        assert_close(one, naive_feedback.layerwise(network, objective, batch, feedback))


class TestBesidePyTorch:
    """Layers of a LeNet, which are wired as published implementations are."""

    sizes = ((1, 3, 3), (3, 4, 2))

    def modules(self, torch, backward):
        """The module; its errors return through ``backward(weight)`` in place of the weights."""
        nn, functional = torch.nn, torch.nn.functional

        class Returned(torch.autograd.Function):
            @staticmethod
            def forward(context, run, x, weight, bias):
                with torch.enable_grad():
                    given = [x.detach().requires_grad_(), weight.detach().requires_grad_()]
                    given.append(bias.detach().requires_grad_())
                    context.own = given, run(*given)
                    other = x.detach().requires_grad_()
                    context.other = other, run(other, backward(weight), bias)
                return context.own[1].detach()

            @staticmethod
            def backward(context, signal):
                given, out = context.own
                other, back = context.other
                _, weight, bias = torch.autograd.grad(out, given, signal)
                (below,) = torch.autograd.grad(back, [other], signal)
                return None, below, weight, bias

        class LeNet(nn.Module):
            def __init__(own):
                super().__init__()
                own.one, own.two = (nn.Conv2d(*size) for size in self.sizes)
                own.dense, own.last = nn.Linear(16, 6), nn.Linear(6, 3)

            def forward(own, x):
                x = functional.max_pool2d(functional.relu(own.one(x)), 2)
                x = functional.max_pool2d(functional.relu(own.two(x)), 2)
                return own.last(functional.relu(own.dense(torch.flatten(x, 1))))

            def astray(own, x):
                conv, linear = functional.conv2d, functional.linear
                x = Returned.apply(conv, x, own.one.weight, own.one.bias)
                x = functional.max_pool2d(functional.relu(x), 2)
                x = Returned.apply(conv, x, own.two.weight, own.two.bias)
                x = torch.flatten(functional.max_pool2d(functional.relu(x), 2), 1)
                x = functional.relu(Returned.apply(linear, x, own.dense.weight, own.dense.bias))
                return Returned.apply(linear, x, own.last.weight, own.last.bias)

        return LeNet().double()

    @pytest.mark.parametrize("variant", ["uniform", "batchwise", "fixed", "feedback_alignment"])
    def test_estimates_agree(self, variant):
        torch = pytest.importorskip("torch")
        spread = {}

        def backward(weight):
            # The deviation by which xavier_uniform_ draws, and numbers drawn so.
            if variant == "uniform":
                return spread[weight.data_ptr()] * torch.sign(weight)
            drawn = numbers[weight.data_ptr()]
            if variant == "feedback_alignment":
                return drawn
            return drawn.abs() * torch.sign(weight)

        torch.manual_seed(0)
        module = self.modules(torch, backward)
        numbers = {}
        for weight in (w for w in module.parameters() if w.ndim > 1):
            torch.nn.init.xavier_uniform_(weight)
            seen = weight[0].numel()
            fan = seen + weight.shape[0] * seen // weight.shape[1]
            spread[weight.data_ptr()] = (2 / fan) ** 0.5
            numbers[weight.data_ptr()] = torch.nn.init.xavier_uniform_(torch.empty_like(weight))
        x = torch.randn(5, 1, 12, 12, dtype=torch.float64)
        target = torch.tensor([0, 1, 2, 1, 0])
        network = bench.from_torch(module, x[:1])
        batch = bench.Batch(network.rows(x), target.numpy())
        objective = bench.make("objective", "cross_entropy")
        named = {n: w for n, w in module.named_parameters() if w.ndim > 1 and n != "one.weight"}
        name = "feedback_alignment" if variant == "feedback_alignment" else "sign_symmetry"
        options = {} if name == variant else {"variant": variant, "magnitudes": "initial"}
        rule = bench.make("rule", name, **options)
        given = {n: numbers[w.data_ptr()] for n, w in named.items()}
        state = rule.initial_state(network, 0)
        for each, weight in named.items():
            if name != variant:
                state[f"{each}.magnitude"] = np.array([spread[weight.data_ptr()]])
        if variant == "batchwise":
            arrays = {n: network.parameters[n] for n in named}
            noise = numpy_noise(batch, 0, 1).fractions(arrays, shared=True)
            for n, weight in named.items():
                bound = 3**0.5 * spread[weight.data_ptr()]
                theirs = torch.tensor(bound * network.tensors({n: noise[n][0]})[n])
                numbers[weight.data_ptr()] = theirs
        elif variant != "uniform":
            kept = network.feedback(given)
            state.update({n: np.abs(a) if name != variant else a for n, a in kept.items()})
        torch.nn.functional.cross_entropy(module.astray(x), target).backward()
        theirs = network.gradients(module)
        ours = bench.estimates(rule, network, objective, batch, samples=1, seed=0, state=state)
        assert_close({n: array[0] for n, array in ours.items()}, theirs)
        plain = bench.gradient(network, objective, batch)
        apart = np.linalg.norm(plain["one.weight"] - theirs["one.weight"])
        assert apart > 0.1 * np.linalg.norm(plain["one.weight"])

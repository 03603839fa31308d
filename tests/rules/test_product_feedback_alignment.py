"""Product feedback alignment: its twins, and training beside a version in PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    CROSS_ENTROPY,
    activations,
    assert_close,
    cell,
    classes,
    drawn,
    held,
    mlp,
    numpy_noise,
    objectives,
    seeds,
    shapes,
)
from plausibench import bench
from plausibench.architectures.synapses import OneToOneSynapse
from plausibench.rules.random_feedback import trained
from plausibench.rules.theory import Situation


@settings(max_examples=25)
@given(shapes, activations, objectives, seeds, st.sampled_from(["gaussian", "orthogonal"]))
def test_twins(sizes, activation, objective, seed, fixed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "product_feedback_alignment", expansion=2, fixed=fixed)
    state = rule.initial_state(network, seed)
    names = [p.name for p in network.returning]
    pairs = [(state[f"{name}.fixed"].T, state[f"{name}.learned"].T) for name in names]
    # B R takes the place of W, entry by entry.
    products = [
        np.array(
            [[sum(b[k] * r[k, i] for k in range(b.size)) for b in fixed] for i in range(r.shape[1])]
        )
        for fixed, r in pairs
    ]
    one = drawn(rule, network, objective, batch, seed, state)[0]
    assert_close(one, naive_feedback.layerwise(network, objective, batch, products))
    step = held(network, batch, numpy_noise(batch, seed), objective)
    generator = np.random.default_rng(seed)
    change = {n: generator.standard_normal(w.shape) for n, w in network.parameters.items()}
    after = rule.advance(state, replace(step, applied=change, decay=0.1))
    for name, (b, r) in zip(names, pairs, strict=True):
        twin = naive_feedback.product_learning(b, r, change[name], 0.1)
        assert_close({name: after[f"{name}.learned"].T}, {name: twin})
        np.testing.assert_array_equal(after[f"{name}.fixed"], state[f"{name}.fixed"])


@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_five_steps_equal_those_in_pytorch(decay):
    """R descends with a gradient of its own, its two factors."""
    torch = pytest.importorskip("torch")

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(context, a, w, b, r):
            context.save_for_backward(a, b, r)
            return a @ w.T

        @staticmethod
        def backward(context, signal):
            a, b, r = context.saved_tensors
            between = signal @ b
            return between @ r, signal.T @ a, None, between.T @ a

    network, batch = mlp([7, 6, 5, 3]), classes(7, 3, examples=8)
    rule = bench.make("rule", "product_feedback_alignment", expansion=3)
    state = rule.initial_state(network, 3)
    at = trained(Situation(rule, network, CROSS_ENTROPY, batch, state), 5, decay, 0.2)
    w = {n: torch.tensor(array, requires_grad=True) for n, array in network.parameters.items()}
    learned = {n: torch.tensor(state[f"layer{n}.weights.learned"].T.copy()) for n in (2, 3)}
    fixed = {n: torch.tensor(state[f"layer{n}.weights.fixed"].T.copy()) for n in (2, 3)}
    x, target = torch.tensor(batch.inputs), torch.tensor(batch.targets)
    for matrix in learned.values():
        matrix.requires_grad_(True)
    for _ in range(5):
        a = torch.tanh(x @ w["layer1.weights"].T + w["layer1.bias"])
        z = Layer.apply(a, w["layer2.weights"], fixed[2], learned[2]) + w["layer2.bias"]
        out = Layer.apply(torch.tanh(z), w["layer3.weights"], fixed[3], learned[3])
        torch.nn.functional.cross_entropy(out + w["layer3.bias"], target).backward()
        with torch.no_grad():
            for array in (*w.values(), *learned.values()):
                array.mul_(1 - decay).sub_(0.2 * array.grad)
                array.grad = None
    assert_close(at.network.parameters, {n: array.detach().numpy() for n, array in w.items()})
    assert_close(
        at.state,
        {f"layer{n}.weights.learned": r.detach().numpy().T for n, r in learned.items()},
    )


def test_neurons_with_a_single_partner_are_refused():
    network = mlp([4, 3, 3, 2])
    partners = OneToOneSynapse(3)
    projections = [
        replace(p, synapse=partners) if p.name == "layer2.weights" else p
        for p in network.projections
    ]
    parameters = {**network.parameters, "layer2.weights": np.ones(3)}
    network = replace(network, projections=tuple(projections), parameters=parameters)
    reason = bench.make("rule", "product_feedback_alignment").refusal(network, CROSS_ENTROPY)
    assert "layer2.weights each neuron has one partner" in reason

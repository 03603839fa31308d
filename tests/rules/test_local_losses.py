"""Layer-local losses: their twin, torch's gradients of them, and the read-outs that they learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_layers
from feedback_cells import (
    activations,
    assert_close,
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


def readouts(network, state):
    """R and c of every hidden layer, with biases that are not zero."""
    return [(state[p.name].T, state[f"{p.name}.readout_bias"]) for p in network.hidden]


def place(sizes, activation, output, seed):
    network = mlp(sizes, seed=seed, activation=activation, output=output, bias=bool(seed % 2))
    batch = classes(sizes[0], sizes[-1], examples=1 + seed % 5, seed=seed)
    rule = bench.make("rule", "local_losses", rate=0.5)
    state = rule.initial_state(network, seed)
    random = np.random.default_rng(seed)
    for p in network.hidden:
        state[f"{p.name}.readout_bias"] = random.standard_normal(network.output.size)
    return network, batch, rule, state


@settings(max_examples=20)
@given(shapes, activations, st.sampled_from(["identity", "sigmoid"]), objectives, seeds)
def test_twin(sizes, activation, output, objective, seed):
    network, batch, rule, state = place(sizes, activation, output, seed)
    twin = naive_layers.local_losses(network, objective, batch, readouts(network, state))
    assert_close(drawn(rule, network, objective, batch, seed, state)[1], twin)


@settings(max_examples=20)
@given(shapes, activations, st.sampled_from(["identity", "sigmoid"]), objectives, seeds)
def test_readouts_learn_by_the_delta_rule(sizes, activation, output, objective, seed):
    network, batch, rule, state = place(sizes, activation, output, seed)
    step = held(network, batch, numpy_noise(batch, seed, 1), objective)
    found = readouts(network, rule.advance(state, step))
    before = readouts(network, state)
    twin = naive_layers.local_readouts(network, objective, batch, before, 0.5)
    for ours, other in zip(found, twin, strict=True):
        for one, goal in zip(ours, other, strict=True):
            np.testing.assert_allclose(one, goal, rtol=1e-9, atol=1e-12)


def test_torch():
    """Gradients of every layer's own cross-entropy, with what it is handed detached."""
    torch = pytest.importorskip("torch")
    network, batch, rule, state = place([7, 6, 5, 3], "tanh", "identity", 3)
    found = drawn(rule, network, "cross_entropy", batch, 3, state)[0]
    w = {name: torch.tensor(a, requires_grad=True) for name, a in network.parameters.items()}
    handed, targets = torch.tensor(batch.inputs), torch.tensor(batch.targets)
    loss = torch.nn.functional.cross_entropy
    for layer in ("layer1", "layer2"):
        activity = torch.tanh(handed @ w[f"{layer}.weights"].T + w[f"{layer}.bias"])
        guess = activity @ torch.tensor(state[layer])
        loss(guess + torch.tensor(state[f"{layer}.readout_bias"]), targets).backward()
        handed = activity.detach()
    loss(handed @ w["layer3.weights"].T + w["layer3.bias"], targets).backward()
    assert_close(found, {name: each.grad.numpy() for name, each in w.items()})


def test_it_exceeds_the_readout_alone():
    """After the same steps, where hidden layers matter: few of them, on digits."""
    task, goal = bench.make("task", "digits"), bench.make("objective", "cross_entropy")
    accuracy = {}
    for name in ("local_losses", "readout_only"):
        network = bench.make("architecture", "mlp", sizes=[64, 12, 12, 10], seed=1)
        trained = bench.train(
            bench.make("rule", name), task, network, goal, steps=300, learning_rate=0.35
        )
        accuracy[name] = trained.rows[-2]["value"]
        assert trained.rows[-2]["quantity"] == "test_accuracy"
    assert accuracy["local_losses"] > accuracy["readout_only"] + 0.05

"""Direct Kolen-Pollack: its twins, and training beside a version in PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings

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
from plausibench.rules.random_feedback import trained
from plausibench.rules.theory import Situation


@settings(max_examples=25)
@given(shapes, activations, objectives, seeds)
def test_twins(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "direct_kolen_pollack", rate=0.3)
    other = bench.make("rule", "direct_feedback_alignment")
    state = rule.initial_state(network, seed)
    one = drawn(rule, network, objective, batch, seed, state)[0]
    for name, array in drawn(other, network, objective, batch, seed, state)[0].items():
        np.testing.assert_array_equal(one[name], array)
    after = rule.advance(state, held(network, batch, numpy_noise(batch, seed), objective))
    twin = naive_feedback.direct_learning(network, objective, batch, list(state.values()), 0.3, 0.0)
    if twin:
        assert_close(after, dict(zip(state, twin, strict=True)))


class TestDirectKolenPollack:
    @pytest.mark.parametrize("decay", [0.0, 0.02])
    def test_five_steps_equal_those_in_pytorch(self, decay):
        """The forward weights learn by hooks on the activities, B by its two factors."""
        torch = pytest.importorskip("torch")
        network, batch = mlp([7, 6, 5, 3]), classes(7, 3, examples=8)
        rule = bench.make("rule", "direct_kolen_pollack", rate=0.4)
        state = rule.initial_state(network, 3)
        at = trained(Situation(rule, network, CROSS_ENTROPY, batch, state), 5, decay, 0.2)
        weights = {n: torch.tensor(w, requires_grad=True) for n, w in network.parameters.items()}
        back = [torch.tensor(state[f"layer{n}"]) for n in (1, 2)]
        x, target = torch.tensor(batch.inputs), torch.tensor(batch.targets)
        for _ in range(5):
            hidden, a = [], x
            for n in (1, 2):
                # Layers are cut apart: each gets its signal from the output alone.
                z = a.detach() @ weights[f"layer{n}.weights"].T + weights[f"layer{n}.bias"]
                a = torch.tanh(z)
                hidden.append(a)
            out = a.detach() @ weights["layer3.weights"].T + weights["layer3.bias"]
            out.retain_grad()
            torch.nn.functional.cross_entropy(out, target).backward()
            for each, matrix in zip(hidden, back, strict=True):
                each.backward(out.grad @ matrix.T)
            with torch.no_grad():
                for each, matrix in zip(hidden, back, strict=True):
                    matrix.mul_(1 - decay).sub_(0.4 * each.T @ out.grad)
                for weight in weights.values():
                    weight.mul_(1 - decay).sub_(0.2 * weight.grad)
                    weight.grad = None
        assert_close(at.network.parameters, {n: w.detach().numpy() for n, w in weights.items()})
        assert_close(at.state, {f"layer{n}": m.numpy() for n, m in enumerate(back, start=1)})

    def test_lower_feedback_is_no_product_of_weights(self):
        """The limit of the highest layer does not hold further down: a negative control."""
        network, batch = mlp([7, 6, 5, 3]), classes(7, 3, examples=8)
        rule = bench.make("rule", "direct_kolen_pollack", rate=0.05)
        state = rule.initial_state(network, 0)
        at = trained(Situation(rule, network, CROSS_ENTROPY, batch, state), 1500, 0.01, 0.05)
        w = at.network.parameters
        upper = np.linalg.norm(at.state["layer2"] - w["layer3.weights"].T)
        product = (w["layer3.weights"] @ w["layer2.weights"]).T
        lower = np.linalg.norm(at.state["layer1"] - product) / np.linalg.norm(product)
        assert upper / np.linalg.norm(w["layer3.weights"]) < 1e-5
        assert lower > 0.1

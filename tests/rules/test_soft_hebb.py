"""SoftHebb: its twin, torch's gradient of the loss that it descends, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_layers
from feedback_cells import (
    CROSS_ENTROPY,
    activations,
    assert_close,
    cell,
    classes,
    drawn,
    mlp,
    objectives,
    seeds,
    shapes,
)
from plausibench import bench
from plausibench.kernels.errors import InputError


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds, st.booleans())
def test_twin(sizes, activation, objective, seed, repel):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "soft_hebb", temperature=0.7, repel=repel, gain=0.3)
    twin = naive_layers.soft_hebb(network, objective, batch, 0.7, repel, 0.3)
    assert_close(drawn(rule, network, objective, batch, seed)[1], twin)


def test_torch():
    """The free energy of the competition, with weights normalised within the loss."""
    torch = pytest.importorskip("torch")
    network, batch = mlp([7, 6, 3], bias=False), classes(7, 3)
    weights = network.parameters["layer1.weights"]
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    network = network.with_parameters({**network.parameters, "layer1.weights": unit})
    rule = bench.make("rule", "soft_hebb", temperature=0.5, repel=False, gain=0.2)
    found = drawn(rule, network, "cross_entropy", batch, 0)[0]["layer1.weights"]
    w = torch.tensor(unit, requires_grad=True)
    drive = torch.tensor(batch.inputs) @ (w / w.norm(dim=1, keepdim=True)).T
    (-0.2 * 0.5 * torch.logsumexp(drive / 0.5, 1).mean()).backward()
    np.testing.assert_allclose(found, w.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_shared_weights_are_refused():
    network = bench.make("architecture", "convolutional", shape=(4, 4, 1), channels=(2,), outputs=3)
    reason = bench.make("rule", "soft_hebb").unsupported(network, CROSS_ENTROPY)
    assert "dense synapses" in reason


@pytest.mark.parametrize("options", [{"temperature": 0}, {"repel": 1}, {"gain": 0}])
def test_options_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        bench.make("rule", "soft_hebb", **options)

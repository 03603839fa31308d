"""Rate networks in time: twins, what a trial is, refusals."""

import numpy as np
import pytest
from hypothesis import settings

import naive_time
from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from time_cells import OBJECTIVE, arrays, cell, cells, rate_rnn, sequences


@cells
@settings(max_examples=20, deadline=None)
def test_forward_and_loss(**drawn):
    network, batch = cell(**drawn)
    k, activation = drawn["leak"], drawn["activation"]
    outputs = np.array(
        [naive_time.rate_trial(arrays(network), x, k, activation)[2] for x in batch.inputs]
    )
    steps = batch.inputs.shape[1]
    found = network.forward(batch.inputs).output.reshape(steps, batch.size, 2).swapaxes(0, 1)
    np.testing.assert_allclose(found, outputs, rtol=1e-12, atol=1e-14)
    timed = batch.targets.ndim == 3
    losses = []
    for b in range(batch.size):
        wanted = batch.targets[b] if timed else [batch.targets[b]] * steps
        each = [0.5 * ((y - z) ** 2).sum() for y, z in zip(outputs[b], wanted, strict=True)]
        if batch.mask is not None:
            losses.append(np.average(each, weights=batch.mask[b]))
        else:
            losses.append(np.mean(each) if timed else each[-1])
    assert bench.loss(network, OBJECTIVE, batch) == pytest.approx(np.mean(losses), rel=1e-12)


@cells
@settings(max_examples=10, deadline=None)
def test_leaking_potentials(**drawn):
    _, batch = cell(**drawn)
    options = {"leak": drawn["leak"], "leaking": "potential"}
    other = rate_rnn(
        (2, drawn["neurons"], 2), drawn["seed"], activation=drawn["activation"], **options
    )
    for b, x in enumerate(batch.inputs):
        expected = naive_time.potential_trial(arrays(other), x, drawn["leak"], drawn["activation"])
        found = other.forward(batch.inputs).output[b :: batch.size]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_static_inputs_are_shown_for_some_steps():
    network = rate_rnn(steps=4)
    static = bench.Batch(np.random.default_rng(0).standard_normal((3, 3)), np.array([0, 1, 1]))
    shown = bench.Batch(np.repeat(static.inputs[:, None], 4, axis=1), static.targets)
    one, two = (bench.gradient(network, OBJECTIVE, batch) for batch in (static, shown))
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


def test_a_mask_of_one_step_is_that_step():
    network = rate_rnn()
    batch = sequences(network, targets="classes")
    mask = np.zeros((4, 6))
    mask[:, 2] = 3.0
    masked = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
    until = bench.Batch(batch.inputs[:, :3], batch.targets[:, 2], batch.keys)
    goal = bench.make("objective", "cross_entropy")
    assert bench.loss(network, goal, masked) == pytest.approx(bench.loss(network, goal, until))


@pytest.mark.parametrize("shape", [(4, 6, 4), (4, 4), (4,), (4, 6, 3, 1)])
def test_inputs_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="inputs: shape"):
        rate_rnn().check_inputs(np.zeros(shape))


def test_an_example_without_a_step_is_refused():
    batch = sequences(rate_rnn())
    mask = np.ones((4, 6))
    mask[1] = 0
    batch = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
    with pytest.raises(InputError, match="mask: an example has no time step"):
        bench.loss(rate_rnn(), bench.make("objective", "cross_entropy"), batch)


def test_unstable_recurrence_diverges():
    network = rate_rnn((3, 5, 2), activation="relu", recurrence=1e6)
    with pytest.raises(Divergence, match="not finite"), np.errstate(all="ignore"):
        bench.gradient(network, OBJECTIVE, bench.Batch(np.ones((2, 100, 3)), np.zeros(2, int)))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("rate_rnn", {"leak": 0}),
        ("rate_rnn", {"leak": 1.1}),
        ("rate_rnn", {"leaking": "all"}),
        ("rate_rnn", {"initial": "ones"}),
        ("rate_rnn", {"steps": 0}),
        ("rate_rnn", {"recurrence": -1}),
        ("rate_rnn", {"readout": 0}),
        ("spiking_rnn", {"filtering": "triple"}),
        ("spiking_rnn", {"refractory": -1}),
        ("spiking_rnn", {"surrogate": "step"}),
        ("spiking_rnn", {"membrane": 0}),
        ("spiking_rnn", {"adaptation": -1}),
    ],
)
def test_options_are_refused(architecture, options):
    with pytest.raises(InputError, match=f"{next(iter(options))}: "):
        bench.make("architecture", architecture, sizes=[2, 3, 2], **options)

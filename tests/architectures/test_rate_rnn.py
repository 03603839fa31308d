"""Rate networks in time: twins, what a trial is, refusals."""

import numpy as np
import pytest
from hypothesis import settings

import naive_time
from plausibench import bench
from plausibench.architectures.permutation import permuted_network
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


def started(k, start, size, seed=0):
    """A network with rates before the first step, and the same without them."""
    options = {"leak": k, "seed": seed}
    sizes = (2, size, 2)
    return rate_rnn(sizes, start=start, **options), rate_rnn(sizes, **options)


class TestStart:
    @pytest.mark.parametrize("rule", ["backpropagation_through_time", "rflo", "e_prop"])
    @pytest.mark.parametrize("k", [0.3, 1.0])
    def test_rules_see_the_first_rates(self, rule, k):
        start = (0.3, -0.5, 0.2)
        network, _ = started(k, start, 3)
        batch = sequences(network, 3, 5, targets="values")
        options = {} if rule == "backpropagation_through_time" else {"feedback": "symmetric"}
        made = bench.make("rule", rule, **options)
        found = bench.estimates(made, network, OBJECTIVE, batch, samples=1)
        error = OBJECTIVE.batch_error(network.forward(batch.inputs).output, batch)
        errors = error.reshape(5, 3, 2).swapaxes(0, 1)
        total = 0.0
        for x, e in zip(batch.inputs, errors, strict=True):
            total = total + by_hand(arrays(network), x, e, k, np.array(start), rule)
        np.testing.assert_allclose(found["layer1.recurrent"][0], total, rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("start", [0.4, (0.3, -0.5, 0.2)])
    def test_gradient_by_differences(self, start):
        network, without = started(0.3, start, 3)
        batch = sequences(network, 3, 5, targets="values")
        exact = bench.gradient(network, OBJECTIVE, batch)
        for name in network.parameters:
            array = network.parameters[name]
            for place in np.ndindex(array.shape):
                ends = []
                for sign in (1, -1):
                    moved = array.copy()
                    moved[place] += sign * 1e-6
                    other = network.with_parameters({**network.parameters, name: moved})
                    ends.append(bench.loss(other, OBJECTIVE, batch))
                slope = (ends[0] - ends[1]) / 2e-6
                assert exact[name][place] == pytest.approx(slope, rel=1e-5, abs=1e-8)
        forward, bptt = (
            bench.estimates(bench.make("rule", name), network, OBJECTIVE, batch, samples=1)
            for name in ("real_time_recurrent_learning", "backpropagation_through_time")
        )
        for name, array in forward.items():
            np.testing.assert_allclose(array, bptt[name], rtol=1e-10, atol=1e-14)
        assert bench.loss(network, OBJECTIVE, batch) != bench.loss(without, OBJECTIVE, batch)

    def test_samples_with_weights_of_their_own_start_there_too(self):
        """Weight perturbation by two passes, of a network whose first rates the weights read."""
        network, _ = started(0.3, (0.3, -0.5, 0.2), 3)
        inputs = sequences(network, 3, 5).inputs
        name = "layer1.recurrent"
        random = np.random.default_rng(0)
        weights = network.parameters[name] + 0.1 * random.standard_normal((4, 3, 3))
        together = network.forward(inputs, parameters={name: weights})
        for sample in range(4):
            alone = network.with_parameters({**network.parameters, name: weights[sample]})
            clean = alone.forward(inputs)
            np.testing.assert_allclose(together.output[sample], clean.output, rtol=1e-12)
            (loop,) = network.loops("layer1")
            np.testing.assert_allclose(
                together.presynaptic(loop)[sample], clean.presynaptic(loop), rtol=1e-12
            )
            np.testing.assert_array_equal(clean.presynaptic(loop)[:3], [[0.3, -0.5, 0.2]] * 3)

    def test_moves_with_its_neurons(self):
        network, _ = started(0.3, (0.3, -0.5, 0.2), 3)
        inputs = sequences(network, 3, 5).inputs
        moved = permuted_network(network, "layer1", np.array([2, 0, 1]))
        expected = network.forward(inputs).output
        np.testing.assert_allclose(moved.forward(inputs).output, expected, rtol=1e-12)

    def test_zero_is_none(self):
        network, without = started(0.3, 0.0, 3)
        inputs = sequences(network, 3, 5).inputs
        one, other = (each.forward(inputs).output for each in (network, without))
        np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"start": (0.1, 0.2)}, "start: 2 rates for 5 neurons"),
            ({"start": "noise"}, "start: "),
            ({"start": float("nan")}, "start: "),
            ({"start": (0.1, None, 0.1, 0.1, 0.1)}, "start: "),
            ({"start": 0.1, "leaking": "potential"}, "start: .* potentials"),
        ],
    )
    def test_refused(self, options, said):
        with pytest.raises(InputError, match=said):
            rate_rnn((3, 5, 2), **options)


def by_hand(weights, x, errors, k, start, rule):
    """Gradient of the recurrent weights, or its estimate, from rates before the first step."""
    w_in, w_rec, b, w_out, _ = weights
    rates, slopes = [start], []
    for now in x:
        u = w_in @ now + w_rec @ rates[-1] + b
        rates.append((1 - k) * rates[-1] + k * np.tanh(u))
        slopes.append(1 - np.tanh(u) ** 2)
    kept = {
        "backpropagation_through_time": w_rec,
        "e_prop": np.diag(np.diag(w_rec)),
        "rflo": np.zeros_like(w_rec),
    }[rule]
    back, g = np.zeros(len(b)), np.zeros_like(w_rec)
    for t in reversed(range(len(x))):
        total = w_out.T @ errors[t] + back
        post = k * slopes[t] * total
        g += np.outer(post, rates[t])
        back = (1 - k) * total + kept.T @ post
    return g

"""Online training through time: twins by forward traces, in rates and in spikes."""

import numpy as np
import pytest

import naive_time
from plausibench import bench
from plausibench.architectures.integrate_and_fire import Surrogate
from time_cells import OBJECTIVE, rate_rnn, sequences, spiking_rnn

PSEUDO = Surrogate("fast_sigmoid", 2.0, 0.5)
SHAPE = {"surrogate": "fast_sigmoid", "sharpness": 2.0, "height": 0.5}


def drawn(network, batch, **options):
    rule = bench.make("rule", "ottt", **options)
    found = bench.estimates(rule, network, OBJECTIVE, batch, samples=1)
    return {name: array[0] for name, array in found.items()}


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def errors_of(network, batch):
    """Derivatives of the mean loss by outputs, ``(T, B, N)``."""
    output = network.forward(batch.inputs).output
    steps = batch.inputs.shape[1]
    return OBJECTIVE.batch_error(output, batch).reshape(steps, batch.size, -1)


@pytest.mark.parametrize("sizes", [(3, 5, 2), (3, 4, 3, 2), (2, 3, 4, 3, 2)])
@pytest.mark.parametrize("targets", ["values", "trial"])
def test_twin_of_layers_with_leaking_potentials(sizes, targets):
    network = rate_rnn(sizes, leaking="potential", leak=0.3)
    batch = sequences(network, 3, 7, 1, targets)
    names = [
        [f"layer{n}.{part}" for part in ("weights", "recurrent", "bias")]
        for n in range(1, len(sizes) - 1)
    ] + [[f"layer{len(sizes) - 1}.{part}" for part in ("weights", "bias")]]
    layers = [[network.parameters[name] for name in each] for each in names]
    errors = errors_of(network, batch)
    trials = [
        naive_time.potential_traces(layers, x, errors[:, b], 0.3)
        for b, x in enumerate(batch.inputs)
    ]
    found = drawn(network, batch)
    for layer, each in enumerate(names):
        for part, name in enumerate(each):
            assert_close(found[name], sum(trial[layer][part] for trial in trials))


@pytest.mark.parametrize(("reset", "refractory"), [("to_zero", 5), ("subtract", 0)])
def test_twin_of_two_spiking_layers(reset, refractory):
    options = {"reset": reset, "refractory": refractory, **SHAPE}
    network = spiking_rnn((3, 6, 4, 2), **options)
    louder = {n: 5 * w for n, w in network.parameters.items() if n != "layer3.weights"}
    network = network.with_parameters({**network.parameters, **louder})
    batch = sequences(network, 2, 60, 1, "values")
    batch = bench.Batch(3 * batch.inputs + 1, batch.targets)
    course = network.forward(batch.inputs)
    assert all(course.traces[name]["spikes"].sum() > 3 for name in ("layer1", "layer2"))
    weights = network.parameters
    errors, found = errors_of(network, batch), drawn(network, batch)
    expected = {f"layer{n}.{part}": 0.0 for n in (1, 2) for part in ("weights", "recurrent")}
    a_m = np.exp(-2 / 20)
    for b, x in enumerate(batch.inputs):
        shown, arriving = x, errors[:, b] @ weights["layer3.weights"]
        seen = {"layer1": x, "layer2": course.activity["layer1"][b::2]}
        for name in ("layer2", "layer1"):
            shown = seen[name]
            own = (weights[f"{name}.weights"], weights[f"{name}.recurrent"])
            size = len(own[1])
            pair = naive_time.spiking_traces(
                *own, np.eye(size), shown, arriving, "single", refractory, 0.0, PSEUDO, True, reset
            )
            for part, array in zip(("weights", "recurrent"), pair, strict=True):
                expected[f"{name}.{part}"] = expected[f"{name}.{part}"] + array
            _, _, distances, gates, _ = naive_time.spiking_trial(
                *own, shown, "single", refractory, 0.0, reset
            )
            # A drive now charges the potential, and its spike is the filter's first step.
            slope = PSEUDO(distances) * gates * (1 - a_m) * (2 / 30)
            arriving = (slope * arriving) @ own[0]
    for name, array in expected.items():
        assert_close(found[name], array)


def test_deep_layers_differ_from_e_prop_and_single_ones_do_not():
    for sizes, same in (((3, 5, 2), True), ((3, 4, 3, 2), False)):
        network = rate_rnn(sizes, leaking="potential", leak=0.3, recurrence=0)
        batch = sequences(network, 3, 7, 1, "values")
        rule = bench.make("rule", "e_prop")
        theirs = bench.estimates(rule, network, OBJECTIVE, batch, samples=1)
        ours = drawn(network, batch)
        assert np.allclose(ours["layer1.weights"], theirs["layer1.weights"][0], 1e-9) == same


def test_random_feedback_takes_the_place_of_the_weights():
    network = rate_rnn((3, 4, 3, 2))
    batch = sequences(network, 3, 7, 1, "values")
    rule = bench.make("rule", "ottt", feedback="random")
    state = bench.initial_state(rule, network, seed=3)
    changed = {
        p.name: p.synapse.untranspose(state[p.name]) for p in network.returning if not p.delay
    }
    found = bench.estimates(rule, network, OBJECTIVE, batch, samples=1, state=state)
    symmetric = drawn(network, batch)
    assert set(changed) == {"layer2.weights", "layer3.weights"}
    np.testing.assert_array_equal(found["layer3.weights"][0], symmetric["layer3.weights"])
    assert not np.allclose(found["layer1.weights"][0], symmetric["layer1.weights"])

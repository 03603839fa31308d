"""Networks in time and sequences for them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plausibench import bench


def rate_rnn(sizes=(3, 5, 2), seed=0, **options):
    network = bench.make("architecture", "rate_rnn", sizes=sizes, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * random.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def sequences(network, examples=4, steps=6, seed=0, targets="trial", masked=False):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((examples, steps, network.inputs))
    outputs = network.output.size
    wanted = {
        "trial": random.integers(0, outputs, examples),
        "classes": random.integers(0, outputs, (examples, steps)),
        "values": random.standard_normal((examples, steps, outputs)),
        "value": random.standard_normal((examples, outputs)),
    }[targets]
    mask = random.uniform(0, 1, (examples, steps)).round(2) if masked else None
    return bench.Batch(inputs, wanted, random.permutation(examples), mask)


def spiking_rnn(sizes=(4, 6, 2), seed=0, **options):
    return bench.make("architecture", "spiking_rnn", sizes=sizes, seed=seed, **options)


NETWORKS = [
    rate_rnn(),
    rate_rnn((3, 4, 2), activation="softplus", leaking="potential", leak=0.3, readout=0.4),
    rate_rnn((2, 4, 3, 2), activation="sigmoid", initial="orthogonal", bias=False),
    spiking_rnn(),
    spiking_rnn((4, 5, 4, 2), filtering="double", adaptation=0.3, detach_reset=True, bias=True),
    spiking_rnn(filtering="double_continuous", surrogate="triangle", sharpness=1, height=0.3),
]
OBJECTIVE = bench.make("objective", "mean_squared_error")


def arrays(network):
    names = ("layer1.weights", "layer1.recurrent", "layer1.bias", "layer2.weights", "layer2.bias")
    return [network.parameters[name] for name in names]


cells = given(
    neurons=st.integers(1, 5),
    steps=st.integers(1, 7),
    examples=st.integers(1, 3),
    leak=st.sampled_from([0.2, 0.5, 1.0]),
    activation=st.sampled_from(["tanh", "softplus"]),
    targets=st.sampled_from(["value", "values"]),
    masked=st.booleans(),
    seed=st.integers(0, 5),
)


def cell(neurons, steps, examples, leak, activation, targets, masked, seed):
    network = rate_rnn((2, neurons, 2), seed, leak=leak, activation=activation)
    batch = sequences(network, examples, steps, seed, targets)
    if masked:
        mask = np.random.default_rng(seed).uniform(0.1, 1, (examples, steps))
        batch = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
    return network, batch


def by_trial(network, batch):
    """Errors of every step (B, T, N), divided by the batch size."""
    clean = network.forward(batch.inputs)
    error = OBJECTIVE.batch_error(clean.output, batch)
    return error.reshape(-1, batch.size, error.shape[-1]).swapaxes(0, 1)


def summed(network, batch, twin):
    """Sum of a twin's estimates over trials, by parameter of the recurrent layer."""
    errors = by_trial(network, batch)
    each = [twin(x, e, b) for b, (x, e) in enumerate(zip(batch.inputs, errors, strict=True))]
    names = ("layer1.weights", "layer1.recurrent", "layer1.bias")
    return {name: sum(parts) for name, parts in zip(names, zip(*each, strict=True), strict=False)}


def agree(rule, network, batch, expected, state=None):
    """Whether a draw of a rule is what is expected of some parameters."""
    drawn = bench.estimates(rule, network, OBJECTIVE, batch, samples=1, state=state)
    for name, array in expected.items():
        np.testing.assert_allclose(drawn[name][0], array, rtol=1e-10, atol=1e-13)


def summed_by_trial(network, batch, twin):
    """Sum over trials of a twin's estimates of whole networks: dicts of arrays by parameter."""
    errors = by_trial(network, batch)
    each = [twin(x, e, b) for b, (x, e) in enumerate(zip(batch.inputs, errors, strict=True))]
    return {name: sum(parts[name] for parts in each) for name in each[0]}


def deep(seed=0):
    """Two recurrent layers of tanh rates, and trials for them."""
    network = rate_rnn((3, 4, 5, 2), seed, leak=0.3)
    return network, sequences(network, 3, 6, seed, "values")

"""Networks with memory units: twin, gradient, and what is refused."""

import numpy as np
import pytest

import naive
import naive_sequel
from plausibench import bench
from plausibench.kernels.errors import InputError

OBJECTIVE = bench.make("objective", "mean_squared_error")


def network(**options):
    return bench.make("architecture", "memory_units", **{"sizes": [3, 7, 2], **options})


def sequences(examples=3, steps=5, seed=0):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((examples, steps, 3))
    return bench.Batch(inputs, random.integers(0, 2, (examples, steps)))


def test_forward():
    net, batch = network(), sequences()
    output = net.forward(batch.inputs).output.reshape(5, 3, 2)
    for b, x in enumerate(batch.inputs):
        expected = [step[-1] for step in naive_sequel.memory_trial(net, x)]
        np.testing.assert_allclose(output[:, b], expected, rtol=1e-12, atol=1e-14)


def test_gradient_and_tangent_are_those_of_the_loss():
    net, batch = network(activation="tanh", memory=3), sequences()
    random = np.random.default_rng(1)
    net = net.with_parameters(
        {n: random.standard_normal(w.shape) for n, w in net.parameters.items()}
    )

    def loss(parameters):
        return net.with_parameters(parameters).loss(OBJECTIVE, batch)

    expected = naive.finite_difference_gradient(net, loss, h=1e-5)
    found = bench.gradient(net, OBJECTIVE, batch)
    clean = net.forward(batch.inputs)
    error = OBJECTIVE.batch_error(clean.output, batch)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-9)
        moved = random.standard_normal((1, *array.shape))
        change = (net.tangent(clean, parameters={name: moved}).output * error).sum()
        assert change == pytest.approx(float((moved[0] * found[name]).sum()), rel=1e-10)


def test_a_disturbed_pass_takes_what_is_not_reached_from_the_clean_one():
    net, batch = network(), sequences()
    clean = net.forward(batch.inputs)
    noise = {"memory": np.random.default_rng(0).standard_normal((2, *clean.drive["memory"].shape))}
    short, whole = (
        net.forward(batch.inputs, drive_noise=noise, clean=known).output for known in (clean, None)
    )
    np.testing.assert_array_equal(short, whole)
    assert np.abs(short - clean.output).max() > 0.1


def test_half_of_the_units_remember_until_the_end_of_the_trial():
    net = network(sizes=[1, 3, 1])
    assert {p.name: p.size for p in net.populations} == {"regular": 1, "memory": 2, "output": 1}
    pulse = np.zeros((1, 40, 1))
    pulse[0, 1:3] = 1
    course = net.forward(pulse)
    memory = course.activity["memory"]
    # The unit has seen the input come and go, and rests where both leave it.
    come, gone = net.parameters["memory.weights"].T
    np.testing.assert_allclose(memory[1], 1 / (1 + np.exp(-come)), rtol=1e-12)
    np.testing.assert_allclose(memory[3:], [1 / (1 + np.exp(-come - gone))] * 37, rtol=1e-12)
    np.testing.assert_array_equal(
        course.activity["regular"][3:], course.activity["regular"][0:1].repeat(37, 0)
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"sizes": [3, 2]}, "sizes"),
        ({"sizes": [3, 4, 4, 2]}, "sizes"),
        ({"sizes": [3, 1, 2]}, "sizes"),
        ({"memory": 7}, "memory"),
        ({"memory": 0}, "memory"),
        ({"steps": 0}, "steps"),
        ({"activation": "step"}, "activation"),
        ({"output": "step"}, "output"),
        ({"bias": 2}, "bias"),
    ],
)
def test_refused(options, field):
    with pytest.raises(InputError, match=f"memory_units: {field}"):
        network(**options)

"""The exact gradient: against finite differences, an independent autograd, and naive twins."""

from dataclasses import fields

import numpy as np
import pytest

import naive
from plausibench import bench
from plausibench.bench.components import registry
from plausibench.kernels.errors import InputError

ACTIVATIONS = ["identity", "tanh", "sigmoid", "relu", "softplus"]
OBJECTIVES = ["mean_squared_error", "cross_entropy", "expected_reward"]
ARCHITECTURES = [
    ("linear", {"sizes": [5, 3]}),
    ("linear", {"sizes": [5, 4, 3], "bias": True}),
    *[("mlp", {"sizes": [5, 6, 4, 3], "activation": name}) for name in ACTIVATIONS],
    ("mlp", {"sizes": [5, 6, 3], "output": "sigmoid", "bias": False}),
    ("dendritic", {"sizes": [5, 6, 4, 3]}),
    ("dendritic", {"sizes": [5, 6, 4, 3], "leak": 0.1, "loads": True, "activation": "softplus"}),
]


def random_batch(objective, examples=4, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((examples, 5))
    if objective == "mean_squared_error":
        return bench.Batch(inputs, generator.standard_normal((examples, 3)))
    return bench.Batch(inputs, generator.integers(0, 3, examples))


def flat(arrays):
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("architecture", "options"), ARCHITECTURES)
def test_agrees_with_finite_differences(architecture, options, objective, record_figure):
    network = bench.make("architecture", architecture, seed=1, **options)
    generator = np.random.default_rng(2)
    network = network.with_parameters(
        {
            name: a + 0.3 * generator.standard_normal(a.shape)
            for name, a in network.parameters.items()
        }
    )
    batch, goal = random_batch(objective), bench.make("objective", objective)

    def loss(parameters):
        return bench.loss(network.with_parameters(parameters), goal, batch)

    exact = flat(bench.gradient(network, goal, batch))
    numeric = flat(naive.finite_difference_gradient(network, loss))
    error = np.linalg.norm(exact - numeric) / np.linalg.norm(exact)
    record_figure("gradient against finite differences", f"{error:.1e}", "1e-7")
    assert error < 1e-7


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("architecture", "options"), ARCHITECTURES)
def test_agrees_with_an_independent_autograd(architecture, options, objective, record_figure):
    torch = pytest.importorskip("torch")
    network = bench.make("architecture", architecture, seed=1, **options)
    batch, goal = random_batch(objective), bench.make("objective", objective)
    functions = {
        "identity": lambda z: z,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softplus": torch.nn.functional.softplus,
    }
    parameters = {
        name: torch.tensor(array, requires_grad=True) for name, array in network.parameters.items()
    }
    a = torch.tensor(batch.inputs)
    for population in network.populations:
        z = a @ parameters[f"{population.name}.weights"].T
        if f"{population.name}.bias" in parameters:
            z = z + parameters[f"{population.name}.bias"]
        factor = 1.0
        if architecture == "dendritic":
            leak, loads = options.get("leak", 0.0), options.get("loads", False)
            top = population.name == network.output.name
            factor = 1.0 / (leak + 1.0 + (0.8 if loads and not top else 0.0))
        a = functions[population.neurons.activation](factor * z)
    targets = torch.tensor(batch.targets)
    if objective == "mean_squared_error":
        loss = 0.5 * ((a - targets) ** 2).sum(dim=1).mean()
    elif objective == "cross_entropy":
        loss = torch.nn.functional.cross_entropy(a, targets)
    else:
        loss = -torch.softmax(a, dim=1)[torch.arange(len(targets)), targets].mean()
    loss.backward()
    ours = bench.gradient(network, goal, batch)
    for name, parameter in parameters.items():
        theirs = parameter.grad.numpy()
        error = np.abs(ours[name] - theirs).max() / np.abs(theirs).max()
        record_figure("gradient against PyTorch", f"{error:.1e}", "1e-10")
        assert error < 1e-10
    assert abs(bench.loss(network, goal, batch) - loss.item()) < 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_network_agrees_with_its_naive_twin(activation):
    network = bench.make("architecture", "mlp", sizes=[5, 6, 4, 3], activation=activation, seed=3)
    batch = random_batch("cross_entropy", seed=4)
    clean = network.forward(batch.inputs)
    error = np.random.default_rng(5).standard_normal((batch.size, 3))
    signals = network.credit(clean, {"layer3": error})
    for b in range(batch.size):
        activities, _ = naive.forward(network, batch.inputs[b])
        twins = naive.backpropagate(network, batch.inputs[b], error[b])
        for number, population in enumerate(network.populations):
            np.testing.assert_allclose(
                clean.activity[population.name][b], activities[number + 1], rtol=1e-12, atol=1e-14
            )
            np.testing.assert_allclose(
                signals[population.name][b], twins[number], rtol=1e-11, atol=1e-14
            )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_agree_with_their_naive_twins(objective):
    batch, goal = random_batch(objective, examples=7), bench.make("objective", objective)
    output = np.random.default_rng(6).standard_normal((2, 7, 3))
    found = goal.losses(output, batch.targets)
    for s in range(2):
        for b in range(7):
            twin = naive.losses(objective, output[s, b], batch.targets[b])
            assert found[s, b] == pytest.approx(twin, rel=1e-13)


def test_a_pass_over_changed_weights_reaches_only_what_is_downstream():
    network = bench.make("architecture", "mlp", sizes=[5, 6, 4, 3], seed=0)
    batch = random_batch("cross_entropy")
    clean = network.forward(batch.inputs)
    weights = network.parameters["layer2.weights"]
    stacked = weights + np.random.default_rng(0).standard_normal((3, *weights.shape))
    passed = network.forward(batch.inputs, parameters={"layer2.weights": stacked}, clean=clean)
    assert passed.activity["layer1"] is clean.activity["layer1"]
    for sample in range(3):
        changed = {**network.parameters, "layer2.weights": stacked[sample]}
        alone = network.with_parameters(changed).forward(batch.inputs)
        np.testing.assert_allclose(passed.output[sample], alone.output, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", sorted(registry.entries("architecture")))
def test_functions_of_neurons_are_refused_by_the_name_of_their_option(name):
    options = {field.name for field in fields(registry.find("architecture", name))}
    given = {"sizes": [4, 4, 2]} if "sizes" in options else {}
    for option in options & {"activation", "output", "gate", "surrogate"}:
        said = rf"^architecture {name}: {option}: 'step' is not known"
        with pytest.raises(InputError, match=said):
            bench.make("architecture", name, **given, **{option: "step"})

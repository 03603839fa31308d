"""A fused step is the estimate formed, then the optimiser, whatever the threads and the rule."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.training import training
from plausibench.bench.training.descent import copied, descend
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import trajectory
from plausibench.kernels import threads
from plausibench.kernels.errors import InputError
from plausibench.rules.estimate import Dense, Directional, Outer, form

NETWORK = bench.make("architecture", "mlp", sizes=[300, 500, 7])
RANDOM = np.random.default_rng(0)


def estimates(kind):
    """Estimates of one sample in one of their forms, and these formed."""
    found = {}
    for p in NETWORK.projections:
        post, pre = (RANDOM.standard_normal((1, 5, n)) for n in p.synapse.factors)
        if kind == "outer":
            found[p.name] = Outer(post, pre[0])
        elif kind == "dense":
            # Not contiguous, and the state of a rule.
            found[p.name] = Dense(np.asfortranarray(p.synapse.outer(post, pre)[0]))
        else:
            found[p.name] = Directional(np.array([0.3]), p.synapse.outer(post, pre))
    formed = {
        name: array.reshape(NETWORK.parameters[name].shape)
        for name, array in form(NETWORK, found).items()
    }
    return found, {name: array.copy() for name, array in formed.items()}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("kind", ["outer", "dense", "directional"])
@pytest.mark.parametrize("asked", [False, True])
def test_is_the_change_of_the_formed_estimate(number, kind, asked, monkeypatch):
    monkeypatch.setattr(threads, "_granted", number)
    assert any(len(p.synapse.parts) > 1 for p in NETWORK.projections)
    found, formed = estimates(kind)
    extra = {"layer1.weights": NETWORK.parameters["layer1.weights"]}
    formed["layer1.weights"] += extra["layer1.weights"]
    factors = {p.name: 0.5 for p in NETWORK.projections if "layer2" in p.name}
    optimise = make_optimiser("adam", 0.01, 0.5)
    network = NETWORK.with_parameters(copied(NETWORK.parameters))
    applied = {n: np.empty_like(w) for n, w in network.parameters.items()} if asked else None
    memory, twin = {}, {}
    for _ in range(2):
        before = copied(network.parameters)
        assert descend(optimise, network, found, extra, memory, factors, applied)
        changes, twin = optimise.change(formed, twin)
        for name, change in changes.items():
            moved = factors.get(name, 1.0) * change
            wanted = (1 - optimise.decay) * before[name] + moved
            np.testing.assert_allclose(network.parameters[name], wanted, rtol=1e-13, atol=1e-15)
            if applied is not None:
                np.testing.assert_allclose(applied[name], moved, rtol=1e-11, atol=1e-15)
    for name, array in form(NETWORK, found).items():  # what the rule gave is as it was
        given = formed[name] - extra.get(name, 0)
        np.testing.assert_allclose(array.reshape(given.shape), given, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", ["backprop", "kolen_pollack", "node_perturbation"])
def test_training_has_the_same_bits_with_any_number_of_threads(rule, monkeypatch):
    task = bench.make("task", "digits")
    network = bench.make("architecture", "mlp", sizes=[64, 600, 300, 10])
    parts = (bench.make("rule", rule), task, network, bench.make("objective", "cross_entropy"))
    found = []
    for number in (1, 2, 3):
        monkeypatch.setattr(threads, "_granted", number)
        trained = bench.train(*parts, steps=3, evaluate_every=3, batch_size=200)
        found.append((trained.rows, trained.network.parameters))
    for rows, parameters in found[1:]:
        assert rows == found[0][0]
        for name, array in parameters.items():
            np.testing.assert_array_equal(array, found[0][1][name])


def test_convolutions_have_the_same_bits_with_any_number_of_threads(monkeypatch):
    options = {"shape": (24, 24), "channels": (4, 6), "outputs": 3, "stride": 1}
    network = bench.make("architecture", "convolutional", **options)
    batch = bench.Batch(RANDOM.standard_normal((40, 576)), RANDOM.integers(0, 3, 40))
    objective = bench.make("objective", "cross_entropy")
    assert len(network.projections[2].synapse._blocks(40)) > 1
    found = []
    for number in (1, 2, 3):
        monkeypatch.setattr(threads, "_granted", number)
        found.append(bench.gradient(network, objective, batch))
    for other in found[1:]:
        for name, array in other.items():
            np.testing.assert_array_equal(array, found[0][name])


def test_checkpoints_stay_as_they_were_and_the_network_given_too():
    task, network = bench.make("task", "digits"), bench.make("architecture", "mlp", sizes=[64, 10])
    before = copied(network.parameters)
    rule = bench.make("rule", "backprop")
    objective = bench.make("objective", "cross_entropy")
    short = bench.train(rule, task, network, objective, steps=2)
    optimise = make_optimiser("sgd", 0.1)
    course = list(trajectory(rule, rule, network, objective, task, optimise, (0, 2, 4), 32, 0))
    for name, array in before.items():
        np.testing.assert_array_equal(network.parameters[name], array)
        np.testing.assert_array_equal(course[0].network.parameters[name], array)
        np.testing.assert_array_equal(
            course[1].network.parameters[name], short.network.parameters[name]
        )
        assert (course[2].network.parameters[name] != array).any()


@pytest.mark.parametrize(
    "rule", ["backprop", "kolen_pollack", "weight_perturbation", "target_propagation"]
)
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_training_in_single_precision_is_that_in_double_to_its_rounding(rule, optimiser):
    task, network = (
        bench.make("task", "digits"),
        bench.make("architecture", "mlp", sizes=[64, 9, 10]),
    )
    parts = (bench.make("rule", rule), task, network, bench.make("objective", "cross_entropy"))
    # So small a rate that no noise grows in five steps; losses move by 1e-3 of themselves at most.
    options = {"steps": 5, "evaluate_every": 5, "learning_rate": 1e-4, "optimiser": optimiser}
    wide, narrow = (bench.train(*parts, **options, dtype=kind) for kind in ("float64", "float32"))
    for name, array in narrow.network.parameters.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wide.network.parameters[name], rtol=0, atol=2e-4)
    assert all(array.dtype == np.float32 for array in narrow.state.values())
    one, other = (
        {row["quantity"]: row["value"] for row in found.rows if row["step"] == 5}
        for found in (wide, narrow)
    )
    assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)


def test_another_type_is_refused():
    task, network = bench.make("task", "digits"), bench.make("architecture", "mlp", sizes=[64, 10])
    parts = (
        bench.make("rule", "backprop"),
        task,
        network,
        bench.make("objective", "cross_entropy"),
    )
    with pytest.raises(InputError, match="dtype: 'float16' is not known; choose one of float64"):
        bench.train(*parts, steps=1, dtype="float16")


@pytest.mark.parametrize("held", [1, 1000, 100_000])
@pytest.mark.parametrize("kind", ["mlp", "rate_rnn"])
def test_an_evaluation_in_parts_is_that_of_the_whole(kind, held, monkeypatch):
    recurrent = kind == "rate_rnn"
    shape = (23, 6, 3) if recurrent else (23, 3)
    network = bench.make("architecture", kind, sizes=[3, 5, 2])
    batch = bench.Batch(RANDOM.standard_normal(shape), RANDOM.integers(0, 2, 23))
    whole = network.forward(batch.inputs).output
    monkeypatch.setattr(training, "HELD", held)
    np.testing.assert_allclose(training.outputs(network, batch), whole, rtol=1e-13, atol=1e-15)

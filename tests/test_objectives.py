"""Objectives: derivatives by differences, what is known of each in closed form, and penalties."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.description_length import DescriptionLength
from plausibench.objectives.empowerment import Empowerment, capacity, grid
from plausibench.objectives.generative import loadings
from plausibench.objectives.homeostasis import Homeostasis
from plausibench.objectives.mutual_information import MutualInformation
from plausibench.objectives.poisson import Poisson
from plausibench.objectives.readout_sparsity import ReadoutSparsity
from plausibench.objectives.smooth_kernels import SmoothKernels
from plausibench.objectives.sparse_coding import SparseCoding
from plausibench.objectives.temporal_coherence import TemporalCoherence
from plausibench.objectives.weight_decay import WeightDecay
from plausibench.objectives.weighted_sum import WeightedSum
from plausibench.objectives.wiring_cost import WiringCost
from plausibench.rules.backprop import Backprop
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.weight_perturbation import WeightPerturbation

SUM = WeightedSum(((0.5, Poisson()), (2, Homeostasis(over="batch")), (0.1, WeightDecay())))
OBJECTIVES = [
    Poisson(),
    Poisson(link="identity"),
    DescriptionLength(),
    DescriptionLength(variance=0.3, seed=1),
    SparseCoding(),
    SparseCoding(cost="logarithmic"),
    Homeostasis(),
    Homeostasis(set_point=-1, over="batch"),
    TemporalCoherence(),
    TemporalCoherence(decorrelation=0),
    MutualInformation(sigma=0.5),
    Empowerment(1e-13),
    SUM,
]


def counts(examples=5, outputs=4, seed=0):
    return np.random.default_rng(seed).poisson(2, (examples, outputs)).astype(float)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_error_is_the_derivative_of_the_loss(objective, record_figure):
    """With a sample axis; the error is B times the derivative of the batch's loss."""
    # With more actions than outcomes one is of no use, and its weight vanishes slowly.
    examples = 3 if isinstance(objective, Empowerment) else 5
    output = np.random.default_rng(1).uniform(0.3, 1.5, (2, examples, 4))
    output *= 4 if isinstance(objective, Empowerment) else 1  # actions to be told apart
    targets = counts(examples)
    objective.check(targets, 4)
    numeric, h = np.empty_like(output), 1e-6
    for index in np.ndindex(output.shape):
        moved = [output.copy(), output.copy()]
        moved[0][index] += h
        moved[1][index] -= h
        above, below = (objective.loss(each, targets)[index[0]] for each in moved)
        numeric[index] = examples * (above - below) / (2 * h)
    exact = objective.error(output, targets)
    error = np.linalg.norm(exact - numeric) / np.linalg.norm(exact)
    record_figure(f"error of {type(objective).__name__} against differences", error, "1e-7")
    assert error < 1e-7


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_samples_are_told_apart_and_losses_average(objective):
    examples = 3 if isinstance(objective, Empowerment) else 5
    output = np.random.default_rng(2).uniform(0.3, 1.5, (2, examples, 4))
    targets = counts(examples, seed=3)
    each = [objective.loss(one, targets) for one in output]
    np.testing.assert_allclose(objective.loss(output, targets), each, rtol=1e-12)
    errors = [objective.error(one, targets) for one in output]
    np.testing.assert_allclose(objective.error(output, targets), errors, rtol=1e-11, atol=1e-13)
    if isinstance(objective, Empowerment):
        objective = Empowerment(1e-6)
    single = objective.error(output.astype("float32"), targets.astype("float32"))
    assert single.dtype == np.float32
    if objective.couples_examples:
        with pytest.raises(InputError, match="couples the examples"):
            objective.losses(output, targets)
    else:
        losses = objective.losses(output, targets)
        assert losses.shape == (2, examples)
        np.testing.assert_allclose(losses.mean(axis=-1), each, rtol=1e-12)


def test_poisson_is_the_likelihood_of_counts():
    rates, seen = np.random.default_rng(0).uniform(0.5, 4, (6, 3)), counts(6, 3)
    surprise = -stats.poisson.logpmf(seen, rates).sum(axis=1)
    constant = -stats.poisson.logpmf(seen, 1).sum(axis=1) - 3
    for objective, output in [
        (Poisson(), np.log(rates)),
        (Poisson(link="identity", offset=0), rates),
    ]:
        np.testing.assert_allclose(objective.losses(output, seen) + constant, surprise, rtol=1e-12)
        right = np.log(seen + 1) if objective.link == "log" else seen + 1
        np.testing.assert_allclose(objective.error(right, seen + 1), 0, atol=1e-12)


@pytest.mark.parametrize("variance", [0.2, 1.0, 3.0])
def test_the_shortest_description_is_minus_the_log_evidence(variance, record_figure):
    objective, columns = DescriptionLength(variance), loadings(0, 5, 3)
    data = np.random.default_rng(1).standard_normal((7, 5)) * 2
    # The posterior of a linear gaussian model.
    precision = np.eye(3) + columns.T @ columns / variance
    mean = np.linalg.solve(precision, columns.T @ data.T).T / variance
    spread = np.log(np.diag(np.linalg.inv(precision)))
    best = np.concatenate([mean, np.broadcast_to(spread, mean.shape)], axis=1)
    evidence = stats.multivariate_normal(
        np.zeros(5), columns @ columns.T + variance * np.eye(5)
    ).logpdf(data)
    gap = np.abs(objective.losses(best, data) + evidence).max()
    record_figure("free energy at its minimum, less minus the log evidence", gap, "1e-10")
    assert gap < 1e-10
    np.testing.assert_allclose(objective.error(best, data), 0, atol=1e-12)
    worse = best + 0.1 * np.random.default_rng(2).standard_normal(best.shape)
    assert (objective.losses(worse, data) > -evidence).all()


def test_sparse_code_of_an_orthonormal_dictionary_is_the_soft_threshold():
    objective, dictionary = SparseCoding(sparsity=0.4), loadings(0, 6, 6)
    data = np.random.default_rng(0).standard_normal((5, 6))
    linear = data @ dictionary
    best = np.sign(linear) * np.maximum(np.abs(linear) - 0.4, 0)
    assert 0 < (best == 0).sum() < best.size
    lowest = objective.losses(best, data)
    np.testing.assert_allclose(objective.error(best, data)[best != 0], 0, atol=1e-12)
    generator = np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0):
        other = best + size * generator.standard_normal(best.shape)
        assert (objective.losses(other, data) > lowest).all()


def test_homeostasis_reaches_its_set_point_and_drive_reductions_telescope():
    course = [np.array([[2.0, -1.0], [0.5, 3.0]])]
    for over in ("examples", "batch"):
        objective, course = Homeostasis(0.7, over), course[:1]
        for _ in range(200):
            course.append(course[-1] - 0.1 * objective.error(course[-1], None))
        # Each step leaves nine tenths of the distance.
        reached = course[-1] if over == "examples" else course[-1].mean(axis=0)
        np.testing.assert_allclose(reached, 0.7, atol=3 * 0.9**200)
        drive = [float(objective.loss(output, None)) for output in course]
        rewards = -np.diff(drive)
        assert rewards.sum() == pytest.approx(drive[0] - drive[-1], rel=1e-12)
        assert (rewards > 0).all()


def test_slowness_of_known_signals():
    steps = 360
    for turns in (1, 5, 40):
        # A whole number of turns: the next moment is the same wave, shifted.
        angle = 2 * np.pi * turns * np.arange(steps + 1) / steps
        wave = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        found = TemporalCoherence().loss(wave, np.zeros((steps + 1, 2)))
        law = 2 * (2 - 2 * np.cos(2 * np.pi * turns / steps))
        assert found == pytest.approx(law, rel=0.01)
    flicker = np.tile([[1.0], [-1.0]], (8, 1))
    assert TemporalCoherence().loss(flicker, np.zeros((16, 1))) == pytest.approx(4, rel=1e-12)
    noise = np.random.default_rng(0).standard_normal((100_000, 1))
    assert TemporalCoherence().loss(noise, noise) == pytest.approx(2, rel=0.02)


def test_slowness_counts_steps_within_a_scene_and_equal_outputs_cost():
    output = np.array([[0.0], [0.0], [5.0], [5.0]])
    assert TemporalCoherence().loss(output, np.array([0, 0, 1, 1])) == 0
    assert TemporalCoherence().loss(output, np.array([0, 0, 0, 0])) > 1
    twice = np.random.default_rng(0).standard_normal((9, 1)) * np.ones(2)
    both, alone = (TemporalCoherence(weight).loss(twice, twice) for weight in (1.5, 0))
    assert both - alone == pytest.approx(1.5, rel=1e-10)
    with pytest.raises(InputError, match="one scene"):
        TemporalCoherence().check(np.array([0, 1, 0]), 1)


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0.2, 3), st.integers(0, 99))
def test_information_of_a_linear_gaussian_channel(inputs, outputs, sigma, seed):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((12, inputs))
    weights = generator.standard_normal((outputs, inputs))
    found = -MutualInformation(sigma).loss(x @ weights.T, x)
    covariance = weights @ np.cov(x.T, bias=True).reshape(inputs, inputs) @ weights.T
    law = 0.5 * np.log(np.linalg.det(np.eye(outputs) + covariance / sigma**2))
    assert found == pytest.approx(law, rel=1e-9, abs=1e-12)


def test_capacities_of_known_channels(record_figure):
    for flipped in (0.0, 0.1, 0.3, 0.5):
        channel = np.array([[1 - flipped, flipped], [flipped, 1 - flipped]])
        law = np.log(2) - stats.entropy([flipped, 1 - flipped])
        assert capacity(channel)[0] == pytest.approx(law, abs=1e-11)
    erased = np.array([[0.7, 0.3, 0], [0, 0.3, 0.7]])
    assert capacity(erased)[0] == pytest.approx(0.7 * np.log(2), abs=1e-11)
    # The Z channel, whose best input is not uniform.
    channel = np.array([[1, 0], [0.5, 0.5]])
    found, weights = capacity(channel)
    assert found == pytest.approx(np.log(1.25), abs=1e-11)
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=1e-5)
    with pytest.raises(InputError, match="not probabilities"):
        capacity(np.ones((2, 2)))
    with pytest.raises(Divergence, match="no capacity"):
        capacity(channel, steps=2)


def test_empowerment_in_a_grid_is_the_number_of_places_to_reach(record_figure):
    """Deterministic moves: log2 of the cells within reach."""
    for place, cells in [((2, 2), 5), ((0, 2), 4), ((0, 0), 3)]:
        bits = capacity(grid(5, 5, *place))[0] / np.log(2)
        record_figure(
            f"empowerment in a grid, {cells} cells in reach", bits, f"{np.log2(cells):.4f}"
        )
        assert bits == pytest.approx(np.log2(cells), abs=1e-10)
    far = {(r, c) for r in range(7) for c in range(7) if abs(r - 3) + abs(c - 3) <= 2}
    assert capacity(grid(7, 7, 3, 3, steps=2))[0] == pytest.approx(np.log(len(far)), abs=1e-10)
    with pytest.raises(InputError, match="row"):
        grid(3, 3, 3, 0)


def test_empowerment_of_sure_outcomes_is_at_rest():
    """Probabilities below the smallest number; the third action tells what the first one does."""
    output = np.array([[0.0, 1000.0], [1000.0, 0.0], [0.0, 1000.0]])
    goal, targets = bench.make("objective", "empowerment"), np.zeros(3, int)
    assert goal.loss(output, targets) == pytest.approx(-np.log(2), abs=1e-8)
    assert not goal.error(output, targets).any()


def test_an_agent_that_maximises_empowerment_tells_its_actions_apart():
    # An action that tells nothing is not taken, and stays so: the start matters.
    output = 0.3 * np.eye(4) + 0.1 * np.random.default_rng(0).standard_normal((4, 4))
    objective, start = Empowerment(1e-9), None
    for _ in range(200):
        start = objective.loss(output, None) if start is None else start
        output = output - objective.error(output, None)
    assert start > -0.05
    assert objective.loss(output, None) < -0.95 * np.log(4)


def network_and_batch(examples=4):
    generator = np.random.default_rng(0)
    network = bench.make("architecture", "mlp", sizes=[3, 5, 4])
    return network, bench.Batch(generator.standard_normal((examples, 3)), counts(examples))


@pytest.mark.parametrize(
    "penalty", [WeightDecay(), WeightDecay(1, True), WiringCost(0.3)], ids=repr
)
def test_penalties_have_exact_gradients(penalty):
    network, _ = network_and_batch()
    parameters = {name: array + 0.3 for name, array in network.parameters.items()}
    exact, h = penalty.penalty_gradient(parameters), 1e-6
    assert all(exact[name].shape == parameters[name].shape for name in exact)
    for name, array in parameters.items():
        for index in np.ndindex(array.shape):
            moved = [{**parameters, name: array.copy()} for _ in range(2)]
            moved[0][name][index] += h
            moved[1][name][index] -= h
            numeric = (penalty.penalty(moved[0]) - penalty.penalty(moved[1])) / (2 * h)
            expected = exact[name][index] if name in exact else 0.0
            assert numeric == pytest.approx(expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("penalty", [ReadoutSparsity(), SmoothKernels()], ids=repr)
def test_penalties_on_kernels_and_readouts_do_not_depend_on_scale(penalty):
    network = bench.make(
        "architecture", "what_where", shape=(5, 5, 2), channels=(3,), outputs=2, seed=1
    )
    parameters = dict(network.parameters)
    value, exact = penalty.penalty(parameters), penalty.penalty_gradient(parameters)
    scaled = {name: array.copy() for name, array in parameters.items()}
    scaled["where.weights"] *= 3
    scaled["what.weights"] /= 3
    scaled["layer1.weights"] *= 5
    assert penalty.penalty(scaled) == pytest.approx(value, rel=1e-12)
    for name, gradient in exact.items():
        direction = np.random.default_rng(0).standard_normal(gradient.shape)
        moved = [{**parameters, name: parameters[name] + h * direction} for h in (1e-6, -1e-6)]
        numeric = (penalty.penalty(moved[0]) - penalty.penalty(moved[1])) / 2e-6
        assert numeric == pytest.approx((gradient * direction).sum(), rel=1e-7)
    with pytest.raises(InputError, match=r"readout|convolutional"):
        penalty.penalty({"layer1.weights": np.ones((2, 2))})


def test_wire_is_as_long_as_neurons_are_apart():
    weights = {"layer1.weights": np.array([[1.0, -2.0], [0.0, 3.0]])}
    # Neurons at 1/4 and 3/4 on each line.
    assert WiringCost().penalty(weights) == pytest.approx(2 * 0.5)
    assert WiringCost(gap=1.2).penalty(weights) == pytest.approx(4 * 1.2 + 2 * 1.3)


@pytest.mark.parametrize(
    "rule", ["backprop", "node_perturbation", "feedback_alignment", "attention_gated"]
)
def test_penalties_are_added_exactly_to_any_estimate(rule):
    network, batch = network_and_batch()
    batch = bench.Batch(batch.inputs, np.array([0, 1, 2, 3]))
    made, plain = bench.make("rule", rule), CrossEntropy()
    both = bench.make("objective", "weighted_sum", terms="cross_entropy+0.5*weight_decay")
    without = bench.estimates(made, network, plain, batch, samples=3)
    found = bench.estimates(made, network, both, batch, samples=3)
    for name, array in network.parameters.items():
        extra = 0.5 * array if array.ndim == 2 else 0 * array
        np.testing.assert_allclose(found[name], without[name] + extra, rtol=1e-12, atol=1e-15)
    # What is added is no error: bias and variance are as before, in absolute terms.
    before, after = (bench.measure(made, network, o, batch, samples=64) for o in (plain, both))
    for quantity in ("absolute_bias_squared", "absolute_variance"):
        assert after.value(quantity) == pytest.approx(before.value(quantity), rel=1e-8, abs=1e-12)


def test_sums_are_sums_and_what_a_rule_sees_is_their_part_of_activity():
    network, batch = network_and_batch()
    whole = bench.loss(network, SUM, batch)
    parts = [w * bench.loss(network, term, batch) for w, term in SUM.terms]
    assert whole == pytest.approx(sum(parts), rel=1e-12)
    exact = bench.gradient(network, SUM, batch)
    for name in network.parameters:
        each = [w * bench.gradient(network, term, batch)[name] for w, term in SUM.terms]
        np.testing.assert_allclose(exact[name], sum(each), rtol=1e-12, atol=1e-15)
    assert bench.make("objective", "weighted_sum").data == CrossEntropy()
    assert SUM.data == WeightedSum(SUM.terms[:2])
    assert WeightedSum(((1, WeightDecay()),)).data.losses(np.ones((2, 3)), None).tolist() == [0, 0]


def test_cross_entropy_refuses_what_is_no_probability():
    network, batch = network_and_batch()
    batch = bench.Batch(batch.inputs, np.array([[0.5, 0.5, 0, -0.25]] * 4))
    with pytest.raises(InputError, match=r"^targets: -0.25 is no probability; allowed"):
        bench.loss(network, CrossEntropy(), batch)


@pytest.mark.parametrize("terms", ["", "cross", "x*cross_entropy", "weighted_sum", 3, [(1, 2)], ()])
def test_sums_of_something_else_are_refused(terms):
    with pytest.raises(InputError, match="terms"):
        bench.make("objective", "weighted_sum", terms=terms)


def test_penalties_shrink_weights_in_training():
    task = bench.make("task", "linear_regression")
    network = bench.make("architecture", "linear", sizes=[task.inputs_size, task.outputs_size])
    lengths = []
    for terms in ("mean_squared_error", "mean_squared_error+weight_decay"):
        goal = bench.make("objective", "weighted_sum", terms=terms)
        course = bench.train(
            Backprop(), task, network, goal, steps=200, learning_rate=0.02, evaluate_every=200
        )
        lengths.append(np.linalg.norm(course.network.parameters["layer1.weights"]))
        first, last = course.frame.query("quantity == 'train_loss'")["value"]
        assert last < first
    assert lengths[1] < 0.9 * lengths[0]


COUPLED = [Homeostasis(over="batch"), TemporalCoherence(), MutualInformation(), Empowerment()]
PER_EXAMPLE = {
    "activity_node_perturbation",
    "decorrelated_node_perturbation",
    "learned_feedback",
    "node_perturbation",
    "three_factor",
}


@pytest.mark.parametrize("rule", sorted(registry.entries("rule")))
@pytest.mark.parametrize("objective", COUPLED, ids=lambda one: type(one).__name__)
def test_rules_that_use_the_error_alone_run_with_coupled_objectives(rule, objective):
    network, batch = network_and_batch()
    made = bench.make("rule", rule)
    reason = made.refusal(network, objective)
    if rule in PER_EXAMPLE:
        assert "couples the examples" in reason
        return
    if reason is not None:
        pytest.skip(reason)
    found = bench.estimates(made, network, objective, batch, samples=2)
    assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("objective", COUPLED[:3], ids=lambda one: type(one).__name__)
def test_weight_perturbation_is_unbiased_for_coupled_objectives(objective):
    """One loss for the whole batch is what the rule uses."""
    network, batch = network_and_batch()
    found = bench.measure(WeightPerturbation(), network, objective, batch, samples=4000)
    row = found.frame.query("quantity == 'bias_squared' and projection == 'all'").iloc[0]
    assert row.low < 1e-3
    assert abs(row.value) < 0.2 * found.value("variance")


@pytest.mark.parametrize(
    "name", ["backprop", "node_perturbation", "feedback_alignment", "reinforce"]
)
@pytest.mark.parametrize("objective", OBJECTIVES[:7], ids=repr)
def test_rules_conform_with_objectives_of_single_examples(name, objective):
    rule = bench.make("rule", name)
    network, batch = network_and_batch()
    network = network.with_parameters({n: a + 0.1 for n, a in network.parameters.items()})
    if isinstance(objective, Poisson) and objective.link == "identity":
        network = replace(
            network,
            populations=bench.make(
                "architecture", "mlp", sizes=[3, 5, 4], output="softplus"
            ).populations,
        )
    if rule.refusal(network, objective):
        pytest.skip(rule.refusal(network, objective))
    outcomes = run_checks(rule, Case(network, objective, batch))
    failed = [str(outcome) for outcome in outcomes if outcome.status == "failed"]
    if isinstance(objective, SparseCoding | DescriptionLength | Homeostasis):
        # Targets of any width are data to explain, or not read.
        failed = [one for one in failed if "targets too wide: accepted" not in one]
    assert failed == []


def test_stochastic_networks_refuse_coupled_objectives():
    network = bench.make("architecture", "stochastic_mlp", sizes=[3, 4, 2])
    for name in ("straight_through", "weight_perturbation"):
        reason = bench.make("rule", name).refusal(network, MutualInformation())
        assert reason


def test_node_perturbation_says_why_it_refuses():
    network, batch = network_and_batch()
    with pytest.raises(InputError, match="loss of each example; MutualInformation couples"):
        bench.estimates(NodePerturbation(), network, MutualInformation(), batch)
    with pytest.raises(InputError, match="counts"):
        bench.loss(network, Poisson(), bench.Batch(batch.inputs, np.arange(4)))
    with pytest.raises(InputError, match="at least 0"):
        bench.loss(network, Poisson(), bench.Batch(batch.inputs, -counts(4)))

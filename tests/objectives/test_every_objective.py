"""Every objective: derivatives by differences, samples and batches, and rules that run with it."""

from dataclasses import replace

import numpy as np
import pytest

from objective_cells import SUM, counts, network_and_batch
from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import InputError
from plausibench.objectives.description_length import DescriptionLength
from plausibench.objectives.empowerment import Empowerment
from plausibench.objectives.homeostasis import Homeostasis
from plausibench.objectives.mutual_information import MutualInformation
from plausibench.objectives.poisson import Poisson
from plausibench.objectives.sparse_coding import SparseCoding
from plausibench.objectives.temporal_coherence import TemporalCoherence
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.weight_perturbation import WeightPerturbation

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

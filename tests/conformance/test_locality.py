"""The locality audit: it sees what a synapse uses, and only that."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.case import SIZES, Case, case_for, small_network
from plausibench.bench.conformance.locality import (
    SPECIFIC,
    audit,
    scene_of,
    specificity,
    transport,
)
from plausibench.rules.backprop import Backprop
from plausibench.rules.dendritic_error import DendriticError
from plausibench.rules.estimate import Dense, form, outers
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.node_perturbation import NodePerturbation

EXPECTED = {
    "backprop": "yes",
    "feedback_alignment": "no",
    "direct_feedback_alignment": "no",
    "weight_perturbation": "no",
    "node_perturbation": "no",
    "node_perturbation[antithetic=false]": "no",
    "attention_gated": "yes",
    "brainprop": "yes",
    "dendritic_error": "yes",
    "dendritic_error[feedback=random]": "no",
    "contrastive_hebbian": "yes",
    "difference_target_propagation": "no",
    "dual_propagation": "yes",
    "equilibrium_propagation": "yes",
    "error_based_predictive_coding": "yes",
    "holomorphic_equilibrium_propagation": "yes",
    "incremental_predictive_coding": "yes",
    "lagrangian_predictive_coding": "yes",
    "forward_gradient": "no",
    "kolen_pollack": "no",
    "pepita": "no",
    "predictive_coding": "yes",
    "sign_symmetry": "signs only",
    "weight_mirror": "no",
}
BUILTIN = [name for name in EXPECTED if name.partition("[")[0] in registry.entries("rule")]


def facts(rule, case=None):
    return {fact.name: fact.value for fact in audit(rule, case)}


@pytest.mark.parametrize("selector", BUILTIN)
def test_weight_transport_of_the_built_in_rules(selector):
    found = transport(select("rule", selector).make())
    assert found.value == EXPECTED[selector]
    assert found.source == "measured"


@pytest.mark.parametrize("architecture", ["mlp", "linear", "dendritic"])
@pytest.mark.parametrize("name", ["backprop", "feedback_alignment", "node_perturbation"])
def test_the_architecture_does_not_matter(architecture, name):
    rule = select("rule", name).make()
    first = case_for(rule)
    case = Case(small_network(architecture, SIZES), first.objective, first.batch)
    assert transport(rule, case).value == EXPECTED[name]


@dataclass(frozen=True)
class Raw(Backprop):
    """Backpropagation that reads the arrays, not the synapses' operations."""

    def estimate(self, network, objective, batch, clean, state, noise):
        signal = objective.error(clean.output, batch.targets) / batch.size
        signals = {}
        for population in reversed(network.populations):
            name = population.name
            signals[name] = population.neurons.adjoint(
                clean.drive[name], clean.activity[name], signal
            )
            signal = signals[name] @ network.parameters[f"{name}.weights"]
        return outers(network, clean, signals)


@dataclass(frozen=True)
class Signs(Backprop):
    def estimate(self, network, objective, batch, clean, state, noise):
        error = objective.error(clean.output, batch.targets) / batch.size
        signs = {name: np.sign(weights) for name, weights in network.parameters.items()}
        return outers(network, clean, network.credit(clean, {network.output.name: error}, signs))


@dataclass(frozen=True)
class Copied(FeedbackAlignment):
    """Feedback alignment whose feedback becomes the transposed weights by learning."""

    def advance(self, state, step):
        weights = step.network.parameters
        return {p.name: weights[p.name].T.copy() for p in step.network.returning}


@dataclass(frozen=True)
class Learned(FeedbackAlignment):
    """Feedback that sees the same local products as the forward weights (Kolen and Pollack)."""

    def advance(self, state, step):
        return {name: 0.9 * b + step.applied[name].T for name, b in state.items()}


@dataclass(frozen=True)
class Decaying(Backprop):
    """Forgets each weight in proportion to itself."""

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = form(network, super().estimate(network, objective, batch, clean, state, noise))
        return {name: Dense(g + network.parameters[name]) for name, g in exact.items()}


@dataclass(frozen=True)
class Normalised(Backprop):
    """Divides each estimate by its length over the whole batch."""

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = form(network, super().estimate(network, objective, batch, clean, state, noise))
        return {name: Dense(g / np.linalg.norm(g)) for name, g in exact.items()}


@pytest.mark.parametrize(
    ("rule", "value"),
    [(Raw(), "yes"), (Signs(), "signs only"), (Copied(), "yes"), (Learned(), "no")],
    ids=lambda one: type(one).__name__,
)
def test_weight_transport_however_it_is_done(rule, value):
    assert transport(rule).value == value


def test_what_is_simulated_is_told_by_two_neurons():
    """A circuit with copied weights changes two neurons, one with random weights all of them."""
    copied, random = (
        specificity(scene_of(rule, case_for(rule)))
        for rule in (
            select("rule", f"dendritic_error[feedback={kind}]").make()
            for kind in ("symmetric", "random")
        )
    )
    assert copied > 3 * SPECIFIC
    assert random < SPECIFIC / 1.5


def test_what_cannot_be_measured_is_declared():
    """Only where the rule simulates by itself, and only what its card says."""

    @dataclass(frozen=True)
    class Says(DendriticError):
        card = replace(DendriticError.card, weight_transport=False)

    assert (transport(Says()).value, transport(Says()).source) == ("yes", "measured")
    found = transport(Says(feedback="random"))
    assert (found.value, found.source) == ("no", "declared")


def test_global_signals():
    assert facts(Backprop())["global signals"].startswith("each neuron")
    assert facts(NodePerturbation())["global signals"].startswith("one global scalar")


def test_far_activity_own_weight_and_other_examples():
    assert facts(NodePerturbation())["activity of other neurons"] == "through one global scalar"
    plain, decaying, normalised = (facts(rule) for rule in (Backprop(), Decaying(), Normalised()))
    assert plain["activity of other neurons"] == "no"
    assert (plain["its own weight"], decaying["its own weight"]) == ("no", "yes")
    assert decaying["weights beside it"] == "no"
    assert (plain["other examples"], normalised["other examples"]) == ("no", "yes")


def test_passes_and_memory_are_counted():
    two, one = (facts(NodePerturbation(antithetic=a)) for a in (True, False))
    assert (two["passes besides the clean one"], one["passes besides the clean one"]) == ("2", "1")
    held = facts(FeedbackAlignment())
    # 4 x 5 and 3 x 4 feedback weights beside 30 + 20 + 12 forward ones and 12 biases.
    assert held["memory per synapse"] == f"{32 / 74:.2g} numbers"
    assert held["memory per neuron"] == "0 numbers"
    assert held["state changes in learning"] == "no"
    assert facts(Learned())["state changes in learning"] == "yes"


def test_what_is_not_measured_is_marked():
    marked = {fact.name: fact.source for fact in audit(Backprop())}
    assert {name for name, source in marked.items() if source == "declared"} == {
        "phases",
        "a synapse must know",
        "sign constraints",
    }

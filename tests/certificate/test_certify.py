"""Certificates: every claim of the built-in rules holds, and a wrong claim is found."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from plausibench.bench.certificate import certify, page, suite_page
from plausibench.bench.certificate.claims import measure_claim
from plausibench.bench.certificate.closed import mean_z, measure_closed_form, variance_z
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.case import case_for, cases_for
from plausibench.kernels.errors import InputError
from plausibench.rules.backprop import Backprop
from plausibench.rules.estimate import Dense
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.rule import ClosedForm
from plausibench.rules.theory import Law, Limit, Slope
from plausibench.rules.weight_perturbation import WeightPerturbation

VARIANTS = [
    "node_perturbation[noise=rademacher]",
    "weight_perturbation[antithetic=false]",
    "brainprop[exploration=uniform]",
]


COSTLY = [
    "activity_node_perturbation",
    "backprop",
    "backpropagation_through_time",
    "dendritic_error",
    "difference_reconstruction",
    "equilibrium_propagation",
    "error_based_predictive_coding",
    "holomorphic_equilibrium_propagation",
    "incremental_predictive_coding",
    "kernl",
    "kf_rtrl",
    "kolen_pollack",
    "lagrangian_predictive_coding",
    "learned_feedback",
    "least_control",
    "predictive_coding",
    "product_feedback_alignment",
    "r_max",
    "readout_only",
    "real_time_recurrent_learning",
    "regression_discontinuity",
    "regression_discontinuity_feedback",
    "spiking_burstprop",
    "uoro",
    "weight_mirror",
]
"""Rules whose claims take seconds over all small networks, and all apply on the first."""


@pytest.fixture(scope="module")
def certificates():
    """Of rules on all small networks, of those that are costly on the first alone."""
    made = {}

    def of(selector):
        if selector not in made:
            rule, costly = select("rule", selector).make(), selector.partition("[")[0] in COSTLY
            made[selector] = certify(rule, selector, case_for(rule) if costly else None)
        return made[selector]

    return of


FEWER = {"regression_discontinuity": "regression_discontinuity[trials=25]"}
"""Half of the trials of a draw; its claims have trials of their own."""


@pytest.mark.parametrize(
    "selector", [FEWER.get(name, name) for name in (*registry.entries("rule"), *VARIANTS)]
)
def test_built_in_rules_are_certified(selector, certificates, record_figure):
    assert_certified(certificates(selector), record_figure)


@pytest.mark.acceptance
@pytest.mark.parametrize("selector", COSTLY)
def test_costly_claims_hold_on_every_network(selector, record_figure):
    assert_certified(certify(select("rule", selector).make(), selector), record_figure)


def assert_certified(found, record_figure):
    assert [line for line in found.lines if line.verdict == "failed"] == []
    # What never applies is no evidence.
    claims = [line for line in found.lines if line.kind in ("limit", "control", "slope", "law")]
    assert all(line.verdict == "passed" for line in claims)
    if found.tightest is not None:
        record_figure(f"certificate of {found.name}, worst margin", found.tightest.margin, "1")


def test_biased_rules_have_a_control_that_fails(certificates):
    for name in ("feedback_alignment", "direct_feedback_alignment"):
        controls = [line for line in certificates(name).lines if line.kind == "control"]
        assert len(controls) == 1


def test_the_page_says_what_was_measured(certificates):
    text = page(certificates("node_perturbation"))
    assert text.startswith("# node_perturbation\n")
    for words in ("power 2 within 0.05", "| weight transport | no | measured |", "**Passed**"):
        assert words in text
    both = suite_page([certificates("backprop"), certificates("node_perturbation")])
    assert "| backprop | passed |" in both
    assert "## node_perturbation" in both
    # Every table row has as many cells as its head.
    for block in both.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1


def zeros(at):
    return {name: np.zeros_like(array) for name, array in at.network.parameters.items()}


def same(at, value=None):
    return at


CASES = cases_for(Backprop())[:2]


@pytest.mark.parametrize(
    ("claim", "verdict", "kind"),
    [
        (Limit("holds", same, 1e-14), "passed", "limit"),
        (Limit("does not", same, 0.1, zeros), "failed", "limit"),
        (Limit("control", same, 0.01, zeros, holds=False), "passed", "control"),
        (Limit("control that holds", same, 0.1, holds=False), "failed", "control"),
        (Slope("nothing above rounding", same, 1, 1e-3, 1e-5), "passed", "slope"),
        (Slope("no slope", same, 1, 1e-3, 1e9, zeros), "failed", "slope"),
        (Law("within", lambda at: (1.0, 1.1, 0.2)), "passed", "law"),
        (Law("outside", lambda at: (1.0, 1.1, 0.05)), "failed", "law"),
        (Law("NaN", lambda at: (float("nan"), 1.0, 1.0)), "failed", "law"),
        (Law("NaN, exact", lambda at: (float("nan"), 1.0, 0.0)), "failed", "law"),
        (Law("an error", lambda at: 1 / 0), "failed", "law"),
    ],
    ids=lambda one: getattr(one, "condition", None),
)
def test_claims_can_fail(claim, verdict, kind):
    line = measure_claim(claim, Backprop(), CASES)
    assert (line.verdict, line.kind) == (verdict, kind)
    assert (line.reason == "") == (verdict == "passed")
    if line.margin is not None and line.margin == line.margin:
        assert (line.margin <= 1) == (verdict == "passed")


@dataclass(frozen=True)
class Off(Backprop):
    """The gradient plus a small number to a power."""

    small: float = 0.1
    power: float = 2.0

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = network.gradient(objective, batch, clean)
        return {name: Dense(g * (1 + self.small**self.power)) for name, g in exact.items()}


@pytest.mark.parametrize(("power", "verdict"), [(2.0, "passed"), (2.1, "failed"), (1.0, "failed")])
def test_a_slope_is_measured(power, verdict):
    def reach(at, small):
        return replace(at, rule=replace(at.rule, small=small))

    line = measure_claim(Slope("small -> 0", reach, 2, 1e-3, 1e-2), Off(power=power), CASES)
    assert line.verdict == verdict
    assert f"power {power:.3f}" in line.measured


def test_a_claim_that_applies_nowhere_says_why():
    def refuse(at):
        raise InputError("three legs are needed")

    line = measure_claim(Limit("with three legs", refuse, 1.0), Backprop(), CASES)
    assert (line.verdict, line.reason) == ("not applicable", "three legs are needed")


def test_a_claim_leaves_the_cases_as_they_are():
    def write(at):
        for array in at.network.parameters.values():
            array[:] = 0
        return at

    case = case_for(Backprop())
    before = {name: array.copy() for name, array in case.network.parameters.items()}
    measure_claim(Limit("writes", write, 1.0), Backprop(), [case])
    assert all((case.network.parameters[name] == array).all() for name, array in before.items())


@dataclass(frozen=True)
class WrongVariance(WeightPerturbation):
    def closed_form(self, *arguments):
        right = super().closed_form(*arguments)
        return ClosedForm(right.mean, {name: 1.2 * v for name, v in right.variance.items()})


@dataclass(frozen=True)
class WrongMean(NodePerturbation):
    def closed_form(self, *arguments):
        right = super().closed_form(*arguments)
        return ClosedForm({name: 1.3 * m for name, m in right.mean.items()}, right.variance)


@dataclass(frozen=True)
class WrongFeedback(FeedbackAlignment):
    def closed_form(self, *arguments):
        right = super().closed_form(*arguments)
        return ClosedForm(right.mean, {name: 1.3 * v for name, v in right.variance.items()})


@pytest.mark.parametrize(
    ("rule", "failed"),
    [
        (WeightPerturbation(), []),
        (NodePerturbation(noise="rademacher"), []),
        (FeedbackAlignment(), []),
        (WrongVariance(), ["variance"]),
        (WrongMean(), ["mean"]),
        (WrongFeedback(), ["variance"]),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, list) else "",
)
def test_closed_forms_are_measured(rule, failed):
    lines = measure_closed_form(rule, case_for(rule))
    assert [line.kind for line in lines if line.verdict == "failed"] == failed


def test_z_of_mean_and_variance_are_standard():
    """Mean of 300 values within 4.5 standard errors: fails once in 150 000."""
    generator = np.random.default_rng(0)
    means, variances = [], []
    for _ in range(300):
        rows = generator.standard_normal((400, 6)) + 2.0
        means.append(mean_z(rows, np.full(6, 2.0)))
        variances.append(variance_z(rows, 6.0)[0])
    for values in (np.array(means), np.array(variances)):
        assert abs(values.mean()) < 4.5 / 300**0.5 + 0.1
        assert 0.8 < values.std() < 1.2


@pytest.mark.parametrize(
    "name",
    [
        *("augment", "segregated_dendrites", "spiking_burstprop", "sign_symmetry"),
        *("target_propagation", "difference_target_propagation", "deep_feedback_control"),
        *("indirect_feedback_alignment", "forward_gradient", "e_prop", "forward_forward"),
    ],
)
def test_cards_name_what_is_not_verified(name):
    assert registry.find("rule", name).card.unverified


def test_what_is_declared_is_marked_in_the_table(certificates):
    found = certificates("backprop")
    assert found.fact("weight transport") == "yes"
    assert found.fact("phases") == "forward, then backward (declared)"
    assert found.fact("colour") == "-"


def test_a_rule_that_raises_has_a_certificate():
    @dataclass(frozen=True)
    class Raises(Backprop):
        def theory(self):
            raise RuntimeError("gone")

    found = certify(Raises(), "raises")
    failed = [line for line in found.lines if line.verdict == "failed"]
    assert [(line.condition, line.reason) for line in failed] == [("theory", "RuntimeError: gone")]
    assert not found.passed

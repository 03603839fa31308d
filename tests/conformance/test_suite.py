"""The conformance suite: every built-in rule passes it, and every check can fail."""

from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance import NAMES, case_for, checks, run_checks
from plausibench.bench.conformance.case import teacher_batch
from plausibench.bench.conformance.contract import check_support
from plausibench.bench.conformance.theory import split
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules.attention_gated import AttentionGated
from plausibench.rules.backprop import Backprop
from plausibench.rules.estimate import Dense, Outer, form
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.node_perturbation import NodePerturbation

VARIANTS = [
    "dendritic_error[feedback=random]",
    "node_perturbation[antithetic=false]",
    "weight_perturbation[noise=rademacher]",
    "brainprop[exploration=uniform]",
]


@pytest.mark.parametrize("selector", VARIANTS)  # the others are run for their certificates
def test_built_in_rules_pass(selector):
    outcomes = run_checks(select("rule", selector).make())
    assert [outcome.name for outcome in outcomes] == list(NAMES)
    assert [str(outcome) for outcome in outcomes if outcome.status == "failed"] == []


@pytest.mark.parametrize(("name", "check"), checks(Backprop()))
def test_the_test_file_of_a_plugin(name, check):
    assert name in NAMES
    check()


def test_what_does_not_apply_says_why():
    outcomes = {outcome.name: outcome for outcome in run_checks(Backprop())}
    idle = {name for name, outcome in outcomes.items() if outcome.status == "not applicable"}
    assert idle == {"enumeration", "bias_order", "companion"}
    assert all(outcomes[name].reason for name in idle)


def perturbing(**changes):
    return replace(NodePerturbation.card, **changes)


@dataclass(frozen=True)
class Broken(NodePerturbation):
    """Node perturbation, to be broken in one place."""


@dataclass(frozen=True)
class Exact(Backprop):
    """Backpropagation, to be broken in one place."""

    dynamics = frozenset({"feedforward"})


@dataclass(frozen=True)
class WritesState(Exact):
    def initial_state(self, network, seed):
        return {"trace": np.zeros(3)}

    def estimate(self, network, objective, batch, clean, state, noise):
        state["trace"][:] = batch.size
        return super().estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class WritesWeights(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        network.parameters["layer1.weights"][0] += 1e-9
        return super().estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class WritesClean(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        clean.drive["layer1"][:] = 0
        return estimates


@dataclass(frozen=True)
class AdvancesItself(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        self.advance(state, None)
        return super().estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class AdvancesInPlace(FeedbackAlignment):
    def advance(self, state, step):
        for array in state.values():
            array *= 0.9
        return state


@dataclass(frozen=True)
class Biased(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {name: Outer(1.001 * e.post, e.pre) for name, e in estimates.items()}


@dataclass(frozen=True)
class BiasedNoise(Broken):
    """A tenth too long: a relative squared bias of 0.01."""

    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {name: Outer(1.1 * e.post, e.pre) for name, e in estimates.items()}


@dataclass(frozen=True)
class Modest(Exact):
    card = replace(Backprop.card, unbiased=False)


@dataclass(frozen=True)
class ModestNoise(Broken):
    card = perturbing(unbiased=False)


@dataclass(frozen=True)
class PositionNoise(Broken):
    """Noise keyed by the place in the batch."""

    def estimate(self, network, objective, batch, clean, state, noise):
        placed = replace(noise, keys=np.arange(batch.size, dtype=np.uint64))
        return super().estimate(network, objective, batch, clean, state, placed)


@dataclass(frozen=True)
class OneExample(Exact):
    """Learns from the first row alone."""

    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {
            name: Outer(batch.size * e.post[..., :1, :], e.pre[..., :1, :])
            for name, e in estimates.items()
        }


@dataclass(frozen=True)
class WrongShape(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {**estimates, "layer2.weights": Dense(np.zeros((2, 2)))}


@dataclass(frozen=True)
class Missing(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {name: e for name, e in estimates.items() if name != "layer1.bias"}


@dataclass(frozen=True)
class NotANumber(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {name: Outer(e.post * np.nan, e.pre) for name, e in estimates.items()}


@dataclass(frozen=True)
class WrongReference(Exact):
    def reference(self, network, objective, batch, clean):
        return {name: weights.T for name, weights in network.parameters.items()}


@dataclass(frozen=True)
class GlobalNoise(Broken):
    """Draws of its own, which no seed repeats."""

    def estimate(self, network, objective, batch, clean, state, noise):
        other = replace(noise, seed=int(np.random.default_rng().integers(2**62)))
        return super().estimate(network, objective, batch, clean, state, other)


@dataclass(frozen=True)
class CoupledSamples(Broken):
    """Subtracts the mean over the samples that happen to be drawn together."""

    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {
            name: Outer(e.post - 0.5 * e.post.mean(axis=0), e.pre) for name, e in estimates.items()
        }


@dataclass(frozen=True)
class UndeclaredNoise(Broken):
    card = perturbing(randomness=frozenset())


@dataclass(frozen=True)
class UnusedNoise(Exact):
    card = replace(Backprop.card, randomness=frozenset({"rule"}))


@dataclass(frozen=True)
class OneSeed(Broken):
    """The same draws whatever the seed."""

    def estimate(self, network, objective, batch, clean, state, noise):
        return super().estimate(network, objective, batch, clean, state, replace(noise, seed=7))


@dataclass(frozen=True)
class UndeclaredFeedback(FeedbackAlignment):
    card = replace(FeedbackAlignment.card, randomness=frozenset())


@dataclass(frozen=True)
class Raises(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        raise KeyError("gone")


@dataclass(frozen=True)
class UnknownSource(Exact):
    card = replace(Backprop.card, randomness=frozenset({"dropout"}))


@dataclass(frozen=True)
class OtherActions(AttentionGated):
    """Acts by another policy than the one it declares."""

    def estimate(self, network, objective, batch, clean, state, noise):
        actions = noise.actions(np.full(clean.output.shape, 1 / clean.output.shape[-1]))
        return self.respond(network, batch, clean, state, actions)


@dataclass(frozen=True)
class WrongOrder(Broken):
    card = perturbing(bias_order=1)


@dataclass(frozen=True)
class Upcasts(Exact):
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        return {name: Outer(e.post.astype(float), e.pre) for name, e in estimates.items()}


@dataclass(frozen=True)
class Imprecise(Broken):
    """A difference quotient that float32 cannot resolve."""

    def estimate(self, network, objective, batch, clean, state, noise):
        sharp = NodePerturbation(sigma=1e-7)
        return sharp.estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class NeedsClasses(Exact):
    """Fails on real-valued targets instead of refusing them."""

    def estimate(self, network, objective, batch, clean, state, noise):
        clean.output[np.arange(batch.size), batch.targets]
        return super().estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class NeedsBias(Exact):
    """Runs on networks with biases only, and does not say so."""

    def estimate(self, network, objective, batch, clean, state, noise):
        network.parameters["layer1.bias"]
        return super().estimate(network, objective, batch, clean, state, noise)


@dataclass(frozen=True)
class SaysNothing(Exact):
    def unsupported(self, network, objective):
        return "" if network.architecture == "linear" else None


@dataclass(frozen=True)
class EmptyCard(Exact):
    card = replace(Backprop.card, cites=" ", forward_passes=0.0, expected=("small", "low"))


@dataclass
class Changeable(Backprop.__base__):
    card: ClassVar[Any] = Backprop.card
    scale: float = 1.0

    def estimate(self, network, objective, batch, clean, state, noise):
        return Backprop().estimate(network, objective, batch, clean, state, noise)


BROKEN = {
    WritesState: {"unchanged"},
    WritesWeights: {"unchanged", "randomness", "determinism", "samples", "batch_order"},
    WritesClean: {"unchanged"},
    AdvancesItself: {"unchanged"},
    AdvancesInPlace: {"unchanged"},
    Biased: {"bias"},
    BiasedNoise: {"bias"},
    Modest: {"bias"},
    ModestNoise: {"bias"},
    PositionNoise: {"batch_order", "companion"},
    OneExample: {"batch_order", "bias"},
    WrongShape: {"shapes"},
    Missing: {"shapes"},
    NotANumber: {"shapes"},
    Raises: {"shapes"},
    WrongReference: {"shapes"},
    GlobalNoise: {"determinism", "samples", "batch_order", "bias_order", "companion", "float32"},
    CoupledSamples: {"samples", "bias"},
    UndeclaredNoise: {"randomness", "bias_order"},
    UnusedNoise: {"randomness"},
    OneSeed: {"randomness", "companion"},
    UndeclaredFeedback: {"randomness"},
    UnknownSource: {"randomness"},
    OtherActions: {"enumeration"},
    WrongOrder: {"bias_order"},
    Upcasts: {"float32"},
    Imprecise: {"float32"},
    NeedsClasses: {"refusals"},
    NeedsBias: {"support"},
    SaysNothing: {"support"},
    EmptyCard: {"card"},
    Changeable: {"card"},
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda rule: rule.__name__)
def test_broken_rules_fail(broken):
    outcomes = run_checks(broken())
    failed = {outcome.name for outcome in outcomes if outcome.status == "failed"}
    assert failed == BROKEN[broken]


def test_every_check_can_fail():
    assert set().union(*BROKEN.values()) == set(NAMES)


def test_what_a_rule_raises_is_its_failure():
    shapes = next(outcome for outcome in run_checks(Raises()) if outcome.name == "shapes")
    assert shapes.reason == "KeyError: 'gone'"


def test_wrong_shapes_end_the_checks():
    outcomes = run_checks(WrongShape())
    assert [o.status for o in outcomes[2:]] == ["not applicable"] * (len(NAMES) - 2)
    assert "layer2.weights has shape (2, 2); allowed is (32, 4, 5)" in outcomes[1].reason


def test_an_expected_failure_is_none():
    expected = {"bias": "a factor of 1.001"}
    outcomes = {o.name: o for o in run_checks(Biased(), expected_failed=expected)}
    assert outcomes["bias"].status == "expected failure"
    assert outcomes["bias"].reason == "a factor of 1.001"
    assert "failed" not in {outcome.status for outcome in outcomes.values()}


def test_an_expected_failure_that_passes_fails():
    outcomes = run_checks(Backprop(), expected_failed={"bias": "once upon a time"})
    assert [outcome.name for outcome in outcomes if outcome.status == "failed"] == ["bias"]


def test_checks_one_by_one_raise_the_outcome():
    raised = {}
    for name, check in checks(Biased()):
        try:
            check()
        except AssertionError as error:
            raised[name] = str(error)
    assert list(raised) == ["bias"]
    assert raised["bias"].startswith("bias: failed; relative bias² 1.0e-06, exact; asked:")


@pytest.mark.parametrize(
    ("arguments", "expected", "sentence"),
    [
        (Backprop, None, "rule: .* is not an instance of a class derived from Rule"),
        (Backprop(), {"biass": ""}, "expected_failed: 'biass' .* did you mean 'bias'?"),
    ],
)
def test_bad_input_is_refused(arguments, expected, sentence):
    with pytest.raises(InputError, match=sentence):
        run_checks(arguments, expected_failed=expected)


@dataclass(frozen=True)
class Hermit(Exact):
    def unsupported(self, network, objective):
        return "it likes no network"


def test_a_rule_without_network_needs_a_case():
    with pytest.raises(InputError, match=r"it likes no network.*give a case"):
        run_checks(Hermit())
    given = case_for(Backprop())
    assert run_checks(Hermit(), given)[1].reason == "rule: it likes no network"


def test_support_of_a_rule_without_network_is_not_told():
    outcome = check_support(Hermit(), case_for(Backprop()))
    assert (outcome.status, outcome.reason) == (
        "not applicable",
        "it refuses every registered network",
    )


@dataclass(frozen=True)
class Shallow(Exact):
    """Runs with one hidden layer alone, and there on some networks not as it says."""

    def unsupported(self, network, objective):
        return None if len(network.hidden) == 1 else "it needs one hidden layer"

    def estimate(self, network, objective, batch, clean, state, noise):
        if network.architecture == "dendritic":
            raise InputError("no\nway")
        return super().estimate(network, objective, batch, clean, state, noise)


def test_support_is_looked_for_at_other_sizes():
    outcome = check_support(Shallow(), case_for(Backprop()))
    assert outcome.status == "failed"
    assert outcome.measured.endswith("sizes 5-7-3")
    assert "dendritic with CrossEntropy: not one line" in outcome.reason


def test_a_given_case_keeps_its_arrays():
    case = case_for(WritesWeights())
    before = {name: array.copy() for name, array in case.network.parameters.items()}
    run_checks(WritesWeights(), case)
    assert all((case.network.parameters[name] == array).all() for name, array in before.items())


@dataclass(frozen=True)
class Scaled(Backprop.__base__):
    """The gradient times a factor, plus noise of the variance of the gradient."""

    factor: float = 1.0
    card = perturbing()

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = form(network, Backprop().estimate(network, objective, batch, clean, state, noise))
        drawn = noise.parameters(exact)
        return {name: Dense(self.factor * g + g.std() * drawn[name]) for name, g in exact.items()}


def splits(factor, samples=64):
    for seed in range(400):
        setting = replace(case_for(Backprop()), seed=seed).setting(Scaled(factor))
        exact = bench.gradient(setting.network, setting.objective, setting.batch)
        expected = np.concatenate([exact[name].ravel() for name in sorted(exact)])
        yield split(setting, expected, samples)


def test_z_is_standard_normal_without_a_bias():
    """Mean and variance of 400 values of z within 4.5 standard errors: fails once in 70 000.

    z is Student's t with 31 degrees of freedom, of variance 31 / 29.
    """
    z = np.array([found.z for found in splits(1.0)])
    assert abs(z.mean()) < 4.5 * (31 / 29 / 400) ** 0.5
    assert abs(z.var() - 31 / 29) < 4.5 * 31 / 29 * (2.2 / 400) ** 0.5


def test_the_squared_bias_of_two_halves_is_unbiased():
    """Within 4.5 standard errors of the 400 estimates: fails once in 150 000."""
    found = np.array([one.bias_squared for one in splits(1.3)])
    assert abs(found.mean() - 0.09) < 4.5 * found.std() / 20
    assert found.std() / 20 < 0.01


@pytest.fixture(scope="module")
def compatible():
    return bench.compatibility()


def test_compatibility_has_no_empty_cell_without_a_reason(compatible):
    frame = compatible
    sizes = [len(registry.entries(kind)) for kind in ("architecture", "objective", "rule")]
    assert len(frame) == np.prod(sizes)
    assert list(frame.columns) == ["architecture", "objective", "rule", "runs", "reason"]
    assert (frame["runs"] == (frame["reason"] == "")).all()
    assert 0 < frame["runs"].sum() < len(frame)


@pytest.mark.parametrize(
    ("each", "least"), [(29, 80), pytest.param(7, 300, marks=pytest.mark.acceptance)]
)
def test_compatibility_is_what_measuring_does(compatible, each, least):
    """Of one combination in some, since there are thousands."""
    table, made = compatible, 0
    assert (table["runs"] == (table["reason"] == "")).all()
    for row in table[::each].itertuples():
        sized = any(
            f.name == "sizes" for f in fields(registry.find("architecture", row.architecture))
        )
        options = {"sizes": (6, 4, 3)} if sized else {}
        network = bench.make("architecture", row.architecture, **options)
        objective, rule = bench.make("objective", row.objective), bench.make("rule", row.rule)
        batch = teacher_batch(network)
        try:
            objective.check(batch.targets, network.output.size)
        except InputError:
            continue  # it needs targets of its own
        made += 1
        arguments = (rule, network, objective, batch, 1)
        if row.runs:
            # A network that settles may not, which is a result.
            lost = Divergence if network.dynamics == "settling" else ()
            with suppress(lost):
                assert all(np.isfinite(a).all() for a in bench.estimates(*arguments).values())
        else:
            with pytest.raises(InputError, match="rule: "):
                bench.estimates(*arguments)
    assert made > least

"""A relative bias does not depend on the size of the error, until rounding ends it."""

from decimal import Decimal, localcontext
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.settling import ROUNDING, settle
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.case import networks
from plausibench.bench.measuring.draws import WITHIN, prepare
from plausibench.bench.studies.benchmark.cell import Cell, _remarks
from plausibench.rules.contrastive_hebbian import ContrastiveHebbian
from plausibench.rules.estimate import by_example
from plausibench.rules.logistic import activity_change

MEAN_SQUARED_ERROR = bench.make("objective", "mean_squared_error")
DECADES = range(3, 13)
RESOLVED = 1e-7
"""Relative error of an estimate to which rules settle by default, at least."""
OPTIONS = [
    "contrastive_hebbian[feedback=0.01]",
    "contrastive_hebbian[feedback=1.0]",
    "deep_feedback_control[leak=100.0]",
    "deep_feedback_control[compared=drive,feedback=random]",
    "dendritic_error[feedback=random]",
    "dendritic_error[nudging=0.001]",
    "dendritic_error[scale=none]",
    "equilibrium_propagation[nudging=0.001]",
    "equilibrium_propagation[variant=one_sided]",
    "predictive_coding[variant=fixed_prediction]",
    "predictive_coding[variant=nudged]",
    "predictive_coding[variant=nudged,nudging=0.001]",
    "predictive_coding[variant=nudged,symmetric=true,nudging=0.01]",
    "predictive_coding[variant=nudged,step=0.1,nudging=0.01]",
    "predictive_coding[variant=zero_divergence]",
]


def deterministic():
    """Rules, and settings of those that settle, of which one draw is the estimate."""
    for selector in [*registry.entries("rule"), *OPTIONS]:
        rule = select("rule", selector).make()
        if not rule.randomness() & WITHIN and first_network(rule) is not None:
            yield selector


def with_errors():
    """Those of them that learn nothing without an error at the output."""
    return [s for s in deterministic() if not select("rule", s).make().card.learns_without_error]


def first_network(rule):
    found = (each for each in networks() if rule.refusal(each, MEAN_SQUARED_ERROR) is None)
    return next(found, None)


def situation(selector, dtype="float64"):
    """A rule, a network that it runs on, inputs, and the output that it takes for the present."""
    rule = select("rule", selector).make()
    network = first_network(rule).astype(dtype)
    shape = (4, 5) if network.dynamics.startswith("recurrent") else (4,)
    inputs = np.random.default_rng(0).standard_normal((*shape, network.inputs)).astype(dtype)
    inputs = inputs.astype("float64")
    double = network.astype("float64")
    return rule, network, inputs, present_output(rule, double, inputs)


def present_output(rule, network, inputs):
    """What the rule compares with the target: of a phase with feedback, or of the forward pass."""
    clean = network.forward(inputs)
    free = isinstance(rule, ContrastiveHebbian)
    return rule.free(network, clean).output if free else clean.output


def estimate(rule, network, inputs, targets, dtype="float64"):
    """The estimate as one vector, and the relative error that rounding leaves in it."""
    if len(targets) > len(inputs):  # rows of a sequence, step by step
        targets = by_example(targets, len(inputs))
    batch = bench.Batch(inputs, targets)
    drawn = bench.estimates(
        rule, network, MEAN_SQUARED_ERROR, batch, samples=1, seed=0, dtype=dtype
    )
    setting = prepare(rule, network, MEAN_SQUARED_ERROR, batch, None, 0, dtype)
    rounding = rule.rounding(setting.network, MEAN_SQUARED_ERROR, setting.batch, setting.clean)
    return np.concatenate([a[0].ravel().astype(float) for a in drawn.values()]), rounding


@pytest.mark.parametrize("selector", sorted(set(deterministic()) - set(with_errors())))
def test_rules_that_declare_it_learn_without_an_error(selector):
    rule, network, inputs, output = situation(selector)
    small, _ = estimate(rule, network, inputs, output - 1e-3)
    none, _ = estimate(rule, network, inputs, output)
    assert np.linalg.norm(none) > 0.1 * np.linalg.norm(small) > 0


@pytest.mark.parametrize("selector", with_errors())
def test_estimate_is_proportional_to_a_small_error(selector, record_figure):
    """From 1e-3 to 1e-12: within the curvature at 1e-3, and what rounding is said to leave."""
    rule, network, inputs, output = situation(selector)
    direction = np.random.default_rng(1).standard_normal(output.shape)
    found = {}
    for decade in DECADES:
        size = 10.0**-decade
        drawn, rounding = estimate(rule, network, inputs, output - size * direction)
        found[size] = drawn / size, rounding
    coarse, fine = found[1e-3][0], found[1e-4][0]
    limit = fine + (fine - coarse) / 9
    length = np.linalg.norm(limit)
    assert length > 0
    curvature, worst = np.linalg.norm(coarse - limit) / length, 0.0
    for size, (drawn, rounding) in found.items():
        # Of a double: 2^-52 of activities of about 1, over the signal.
        assert rounding <= max(1e-15, 1e-14 / size) / rule.signal_share(network), size
        apart = np.linalg.norm(drawn - limit) / length
        allowed = 2 * curvature * (size / 1e-3) + RESOLVED + 50 * rounding
        assert apart <= allowed, (size, apart, allowed)
        worst = max(worst, apart / allowed)
    record_figure(f"{selector}: distance from proportionality over what is allowed", worst, 0.0)


@pytest.mark.parametrize("selector", with_errors())
def test_single_precision_is_that_far_from_double(selector):
    """The same weights and batch in both types: apart by what rounding is said to leave."""
    rule, network, inputs, output = situation(selector, "float32")
    direction = np.random.default_rng(1).standard_normal(output.shape)
    for decade in DECADES:
        targets = (output - 10.0**-decade * direction).astype("float32").astype("float64")
        single, rounding = estimate(rule, network, inputs, targets, "float32")
        double, _ = estimate(rule, network.astype("float64"), inputs, targets)
        apart = np.linalg.norm(single - double) / np.linalg.norm(double)
        # Results are cast to single precision in any case.
        assert apart <= 50 * max(rounding, float(np.finfo("float32").eps)), (decade, apart)
        if rule.double:
            assert rounding <= 1e-6 / rule.signal_share(network), decade


SETTLING = [
    ("contrastive_hebbian", "mlp"),
    ("dendritic_error[nudging=0.01]", "dendritic"),
    ("equilibrium_propagation", "hopfield"),
    ("predictive_coding[variant=nudged,nudging=0.01]", "mlp"),
]


@pytest.mark.parametrize(("selector", "architecture"), SETTLING)
@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.integers(0, 14),
    st.integers(0, 2**20),
)
def test_what_rests_at_an_error_of_1_rests_at_any(selector, architecture, sizes, decade, seed):
    """In networks of any size, where rounding adds up, and for targets that are reached."""
    rule = select("rule", selector).make()
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed)
    generator = np.random.default_rng(seed)
    inputs = 3 * generator.standard_normal((3, sizes[0]))
    output = present_output(rule, network, inputs)
    direction = generator.standard_normal(output.shape)
    for size in (1.0, 10.0**-decade, 0.0):
        found, _ = estimate(rule, network, inputs, output - size * direction)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "softplus"])
def test_a_tolerance_below_rounding_settles_as_far_as_rounding_allows(activation):
    network = bench.make("architecture", "hopfield", sizes=[9, 30, 30, 5], activation=activation)
    inputs = np.random.default_rng(0).standard_normal((4, 9))
    # Gentle weights: activations without bound come to rest, too.
    gentle = {name: 0.3 * array for name, array in network.parameters.items()}
    network = network.with_parameters(gentle)
    rest = settle(network, network.forward(inputs), tolerance=1e-30, steps=1000)
    again = settle(network, rest, tolerance=np.inf, steps=1)
    for name, array in rest.activity.items():
        largest = max(1.0, np.abs(array).max())
        assert np.abs(again.activity[name] - array).max() <= ROUNDING * largest


def test_each_example_has_a_tolerance_of_its_own():
    network = bench.make("architecture", "hopfield", sizes=[6, 5, 4], seed=3)
    start = network.forward(np.random.default_rng(0).standard_normal((2, 6)))
    shifted = {"layer1": np.full(5, 0.3)}
    options = {"current": shifted, "steps": 1000}
    both = settle(network, start, tolerance=np.array([1e-2, 1e-12]), **options)
    for row, tolerance in enumerate([1e-2, 1e-12]):
        alone = settle(network, start, tolerance=tolerance, **options)
        np.testing.assert_array_equal(both.output[row], alone.output[row])
    assert not np.array_equal(
        both.output[0], settle(network, start, tolerance=1e-12, **options).output[0]
    )


@pytest.mark.parametrize(
    "activation", ["identity", "tanh", "sigmoid", "relu", "softplus", "hard_sigmoid"]
)
@settings(max_examples=100)
@given(st.floats(-30, 30), st.floats(-20, 20), st.integers(0, 12))
def test_a_change_of_activity_keeps_its_digits(activation, drive, change, decade):
    """Against the same difference in 400 digits."""
    change *= 10.0**-decade
    digits = {
        "identity": lambda x: x,
        "tanh": lambda x: 1 - 2 / (1 + (2 * x).exp()),
        "sigmoid": lambda x: 1 / (1 + (-x).exp()),
        "relu": lambda x: max(x, Decimal(0)),
        "softplus": lambda x: (1 + x.exp()).ln(),
        "hard_sigmoid": lambda x: min(max(x, Decimal(0)), Decimal(1)),
    }[activation]
    with localcontext() as context:
        context.prec = 400
        exact = float(digits(Decimal(drive) + Decimal(change)) - digits(Decimal(drive)))
    neurons = Pointwise(activation)
    found = activity_change(neurons, np.array([drive]), np.array([change]))[0]
    # Slopes are at most 1, and the largest activity 50 units of 2^-52; a subnormal number has no
    # more digits than its last bit.
    assert abs(found - exact) <= max(1e-14 * abs(change), 5e-324)


@pytest.mark.parametrize(("error", "said"), [(1e-3, False), (1e-14, True)])
def test_what_rounding_ends_is_remarked_on(error, said):
    rule, network, inputs, output = situation("equilibrium_propagation")
    batch = bench.Batch(inputs, output - error)
    checkpoint = SimpleNamespace(network=network, step=7)
    cell = Cell(rule, None, MEAN_SQUARED_ERROR, batch, checkpoint, None, None)
    remarks = _remarks(cell)
    assert any("rounding" in each and "(step 7)" in each for each in remarks) == said


@pytest.mark.parametrize(
    ("error", "dtype", "said"),
    [
        (1e-3, "float64", False),
        (1e-14, "float64", True),
        (1e-3, "float32", False),
        (0.0, "float64", False),
    ],
)
def test_what_rounding_ends_is_flagged(error, dtype, said):
    rule, network, inputs, output = situation("equilibrium_propagation")
    batch = bench.Batch(inputs, output - error)
    measured = bench.measure(rule, network, MEAN_SQUARED_ERROR, batch, dtype=dtype)
    assert all(("rounding" in row["flag"].split(", ")) == said for row in measured.rows)

"""Rules of bursts and plateaus: what theory says of them, naive twins, refusals, conformance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_dendrites
from plausibench import bench
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import checks
from plausibench.kernels.errors import InputError
from plausibench.rules.burstprop import Burstprop
from plausibench.rules.dendritic_error import DendriticError
from plausibench.rules.logistic import logistic, logistic_change
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from plausibench.rules.segregated_dendrites import SegregatedDendrites
from plausibench.rules.theory import Law, Limit, Situation, Slope

SQUARED_ERROR = bench.make("objective", "mean_squared_error")
CROSS_ENTROPY = bench.make("objective", "cross_entropy")


def situation(rule, objective=SQUARED_ERROR, architecture="mlp", seed=0, **options):
    """A rule on a small network whose biases are not zero."""
    network = bench.make("architecture", architecture, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    network = network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * random.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )
    batch = bench.Batch(
        random.standard_normal((6, network.inputs)), random.integers(0, network.output.size, 6)
    )
    return Situation(rule, network, objective, batch, rule.initial_state(network, seed), seed)


def norm(arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays.values()))


def whole_error(at, expected):
    found, wanted = at.draws(), expected(at)
    return norm({k: found[k][0] - v for k, v in wanted.items()}) / norm(wanted)


def parameter_error(at, expected):
    found, wanted = at.draws(), expected(at)
    return max(np.linalg.norm(found[k][0] - v) / np.linalg.norm(v) for k, v in wanted.items())


def examine(claim, at, record=lambda *_: None):
    """Assert a claim as its class describes it."""
    if isinstance(claim, Limit):
        reached = claim.reach(at)
        error = parameter_error(reached, claim.expected)
        record(claim.condition, error, f"{claim.tolerance:g}")
        assert (error <= claim.tolerance) == claim.holds, error
    elif isinstance(claim, Slope):
        values = (10 * claim.smallest, claim.smallest)
        big, small = (whole_error(claim.reach(at, value), claim.expected) for value in values)
        power = np.log10(big / small)
        record(claim.condition, f"power {power:.3f}, error {small:.1e}", str(claim.power))
        assert small <= claim.tolerance, small
        assert abs(power - claim.power) <= 0.05, power
    else:
        assert isinstance(claim, Law)
        measured, theory, allowed = claim.measure(at)
        record(claim.condition, measured, f"{theory:.4g} within {allowed:.2g}")
        assert abs(measured - theory) <= allowed, (measured, theory)


SIGMOID = {"activation": "sigmoid", "output": "sigmoid"}
PLACES = {
    "sigmoid": {"sizes": [6, 5, 4, 3], **SIGMOID},
    "tanh": {"sizes": [5, 7, 3]},
    "softplus without bias": {"sizes": [4, 5, 6, 5, 2], "activation": "softplus", "bias": False},
}
RULES = [Burstprop(), SegregatedDendrites()]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("objective", [SQUARED_ERROR, CROSS_ENTROPY], ids=["mse", "ce"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_theory(rule, objective, place, record_figure):
    claims = rule.theory()
    assert claims
    for claim in claims:
        examine(claim, situation(rule, objective, **PLACES[place]), record_figure)


UNSCALED = {"bias_order": "the scale is not undone"}
VARIANTS = [
    *checks(Burstprop(feedback="random")),
    *checks(Burstprop(scale="none"), expected_failed=UNSCALED),
    *checks(SegregatedDendrites(scale="none")),
]


@pytest.mark.parametrize(("name", "check"), VARIANTS)
def test_conformance_of_variants(name, check):
    check()


def test_burstprop_without_ideal_inhibition_conforms():
    rule = Burstprop(inhibition="none")
    at = situation(rule, CROSS_ENTROPY, sizes=[6, 5, 4, 3], **SIGMOID)
    why = {"bias_order": "bursts from above change the gain of p, at any nudging"}
    for _, check in checks(rule, Case(at.network, at.objective, at.batch), expected_failed=why):
        check()


class TestBurstpropOfThePaper:
    """Sigmoid units and squared error, as in the reference's numbers."""

    def at(self, nudging):
        rule = Burstprop(nudging=nudging)
        return situation(rule, sizes=[6, 5, 4, 3], **SIGMOID)

    def test_error_at_a_tenth(self, record_figure):
        error = whole_error(self.at(0.1), Situation.reference)
        record_figure("burstprop at a tenth of the error", error, "1e-6")
        assert error <= 1e-6

    def test_raw_update_has_the_declared_scale_per_layer(self):
        at = self.at(1e-3)
        raw = replace(at, rule=replace(at.rule, scale="none")).draws()
        for name, exact in at.reference().items():
            above = 3 - int(name[5])
            ratio = raw[name][0] / (exact * 1e-3 * 0.2 * 0.25**above)
            np.testing.assert_allclose(ratio, 1, atol=1e-6)

    def test_output_is_the_papers_burst_probability(self):
        at = self.at(1.0)
        clean = at.network.forward(at.batch.inputs)
        e, y = clean.output, np.eye(3)[at.batch.targets]
        taught = 0.2 * (1 + (y - e) * (1 - e)) * e
        expected = -(taught - 0.2 * e).T @ clean.activity["layer2"] / at.batch.size / 0.2
        np.testing.assert_allclose(at.draws()["layer3.weights"][0], expected, rtol=1e-12)

    def test_without_inhibition_the_gain_is_that_of_p(self):
        """One hidden layer, small error: 4 p (1 - p) times the gradient, unit by unit."""
        rule = Burstprop(nudging=1e-6, inhibition="none")
        at = situation(rule, sizes=[6, 5, 3], **SIGMOID)
        one = replace(at, batch=at.batch.take([0]))
        clean = one.network.forward(one.batch.inputs)
        bursts = 0.2 * clean.output @ one.state["layer2.weights"].T
        p = logistic((1 - clean.activity["layer1"]) * bursts)
        found, exact = one.draws()["layer1.bias"][0], one.reference()["layer1.bias"]
        np.testing.assert_allclose(found / exact, (4 * p * (1 - p))[0], rtol=1e-5)
        assert (p > 0.5).any() or (p < 0.5).any()


def test_segregated_dendrites_without_apical_voltage_are_backprop():
    """Y = W^T, outputs at 0 without teaching, linear: the gain is 1, the gradient is exact."""
    rule = SegregatedDendrites(nudging=1e-5)
    at = situation(rule, sizes=[5, 6, 3], activation="identity", bias=False)
    weights = at.network.parameters
    # Inputs that the network maps to 0, so that A = 0.
    product = weights["layer2.weights"] @ weights["layer1.weights"]
    null = np.linalg.svd(product)[2][3:]
    inputs = np.random.default_rng(0).standard_normal((4, 2)) @ null
    at = replace(
        at,
        batch=bench.Batch(inputs, at.batch.targets[:4]),
        state={"layer1": weights["layer2.weights"].T},
    )
    assert parameter_error(at, Situation.reference) < 1e-8


def test_segregated_dendrites_broadcast_the_output():
    state = SegregatedDendrites().initial_state(
        bench.make("architecture", "mlp", sizes=[6, 5, 4, 3]), 0
    )
    assert {name: array.shape for name, array in state.items()} == {
        "layer1": (5, 3),
        "layer2": (4, 3),
    }


PAPER = {"leak": 0.1, "loads": True}


def microcircuit(rule, **options):
    return situation(rule, architecture="dendritic", **{"sizes": [6, 5, 4, 3], **options})


@pytest.mark.parametrize("options", [{}, PAPER, {**PAPER, "activation": "softplus"}])
def test_theory_of_the_microcircuit(options, record_figure):
    rule = DendriticError()
    for claim in rule.theory():
        examine(claim, microcircuit(rule, **options), record_figure)


class TestImperfectMicrocircuit:
    def test_mismatch_is_a_relative_error_of_lateral_weights_only(self):
        network = microcircuit(DendriticError()).network
        ideal = DendriticError().initial_state(network, 1)
        drawn = DendriticError(mismatch=0.2).initial_state(network, 1)
        for name, array in ideal.items():
            error = drawn.get(f"{name}_mismatch", 0.0)
            np.testing.assert_allclose(drawn[name], array * (1 + error), rtol=1e-12)
            assert (".interneuron_" in name) == np.any(error)

    def test_mismatch_stays_while_weights_move(self):
        at = microcircuit(DendriticError(mismatch=0.2))
        moved = at.network.with_parameters({k: 2 * v for k, v in at.network.parameters.items()})
        advanced = at.rule.advance(at.state, bench_step(moved, at))
        assert set(advanced) == set(at.state)
        for name, array in at.state.items():
            factor = 1 if name.endswith("_mismatch") else 2
            np.testing.assert_allclose(advanced[name], factor * array, rtol=1e-12)

    def test_error_of_a_mismatch_grows_as_nudging_weakens(self, record_figure):
        def error(nudging):
            ideal = microcircuit(DendriticError(nudging, tolerance=1e-11))
            other = microcircuit(DendriticError(nudging, tolerance=1e-11, mismatch=1e-4))
            return whole_error(other, lambda _: {k: v[0] for k, v in ideal.draws().items()})

        power = np.log10(error(1e-3) / error(1e-2))
        record_figure("error of a mismatch: minus the power of nudging", power, "1 within 0.05")
        assert abs(power - 1) < 0.05

    @pytest.mark.parametrize("place", [{}, {**PAPER, "activation": "sigmoid"}])
    def test_variance_of_membrane_noise(self, place, record_figure):
        """noise^2 |factor f'|^2 |r|^2 / B^2 of every layer; the first order of f."""
        rule = DendriticError(noise=1e-3)
        at = microcircuit(rule, **place)
        draws, factors = at.draws(4000), rule.factors(at.network)
        top = at.network.output
        clean = at.network.forward(at.batch.inputs)
        goal = top.neurons.attenuation * clean.drive[top.name]
        goal = goal - at.objective.error(clean.output, at.batch.targets)
        circuit = rule.settled(at.network, at.batch.inputs, at.state, goal)
        for p in at.network.projections:
            rate = next(q.neurons for q in at.network.populations if q.name == p.target).rate
            slope = rate.slope(circuit.soma[p.target], circuit.flow.activity[p.target])
            pre = (circuit.flow.presynaptic(p) ** 2).sum(axis=1)
            unit = (1e-3 * factors[p.target] / at.batch.size) ** 2
            theory = unit * ((slope**2).sum(axis=1) @ pre)
            ratio = draws[p.name].var(axis=0, ddof=1).sum() / theory
            record_figure("variance of membrane noise over its law", ratio, "1 within 0.05")
            assert abs(ratio - 1) < 0.05

    @pytest.mark.parametrize(
        ("name", "check"),
        [
            *checks(
                DendriticError(mismatch=0.1),
                expected_failed={"bias_order": "self-prediction fails at any nudging"},
            ),
            *checks(
                DendriticError(noise=0.01),
                expected_failed={"bias_order": "weak nudging divides the bias of the noise"},
            ),
        ],
    )
    def test_conformance_of_imperfections(self, name, check):
        check()

    @pytest.mark.parametrize("option", ["mismatch", "noise"])
    def test_refuses_negative_imperfections(self, option):
        with pytest.raises(InputError, match=f"^{option}: "):
            DendriticError(**{option: -0.1})


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
activations = st.sampled_from(["tanh", "sigmoid", "softplus"])
nudgings = st.sampled_from([0.1, 0.6, 1.0])
scales = st.sampled_from(["declared", "none"])


def assert_twin(at, twin):
    def output_error(output, b):
        return at.objective.error(output[None], at.batch.targets[b : b + 1])[0]

    expected, found = twin(at.network, at.batch, at.rule, at.state, output_error), at.draws()
    scale = max(np.abs(array).max() for array in expected.values())
    for name, array in expected.items():
        np.testing.assert_allclose(found[name][0], array, rtol=1e-9, atol=1e-12 + 1e-11 * scale)


@settings(max_examples=40)
@given(
    shapes,
    activations,
    st.integers(0, 1000),
    nudgings,
    scales,
    st.sampled_from(["symmetric", "random"]),
    st.sampled_from(["ideal", "none"]),
)
def test_burstprop_against_its_naive_twin(
    sizes, activation, seed, nudging, scale, feedback, inhibition
):
    rule = Burstprop(0.3, nudging, feedback, inhibition, scale)
    output = "sigmoid" if inhibition == "none" else "identity"
    at = situation(
        rule,
        [SQUARED_ERROR, CROSS_ENTROPY][seed % 2],
        seed=seed,
        sizes=sizes,
        activation=activation,
        output=output,
        bias=seed % 3 > 0,
    )
    assert_twin(at, naive_dendrites.burstprop)


@settings(max_examples=40)
@given(shapes, activations, st.integers(0, 1000), nudgings, scales)
def test_segregated_dendrites_against_their_naive_twin(sizes, activation, seed, nudging, scale):
    at = situation(
        SegregatedDendrites(nudging, scale=scale),
        [SQUARED_ERROR, CROSS_ENTROPY][seed % 2],
        seed=seed,
        sizes=sizes,
        activation=activation,
        bias=seed % 3 > 0,
    )
    assert_twin(at, naive_dendrites.segregated_dendrites)


def test_change_of_the_logistic_function_keeps_its_digits():
    x = np.linspace(-30, 30, 61)
    slope = logistic(x) * logistic(-x)
    np.testing.assert_allclose(logistic_change(x, np.full(61, 1e-9)) / slope / 1e-9, 1, rtol=1e-3)
    for change in (-800.0, -3.0, 0.0, 2.0, 900.0):
        expected = logistic(x + change) - logistic(x)
        np.testing.assert_allclose(logistic_change(x, np.full(61, change)), expected, atol=1e-15)


def test_burstprop_says_where_there_are_no_events():
    linear = bench.make("architecture", "linear", sizes=[4, 3, 2])
    assert "layer1 has none" in Burstprop().unsupported(linear, SQUARED_ERROR)
    mlp = bench.make("architecture", "mlp", sizes=[4, 3, 2])
    assert Burstprop().unsupported(mlp, SQUARED_ERROR) is None
    assert "layer2 has none" in Burstprop(inhibition="none").unsupported(mlp, SQUARED_ERROR)


def test_symmetric_feedback_follows_the_weights():
    at = situation(Burstprop(), sizes=[5, 4, 3])
    moved = at.network.with_parameters({k: 2 * v for k, v in at.network.parameters.items()})
    step = bench_step(moved, at)
    advanced = at.rule.advance(at.state, step)
    np.testing.assert_array_equal(advanced["layer2.weights"], moved.parameters["layer2.weights"].T)
    fixed = Burstprop(feedback="random")
    state = fixed.initial_state(at.network, 0)
    assert fixed.advance(state, step)["layer2.weights"] is state["layer2.weights"]


def bench_step(network, at):
    """A step of learning that ended at ``network``."""
    noise = Noise(0, np.zeros(1, np.int64), at.batch.keys, network.dtype)
    applied = {k: v - at.network.parameters[k] for k, v in network.parameters.items()}
    clean = at.network.forward(at.batch.inputs)
    return Step(network, at.objective, at.batch, clean, applied, 0.0, noise)


@pytest.mark.parametrize(
    ("rule", "option", "value"),
    [
        (Burstprop, "burst_probability", 0),
        (Burstprop, "burst_probability", 1.5),
        (Burstprop, "nudging", 0),
        (Burstprop, "feedback", "learned"),
        (Burstprop, "inhibition", "some"),
        (Burstprop, "scale", "raw"),
        (SegregatedDendrites, "nudging", -1),
        (SegregatedDendrites, "spread", 0),
        (SegregatedDendrites, "scale", "raw"),
    ],
)
def test_refuses_bad_options(rule, option, value):
    with pytest.raises(InputError, match=f"^{option}: "):
        rule(**{option: value})

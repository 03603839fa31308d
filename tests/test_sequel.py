"""Learned spiking feedback, AuGMEnT and spiking burstprop: theory, twins, refusals, conformance."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import pdtr

import naive
import naive_sequel
from claims import check, situation
from plausibench import bench
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance import Case, checks
from plausibench.bench.conformance.case import teacher_batch
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise
from plausibench.rules.random_feedback import learned
from plausibench.rules.regression_discontinuity_feedback import RegressionDiscontinuityFeedback
from plausibench.rules.rule import Step
from plausibench.rules.spiking_burstprop import SpikingBurstprop, poisson

SQUARED_ERROR = bench.make("objective", "mean_squared_error")
FEEDBACK = "regression_discontinuity_feedback"
RULES = [
    "augment",
    "augment[exploration=softmax,trace=1]",
    "augment[exploration=uniform,discount=0]",
    FEEDBACK,
    f"{FEEDBACK}[regression=local_constant,response=drive,common=0]",
    "spiking_burstprop",
    "spiking_burstprop[units=3,nudging=0.5]",
]


def rule_of(selector):
    return select("rule", selector).make()


def cell(sizes, seed=0, examples=None, **options):
    """A network whose biases are not zero, and a batch whose keys are in disorder."""
    random = np.random.default_rng(seed + 100)
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {n: w + 0.2 * random.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    examples = int(random.integers(1, 6)) if examples is None else examples
    inputs = random.standard_normal((examples, sizes[0]))
    keys = random.permutation(100)[:examples]
    return network, bench.Batch(inputs, random.integers(0, sizes[-1], examples), keys)


NETWORKS = {
    "tanh": cell([7, 6, 5, 3], examples=8),
    "sigmoid": cell([8, 9, 4], seed=1, examples=8, activation="sigmoid"),
}
CLAIMS = [
    pytest.param(selector, where, claim, id=f"{selector}-{where}-{claim.condition}")
    for selector in RULES
    for where in NETWORKS
    for claim in rule_of(selector).theory()
]


@pytest.mark.parametrize(("selector", "where", "claim"), CLAIMS)
def test_theory(selector, where, claim, record_figure):
    network, batch = NETWORKS[where]
    at = situation(rule_of(selector), network, batch, "mean_squared_error")
    check(claim, at, lambda *line: record_figure(f"{where}, {line[0]}", *line[1:]))


CHECKS = [
    pytest.param(selector, name, id=f"{selector}-{name}")
    for selector in RULES
    for name, _ in checks(rule_of(selector))
]
HIDDEN = {"bias": "hidden by the noise of few neurons"}


@pytest.mark.parametrize(("selector", "name"), CHECKS)
def test_conformance(selector, name):
    network = bench.make("architecture", "mlp", sizes=(6, 5, 4, 3))
    case = Case(network, SQUARED_ERROR, teacher_batch(network))
    dict(checks(rule_of(selector), case))[name]()


shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)
shares = st.sampled_from([0.0, 0.3, 1.0])


def assert_twins(ours, expected, tolerance=1e-9):
    for name, array in expected.items():
        scale = np.abs(array).max(initial=0)
        np.testing.assert_allclose(ours[name], array, rtol=tolerance, atol=tolerance * scale)


class TestSpikingPhase:
    @settings(max_examples=30)
    @given(
        st.lists(st.integers(1, 5), min_size=3, max_size=4),
        activations,
        seeds,
        st.sampled_from(["local_linear", "local_constant"]),
        st.sampled_from(["activity", "drive"]),
    )
    def test_twin(self, sizes, activation, seed, regression, response):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = RegressionDiscontinuityFeedback(
            trials=2 + seed % 60, rate=0.3, regression=regression, response=response, amplitude=0.7
        )
        state = rule.initial_state(network, seed)
        noise = Noise(seed, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        clean = network.forward(batch.inputs)
        after = rule.advance(state, Step(network, SQUARED_ERROR, batch, clean, {}, 0.0, noise))
        drives, first = {}, {}
        for index in range(1, len(sizes) - 1):
            name = f"layer{index + 1}.weights"
            shapes = {
                f"discontinuity.{name}": np.empty((rule.trials, sizes[index])),
                f"discontinuity.{name}.common": np.empty((rule.trials, 1)),
            }
            own, shared = (drawn[0] for drawn in noise.parameters(shapes).values())
            drives[index] = np.sqrt(0.8) * own + np.sqrt(0.2) * shared
            first[index] = state[name]
        expected = naive_sequel.spiking_phase(network, first, drives, rule)
        assert_twins(after, {f"layer{i + 1}.weights": b for i, b in expected.items()}, 1e-7)

    def test_a_source_that_never_nearly_spikes_keeps_its_feedback(self):
        network, batch = NETWORKS["tanh"]
        rule = RegressionDiscontinuityFeedback(window=1e-12)
        at = situation(rule, network, batch)
        for name, array in learned(at, 1).items():
            np.testing.assert_array_equal(array, at.state[name])

    @pytest.mark.parametrize(("regression", "power"), [("local_constant", 1), ("local_linear", 3)])
    def test_what_others_add_vanishes_with_the_window(self, regression, power):
        one, two = (
            RegressionDiscontinuityFeedback(
                window=p, common=0.5, regression=regression
            ).confounding()
            for p in (0.1, 0.01)
        )
        assert abs(np.log10(one / two) - power) < 0.02

    def test_means_without_a_window_are_confounded_as_orthants_are(self):
        for common in (0.0, 0.3, 0.9):
            rule = RegressionDiscontinuityFeedback(
                window=100.0, common=common, regression="local_constant"
            )
            assert abs(rule.confounding() - 2 * np.arcsin(common) / np.pi) < 1e-9

    def test_steps_of_learning_align_the_estimate(self, record_figure):
        network, batch = NETWORKS["tanh"]
        at = situation(RegressionDiscontinuityFeedback(trials=1000), network, batch)
        gradient = at.reference()

        def cosine(state):
            drawn = replace(at, state=state).draws()
            products = sum(float((drawn[n][0] * g).sum()) for n, g in gradient.items())
            lengths = [
                np.sqrt(sum((a**2).sum() for a in arrays.values())) for arrays in (drawn, gradient)
            ]
            return products / np.prod(lengths)

        before, after = cosine(at.state), cosine(learned(at, 40))
        record_figure("cosine with the gradient before and after 40 phases", before, after)
        assert before < 0.9 < 0.95 < after

    def test_state_stays_in_float32(self):
        network, batch = NETWORKS["tanh"]
        at = situation(RegressionDiscontinuityFeedback(), network.astype("float32"), batch)
        assert {array.dtype for array in learned(at, 2).values()} == {np.dtype("float32")}


class TestAugment:
    @settings(max_examples=40)
    @given(shapes, activations, seeds, shares, shares)
    def test_twin(self, sizes, activation, seed, discount, trace):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = bench.make("rule", "augment", discount=discount, trace=trace, exploration="softmax")
        clean = network.forward(batch.inputs)
        drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=3, seed=seed)
        noise = Noise(seed, np.arange(3), batch.keys, np.dtype(float))
        for k, actions in enumerate(noise.actions(rule.policy(clean))):
            expected = naive_sequel.augment(network, batch, actions, discount, trace)
            assert_twins({name: array[k] for name, array in drawn.items()}, expected, 1e-8)

    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(st.integers(1, 3), min_size=2, max_size=3),
        seeds,
        shares,
        shares,
        st.sampled_from(["max_boltzmann", "softmax", "uniform"]),
    )
    def test_closed_form_is_the_sum_over_all_sequences_of_actions(
        self, sizes, seed, discount, trace, exploration
    ):
        network, batch = cell(sizes, seed, examples=1 + seed % 4)
        rule = bench.make(
            "rule",
            "augment",
            discount=discount,
            trace=trace,
            exploration=exploration,
            epsilon=(seed % 3) / 2,
        )
        clean = network.forward(batch.inputs)
        action = frozenset({"action"})
        form = rule.closed_form(network, SQUARED_ERROR, batch, clean, action)
        mean, variance = naive_sequel.augment_moments(
            network, batch, rule.policy(clean), discount, trace
        )
        for name, expected in mean.items():
            np.testing.assert_allclose(form.mean[name], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(form.variance[name], variance[name], rtol=1e-8, atol=1e-12)
        assert rule.closed_form(network, SQUARED_ERROR, batch, clean, frozenset()) is None

    @settings(max_examples=20)
    @given(shapes, seeds, shares, shares)
    def test_reference_holds_expected_returns(self, sizes, seed, discount, trace):
        network, batch = cell(sizes, seed)
        rule = bench.make("rule", "augment", discount=discount, trace=trace)
        clean = network.forward(batch.inputs)
        order = np.argsort(batch.keys)
        values, policy = clean.output[order], rule.policy(clean)[order]
        rewards = np.eye(sizes[-1])[batch.targets[order]]
        returns = naive_sequel.expected_returns(rewards, values, policy, discount, trace)

        def loss(moved):
            output = naive.batch_forward(network, batch.inputs[order], parameters=moved)[0][-1]
            return 0.5 * np.sum(policy * (returns - output) ** 2) / batch.size

        expected = naive.finite_difference_gradient(network, loss, h=1e-5)
        found = rule.reference(network, SQUARED_ERROR, batch, clean)
        assert_twins(found, expected, 1e-5)

    @pytest.mark.parametrize("options", [{"discount": 0.0}, {"episode": 1}])
    def test_is_brainprop_without_a_future(self, options):
        network, batch = NETWORKS["tanh"]
        if "episode" in options:
            batch, options = batch.take([3]), {}
        ours, theirs = (
            bench.estimates(rule, network, SQUARED_ERROR, batch, samples=20)
            for rule in (bench.make("rule", "augment", **options), bench.make("rule", "brainprop"))
        )
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-13, atol=1e-15)

    def test_measured_exactly_agrees_with_sampling(self, record_figure):
        network, batch = NETWORKS["sigmoid"]
        rule = bench.make("rule", "augment", exploration="softmax", trace=0.7)
        exact, sampled = (
            bench.measure(rule, network, SQUARED_ERROR, batch, samples=20_000, method=method)
            for method in ("exact", "sampled")
        )
        found = sampled.value("variance") / exact.value("variance")
        record_figure("augment: sampled over exact variance", found, 1.0)
        assert abs(found - 1) < 0.05
        assert abs(exact.value("bias_squared")) < 1e-25


@dataclass(frozen=True)
class Curvature(SpikingBurstprop):
    """In the first layer nothing is drawn, and what is linear in the input is left out.

    Its own noise, and the noise that passes through it linearly, have mean 0 and would hide the
    bias.
    """

    def respond(self, noise, name, base, change, events):
        if name != "layer1":
            return super().respond(noise, name, base, change, events)
        p = base + change / events
        return change - np.log(p / (1 - p)) / 4 * events


@dataclass(frozen=True)
class Endless(Curvature):
    """The same with endlessly many neurons: nothing is drawn anywhere."""

    def respond(self, noise, name, base, change, events):
        return super().respond(noise, name, base, change, events) if name == "layer1" else change


class TestSpikingBurstprop:
    @settings(max_examples=25, deadline=None)
    @given(
        shapes,
        st.sampled_from(["sigmoid", "tanh", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        seeds,
        st.sampled_from(["ideal", "none"]),
        st.sampled_from(["declared", "none"]),
    )
    def test_twin(self, sizes, activation, output, seed, inhibition, scale):
        network, batch = cell(sizes, seed, activation=activation, output=output)
        inhibition = "ideal" if output == "identity" else inhibition
        feedback = "random" if seed % 2 else "symmetric"
        rule = SpikingBurstprop(
            0.3, 0.8, feedback=feedback, inhibition=inhibition, scale=scale, units=1 + seed % 4
        )
        state = rule.initial_state(network, seed)
        noise = Noise(seed, np.arange(2), batch.keys, np.dtype(float))
        drawn = bench.estimates(
            rule, network, SQUARED_ERROR, batch, samples=2, seed=seed, state=state
        )

        def output_error(a, b):
            return SQUARED_ERROR.error(a[None], batch.targets[b : b + 1])[0]

        for k in range(2):
            uniform = {"burst": [], "event": []}
            for population in network.populations:
                size = population.size
                wanted = {
                    f"{kind}.{population.name}": np.empty((batch.size, size)) for kind in uniform
                }
                for kind, array in zip(uniform, noise.spikes(wanted).values(), strict=True):
                    uniform[kind].append(array[k])
            expected = naive_sequel.spiking_burstprop(
                network, batch, rule, state, output_error, uniform
            )
            ours = {name: array[k % len(array)] for name, array in drawn.items()}
            assert_twins(ours, expected, 1e-8)

    @pytest.mark.parametrize("rate", [2.0**15 + 1, 1e6, 1e9, 1e14])
    def test_poisson_numbers_of_huge_means(self, rate):
        """At least ``uniform`` of the distribution lies below the number, and not below one less.

        Of the expansion one number in 10^4 may be off by one, which is nothing beside its spread.
        """
        uniform = (np.arange(20_000) + 0.5) / 20_000
        found = poisson(uniform, np.array(rate))
        if rate <= 1e6:
            right = (pdtr(found, rate) > uniform) & (pdtr(found - 1, rate) <= uniform)
            assert right.mean() > 0.9995
        assert abs(found.mean() - rate) <= 1e-3 * rate**0.5
        assert abs(found.var() - rate) <= 1e-2 * rate

    def test_a_number_does_not_depend_on_its_neighbours(self):
        uniform = np.full(2, 0.3)
        both = poisson(uniform, np.array([3.0, 1e12]))
        assert both[0] == poisson(uniform[:1], np.array([3.0]))[0]
        assert both[1] == poisson(uniform[1:], np.array([1e12]))[0]

    @pytest.mark.parametrize("rate", [0.0, 0.05, 1.0, 7.5, 300.0])
    def test_poisson_numbers(self, rate):
        uniform = np.append((np.arange(200_000) + 0.5) / 200_000, [0.0, 1 - 2.0**-53])
        found = poisson(uniform, np.array(rate))
        assert abs(found.mean() - rate) <= 1e-3 * rate
        assert abs(found.var() - rate) <= 1e-2 * rate
        some = uniform[::997]
        expected = [naive_sequel.poisson(u, rate) for u in some] if rate else np.zeros(len(some))
        np.testing.assert_array_equal(poisson(some, np.array(rate)), expected)

    def test_bias_where_noise_passed_the_logistic_function_falls_as_one_over_units(
        self, record_figure
    ):
        network, batch = NETWORKS["tanh"]
        at = situation(SpikingBurstprop(feedback="symmetric"), network, batch)
        few, many, endless = (
            replace(at, rule=rule).draws(samples)["layer1.weights"].mean(axis=0)
            for rule, samples in (
                (Curvature(feedback="symmetric", units=16), 16_000),
                (Curvature(feedback="symmetric", units=64), 16_000),
                (Endless(feedback="symmetric"), 1),
            )
        )
        along = at.reference()["layer1.weights"]
        ratio = float(((few - endless) * along).sum() / ((many - endless) * along).sum())
        bias = float(((few - endless) * along).sum() / (along**2).sum())
        record_figure("spiking burstprop: bias along the gradient with 16 units", bias, "")
        record_figure("spiking burstprop: bias with 16 over 64 units", ratio, 4.0)
        assert abs(ratio - 4) < 0.6

    def test_without_ideal_inhibition_conforms(self):
        network = bench.make(
            "architecture", "mlp", sizes=(6, 5, 4, 3), activation="sigmoid", output="sigmoid"
        )
        case = Case(network, SQUARED_ERROR, teacher_batch(network))
        rule = SpikingBurstprop(inhibition="none", units=10)
        for _, each in checks(rule, case, expected_failed=HIDDEN):
            each()


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("augment", {"discount": 1.5}, "discount"),
        ("augment", {"trace": -0.1}, "trace"),
        ("augment", {"exploration": "greedy"}, "exploration"),
        ("augment", {"epsilon": 2}, "epsilon"),
        ("spiking_burstprop", {"units": 0}, "units"),
        ("spiking_burstprop", {"nudging": 0}, "nudging"),
        (FEEDBACK, {"trials": 1}, "trials"),
        (FEEDBACK, {"rate": 0}, "rate"),
        (FEEDBACK, {"window": 0}, "window"),
        (FEEDBACK, {"regression": "cubic"}, "regression"),
        (FEEDBACK, {"common": 1}, "common"),
        (FEEDBACK, {"amplitude": 0}, "amplitude"),
        (FEEDBACK, {"response": "spikes"}, "response"),
        (FEEDBACK, {"scale": -1}, "scale"),
    ],
)
def test_options_are_refused_by_name(name, options, named):
    with pytest.raises(InputError, match=named):
        bench.make("rule", name, **options)


def test_networks_and_objectives_are_refused():
    network, _ = NETWORKS["tanh"]
    reason = bench.make("rule", "augment").refusal(
        network, bench.make("objective", "cross_entropy")
    )
    assert "mean_squared_error" in reason
    spiking = bench.make("architecture", "spiking_mlp", sizes=(3, 4, 2))
    assert "spiking" in bench.make("rule", FEEDBACK).refusal(spiking, SQUARED_ERROR)

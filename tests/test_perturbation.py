"""Perturbation and score rules: declared theory, naive twins, laws, refusals, conformance."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_perturbation as twin
from plausibench import bench
from plausibench.architectures.network import Network
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance import Case, checks
from plausibench.bench.conformance.case import teacher_batch
from plausibench.objectives.objective import Objective, softmax
from plausibench.rules.noise import Noise
from plausibench.rules.theory import Law, Limit, Situation

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
EXPECTED_REWARD = bench.make("objective", "expected_reward")
OBJECTIVES = {
    "cross_entropy": CROSS_ENTROPY,
    "mean_squared_error": SQUARED_ERROR,
    "expected_reward": EXPECTED_REWARD,
}

shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
deep = st.lists(st.integers(1, 3), min_size=3, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
seeds = st.integers(0, 2**20)
laws = st.sampled_from(["gaussian", "rademacher"])
goals = st.sampled_from(["cross_entropy", "mean_squared_error"])


def rule_of(selector):
    return select("rule", selector).make()


def cell(sizes, seed, architecture="mlp", **options):
    generator = np.random.default_rng(seed)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {n: w + 0.2 * generator.standard_normal(w.shape) for n, w in network.parameters.items()}
    )
    examples = int(generator.integers(1, 5))
    inputs = generator.standard_normal((examples, sizes[0]))
    targets = generator.integers(0, sizes[-1], examples)
    return network, bench.Batch(inputs, targets, keys=generator.permutation(50)[:examples])


def noise_of(batch, seed, samples=2):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))


def assert_twins(ours, expected, tolerance=1e-7):
    scale = max(np.abs(array).max() for array in expected.values()) + 1e-300
    for name in expected:
        np.testing.assert_allclose(
            ours[name], expected[name], rtol=tolerance, atol=0.1 * tolerance * scale
        )


def drawn(rule, network, objective, batch, seed, state=None):
    found = bench.estimates(rule, network, objective, batch, samples=2, seed=seed, state=state)
    return [{name: array[k] for name, array in found.items()} for k in range(2)]


def difference(one, two):
    """Largest relative error of a parameter, and that of the whole net."""
    errors = [np.linalg.norm(one[n] - two[n]) / (np.linalg.norm(two[n]) + 1e-300) for n in two]
    length = np.sqrt(sum((a**2).sum() for a in two.values()))
    return max(errors), np.sqrt(sum(((one[n] - two[n]) ** 2).sum() for n in two)) / length


def error_of(claim, situation):
    draws = {name: array[0] for name, array in situation.draws().items()}
    return difference(draws, claim.expected(situation))


def assert_claim(claim, situation, record):
    if isinstance(claim, Law):
        measured, theory, tolerance = claim.measure(situation)
        record(claim.condition, measured, f"{theory:.6g} within {tolerance:.1e}")
        assert abs(measured - theory) <= tolerance
    elif isinstance(claim, Limit):
        error, _ = error_of(claim, claim.reach(situation))
        record(claim.condition, error, f"{'at most' if claim.holds else 'above'} {claim.tolerance}")
        assert (error <= claim.tolerance) == claim.holds
    else:
        values = np.geomspace(10 * claim.smallest, claim.smallest, 4)
        errors = [error_of(claim, claim.reach(situation, value))[1] for value in values]
        slope = np.polyfit(np.log(values), np.log(errors), 1)[0]
        record(claim.condition, slope, f"{claim.power} within 0.05")
        assert abs(slope - claim.power) <= 0.05
        assert errors[-1] <= claim.tolerance


SELECTORS = [
    "activity_node_perturbation",
    "activity_node_perturbation[antithetic=false]",
    "activity_node_perturbation[noise=rademacher]",
    "decorrelated_node_perturbation",
    "forward_gradient",
    "forward_gradient[perturbing=activity]",
    "node_perturbation",
    "node_perturbation[antithetic=false,noise=rademacher]",
    "weight_perturbation",
    "weight_perturbation[noise=rademacher]",
    "weight_perturbation[antithetic=false]",
    "reinforce",
    "straight_through",
]


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("sizes", [(6, 5, 4, 3), (4, 7, 2)])
def test_declared_theory(selector, sizes, record_figure):
    rule = rule_of(selector)
    network, batch = cell(sizes, seed=3)
    state = rule.initial_state(network, 0)
    claims = rule.theory()
    assert claims
    for claim in claims:
        situation = Situation(rule, network, CROSS_ENTROPY, batch, state)

        def record(what, measured, asked):
            record_figure(f"{selector} {sizes}: {what}", measured, asked)

        assert_claim(claim, situation, record)


@pytest.mark.parametrize(
    "selector",
    [s for s in SELECTORS if "[" in s],  # the others are run for their certificates
)
def test_conformance(selector):
    for _, check in checks(rule_of(selector)):
        check()


@pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("goal", ["mean_squared_error", "expected_reward"])
@pytest.mark.parametrize("baseline", ["clean", "running"])
def test_conformance_of_reinforce_with_stochastic_units(units, goal, baseline):
    network = bench.make("architecture", "stochastic_mlp", sizes=(6, 5, 4, 3), units=units)
    case = Case(network, OBJECTIVES[goal], teacher_batch(network))
    for _, check in checks(bench.make("rule", "reinforce", baseline=baseline), case):
        check()


class TestTwins:
    @settings(max_examples=25)
    @given(shapes, activations, seeds, laws, goals, st.sampled_from(["weights", "activity"]))
    def test_forward_gradient(self, sizes, activation, seed, law, goal, perturbing):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        rule = bench.make("rule", "forward_gradient", perturbing=perturbing, noise=law)
        noise = noise_of(batch, seed)
        if perturbing == "weights":
            xi = noise.parameters(network.parameters, law)
        else:
            xi = noise.examples(network.forward(batch.inputs).drive, law)
        for k, ours in enumerate(drawn(rule, network, OBJECTIVES[goal], batch, seed)):
            own = {name: array[k] for name, array in xi.items()}
            assert_twins(ours, twin.forward_gradient(network, goal, batch, own, perturbing))

    @settings(max_examples=25)
    @given(shapes, activations, seeds, laws, goals, st.booleans())
    def test_activity_node_perturbation(self, sizes, activation, seed, law, goal, antithetic):
        network, batch = cell(sizes, seed, activation=activation, bias=bool(seed % 2))
        options = {"sigma": 0.01, "antithetic": antithetic, "noise": law}
        xi = noise_of(batch, seed).examples(network.forward(batch.inputs).drive, law)
        generator = np.random.default_rng(seed)
        matrices = [generator.standard_normal((n, n)) for n in sizes[:-1]]
        names = ["input", *(population.name for population in network.hidden)]
        state = dict(zip(names, matrices, strict=True))
        for name, given_state, used in (
            ("activity_node_perturbation", {}, None),
            ("decorrelated_node_perturbation", state, matrices),
        ):
            rule = bench.make("rule", name, **options)
            ours = drawn(rule, network, OBJECTIVES[goal], batch, seed, given_state)
            for k in range(2):
                own = {n: array[k] for n, array in xi.items()}
                expected = twin.activity_node_perturbation(
                    network, goal, batch, own, 0.01, antithetic, used
                )
                assert_twins(ours[k], expected)

    @settings(max_examples=25)
    @given(shapes, seeds)
    def test_decorrelation(self, sizes, seed):
        network, batch = cell(sizes, seed)
        rule = bench.make("rule", "decorrelated_node_perturbation", rate=0.3)
        state = rule.initial_state(network, seed)
        step = step_of(network, batch)
        once = rule.advance(state, step)
        again = rule.advance(once, step)
        for name, matrix in again.items():
            first = twin.decorrelate(np.eye(len(matrix)), step.clean.activity[name], 0.3)
            expected = twin.decorrelate(first, step.clean.activity[name], 0.3)
            np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-12)

    @settings(max_examples=25)
    @given(
        deep,
        seeds,
        st.sampled_from([*OBJECTIVES]),
        st.sampled_from(["bernoulli", "gaussian"]),
        st.sampled_from(["none", "clean", "running"]),
    )
    def test_reinforce(self, sizes, seed, goal, units, baseline):
        sigma = None if units == "bernoulli" else 0.3
        options = {} if sigma is None else {"sigma": sigma}
        network, batch = cell(
            sizes, seed, "stochastic_mlp", units=units, bias=bool(seed % 2), **options
        )
        rule = bench.make("rule", "reinforce", baseline=baseline)
        state = {"baseline": np.array(0.7)} if baseline == "running" else {}
        clean = network.forward(batch.inputs)
        base = {
            "none": np.zeros(batch.size),
            "clean": -naive.batch_losses(goal, clean.output, batch.targets),
            "running": np.full(batch.size, 0.7),
        }[baseline]
        noise = noise_of(batch, seed)
        hidden = {p.name: clean.drive[p.name] for p in network.hidden}
        draws = noise.spikes(hidden, network.law)
        ours = drawn(rule, network, OBJECTIVES[goal], batch, seed, state)
        outputs = np.array(
            [
                [
                    twin.sampled(network, x, [d[k, b] for d in draws.values()], sigma)[0][-1]
                    for b, x in enumerate(batch.inputs)
                ]
                for k in range(2)
            ]
        )
        actions = noise.actions(softmax(outputs))
        for k in range(2):
            own = [array[k] for array in draws.values()]
            chosen = actions[k] if goal == "expected_reward" else None
            expected = twin.reinforce(network, goal, batch, own, base, sigma, chosen)
            assert_twins(ours[k], expected)

    @settings(max_examples=25)
    @given(deep, seeds, goals)
    def test_straight_through(self, sizes, seed, goal):
        network, batch = cell(sizes, seed, "stochastic_mlp", bias=bool(seed % 2))
        drive = network.forward(batch.inputs).drive
        draws = noise_of(batch, seed).spikes({p.name: drive[p.name] for p in network.hidden})
        rule = bench.make("rule", "straight_through")
        for k, ours in enumerate(drawn(rule, network, OBJECTIVES[goal], batch, seed)):
            own = [array[k] for array in draws.values()]
            assert_twins(ours, twin.straight_through(network, goal, batch, own))


def step_of(network, batch):
    from plausibench.rules.rule import Step

    clean = network.forward(batch.inputs)
    still = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    return Step(network, CROSS_ENTROPY, batch, clean, still, 0.0, noise_of(batch, 0, 1))


class TestExpectedLoss:
    @pytest.mark.parametrize("goal", [*OBJECTIVES])
    @pytest.mark.parametrize("sizes", [(3, 4, 3), (2, 3, 2, 2)])
    def test_gradient_is_that_of_the_expected_loss(self, goal, sizes, record_figure):
        network, batch = cell(sizes, 11, "stochastic_mlp")

        def loss(parameters):
            return twin.expected_loss(network, goal, batch, parameters)

        ours = bench.loss(network, OBJECTIVES[goal], batch)
        assert ours == pytest.approx(loss(network.parameters), rel=1e-12)
        expected = naive.finite_difference_gradient(network, loss, h=1e-5)
        error = difference(bench.gradient(network, OBJECTIVES[goal], batch), expected)[1]
        record_figure(f"enumerated gradient {sizes} {goal}: relative error", error, "1e-7")
        assert error <= 1e-7

    @pytest.mark.parametrize("goal", [*OBJECTIVES])
    @pytest.mark.parametrize("baseline", ["none", "clean"])
    def test_reinforce_has_the_gradient_as_mean(self, goal, baseline, record_figure):
        network, batch = cell((3, 4, 2, 3), 5, "stochastic_mlp")
        rule = bench.make("rule", "reinforce", baseline=baseline)
        found = bench.measure(rule, network, OBJECTIVES[goal], batch, method="exact")
        bias = found.value("bias_squared")
        record_figure(f"reinforce {goal} {baseline}: enumerated bias^2", bias, "1e-24")
        assert bias <= 1e-24

    @pytest.mark.parametrize("rule", ["reinforce", "straight_through"])
    @pytest.mark.parametrize("goal", ["cross_entropy", "expected_reward"])
    def test_enumerated_moments_are_those_of_draws(self, rule, goal, record_figure):
        network, batch = cell((3, 4, 2, 3), 5, "stochastic_mlp")
        arguments = bench.make("rule", rule), network, OBJECTIVES[goal], batch
        exact = bench.measure(*arguments, method="exact")
        sampled = bench.measure(*arguments, samples=20_000, method="sampled")
        ratio = sampled.value("absolute_variance") / exact.value("absolute_variance")
        record_figure(f"{rule} {goal}: variance / enumerated", ratio, "within 5 %")
        assert ratio == pytest.approx(1, rel=0.05)
        assert exact.frame.method.eq("closed form").all()

    def test_action_alone_is_enumerated_on_a_deterministic_network(self):
        network, batch = cell((3, 4, 3), 5)
        rule = bench.make("rule", "reinforce", baseline="none")
        exact = bench.measure(rule, network, EXPECTED_REWARD, batch, method="exact")
        assert exact.value("bias_squared") <= 1e-24
        sampled = bench.measure(rule, network, EXPECTED_REWARD, batch, samples=20_000)
        ratio = sampled.value("absolute_variance") / exact.value("absolute_variance")
        assert ratio == pytest.approx(1, rel=0.05)

    def test_gaussian_expectation_errs_by_sigma_to_the_sixth(self, record_figure):
        base, batch = cell((2, 2, 1, 2), 9, "stochastic_mlp", units="gaussian")
        errors, sigmas = [], np.array([0.05, 0.025])
        for sigma in sigmas:
            populations = tuple(
                replace(p, neurons=replace(p.neurons, sigma=sigma)) if p in base.stochastic else p
                for p in base.populations
            )
            network = replace(base, populations=populations)
            exact = twin.gaussian_loss(
                network, "cross_entropy", batch, network.parameters, sigma, nodes=12
            )
            errors.append(abs(bench.loss(network, CROSS_ENTROPY, batch) - exact))
        slope = np.log(errors[0] / errors[1]) / np.log(2)
        record_figure("gaussian units: power of sigma in the error of the loss", slope, "6")
        assert abs(slope - 6) < 0.05
        assert errors[-1] < 1e-8

        def loss(parameters):
            return bench.loss(network.with_parameters(parameters), CROSS_ENTROPY, batch)

        expected = naive.finite_difference_gradient(network, loss, h=1e-5)
        assert difference(bench.gradient(network, CROSS_ENTROPY, batch), expected)[1] <= 1e-7


class Exploring(Noise):
    """Gaussian units see the noise of node perturbation."""

    def spikes(self, arrays, law="uniform"):
        assert law == "gaussian"
        return self.examples(arrays)


def test_gaussian_reinforce_is_node_perturbation(record_figure):
    """The same noise, baseline of the clean pass, presynaptic activity with noise: same arrays."""
    sigma = 0.05
    network, batch = cell((4, 5, 3, 2), 2, "stochastic_mlp", units="gaussian", sigma=sigma)
    noise = Exploring(1, np.arange(3), batch.keys, np.dtype(float))
    clean = network.forward(batch.inputs)
    rule = bench.make("rule", "reinforce")
    ours = rule.estimate(network, CROSS_ENTROPY, batch, clean, {}, noise)
    xi = noise.examples({p.name: clean.drive[p.name] for p in network.hidden})
    noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=sigma, clean=clean)
    before = CROSS_ENTROPY.losses(clean.output, batch.targets)
    change = (CROSS_ENTROPY.losses(noisy.output, batch.targets) - before) / sigma
    worst = 0.0
    for p in network.projections:
        if p.target in xi:
            post = change[..., None] * xi[p.target] / batch.size
            expected = p.synapse.outer(post, noisy.presynaptic(p))
            found = p.synapse.outer(ours[p.name].post, ours[p.name].pre)
            worst = max(worst, np.abs(found - expected).max() / np.abs(expected).max())
    record_figure("gaussian REINFORCE against node perturbation, same noise", worst, "1e-12")
    assert worst <= 1e-12


class TestVarianceLaws:
    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    @pytest.mark.parametrize("perturbing", ["weights", "activity"])
    def test_forward_gradient(self, law, perturbing, record_figure):
        network, batch = cell((6, 8, 5, 3), 4)
        rule = bench.make("rule", "forward_gradient", perturbing=perturbing, noise=law)
        agree(rule, network, batch, record_figure)

    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    def test_activity_node_perturbation_of_one_layer(self, law, record_figure):
        network, batch = cell((6, 5), 4)
        rule = bench.make("rule", "activity_node_perturbation", noise=law)
        found = agree(rule, network, batch, record_figure)
        row = found.frame.query("projection == 'all' and quantity == 'bias_squared'").iloc[0]
        assert abs(row.value) < row.high - row.low

    def test_activity_node_perturbation_of_two_layers_is_biased(self, record_figure):
        network, batch = cell((6, 8, 5), 4)
        rule = bench.make("rule", "activity_node_perturbation", sigma=1e-4)
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000)
        row = found.frame.query("projection == 'all' and quantity == 'bias_squared'").iloc[0]
        record_figure("activity node perturbation, two layers: bias^2", row.value, "above 0")
        assert row.low > 0


def agree(rule, network, batch, record):
    """Variance of 20 000 draws within 5 % of the closed form, for every parameter and in all."""
    exact = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
    found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000, method="sampled")
    for name in ["all", *network.parameters]:
        ratio = found.value("absolute_variance", name) / exact.value("absolute_variance", name)
        record(f"{rule}: variance / law, {name}", ratio, "within 5 %")
        assert ratio == pytest.approx(1, rel=0.05), name
    return found


def test_decorrelation_is_learned_on_a_task():
    task = bench.make("task", "digits")
    network = bench.make("architecture", "mlp", sizes=[64, 10])
    rule = bench.make("rule", "decorrelated_node_perturbation", rate=0.1)
    state = bench.advance(rule, task, network, CROSS_ENTROPY, steps=200)
    inputs = task.batch(500).inputs

    def correlation(activity):
        products = activity.T @ activity / len(activity)
        return np.linalg.norm(products - np.diag(np.diag(products))) / np.trace(products)

    assert correlation(inputs @ state["input"].T) < 0.5 * correlation(inputs)


@dataclass(frozen=True)
class Linear(Objective):
    """A loss that is linear in the outputs."""

    summary: ClassVar[str] = "linear"

    def losses(self, output, targets):
        return (output * np.cos(np.arange(output.shape[-1]))).sum(axis=-1)

    def error(self, output, targets):
        return np.broadcast_to(np.cos(np.arange(output.shape[-1])), output.shape)


def test_straight_through_is_exact_for_a_linear_loss():
    network, batch = cell((3, 5, 2), 8, "stochastic_mlp")
    rule = bench.make("rule", "straight_through")
    assert bench.measure(rule, network, Linear(), batch, method="exact").value(
        "bias_squared"
    ) == pytest.approx(0, abs=1e-24)
    two, batch = cell((3, 5, 4, 2), 8, "stochastic_mlp")
    found = bench.measure(rule, two, Linear(), batch, method="exact")
    assert found.value("bias_squared") > 1e-6


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("forward_gradient", {"perturbing": "drives"}),
            ("forward_gradient", {"noise": "uniform"}),
            ("activity_node_perturbation", {"sigma": 0}),
            ("decorrelated_node_perturbation", {"rate": -1}),
            ("reinforce", {"baseline": "optimal"}),
            ("reinforce", {"rate": 0}),
        ],
    )
    def test_options(self, name, options):
        with pytest.raises(bench.InputError, match=next(iter(options))):
            bench.make("rule", name, **options)

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"sizes": [3, 2]}, "sizes"),
            ({"sizes": [3, 2, 2], "units": "poisson"}, "units"),
            ({"sizes": [3, 2, 2], "sigma": 0}, "sigma"),
            ({"sizes": [3, 2, 2], "activation": "sine"}, "activation"),
        ],
    )
    def test_stochastic_mlp(self, options, field):
        with pytest.raises(bench.InputError, match=field):
            bench.make("architecture", "stochastic_mlp", **options)

    @pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
    def test_too_many_units_to_enumerate(self, units):
        network, batch = cell((3, 9, 4, 2), 1, "stochastic_mlp", units=units)
        for call in (bench.loss, bench.gradient):
            with pytest.raises(bench.InputError, match="12 stochastic units, and this one has 13"):
                call(network, CROSS_ENTROPY, batch)
        with pytest.raises(bench.InputError, match="12 stochastic units, and this one has 13"):
            bench.measure(bench.make("rule", "reinforce"), network, CROSS_ENTROPY, batch)

    def test_nothing_is_drawn(self):
        network, batch = cell((3, 4, 2), 1)
        refusals = {"reinforce": "stochastic_mlp", "straight_through": "for stochastic networks"}
        for name, said in refusals.items():
            with pytest.raises(bench.InputError, match=said):
                bench.estimates(bench.make("rule", name), network, CROSS_ENTROPY, batch)
        assert type(network) is Network

    @pytest.mark.parametrize(
        "name",
        [
            "activity_node_perturbation",
            "decorrelated_node_perturbation",
            "forward_gradient",
            "node_perturbation",
            "weight_perturbation",
        ],
    )
    def test_stochastic_units_have_noise_of_their_own(self, name):
        network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
        with pytest.raises(bench.InputError, match="stochastic_mlp is stochastic"):
            bench.estimates(bench.make("rule", name), network, CROSS_ENTROPY, batch)

    def test_running_baseline_has_no_closed_form(self):
        network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
        rule = bench.make("rule", "reinforce", baseline="running")
        with pytest.raises(bench.InputError, match="exact"):
            bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")


def test_running_baseline_follows_the_reward():
    network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
    rule = bench.make("rule", "reinforce", baseline="running", rate=0.25)
    state = rule.initial_state(network, 0)
    step = step_of(network, batch)
    reward = -np.mean(naive.batch_losses("cross_entropy", step.clean.output, batch.targets))
    for number in range(1, 4):
        state = rule.advance(state, step)
        assert state["baseline"] == pytest.approx(reward * (1 - 0.75**number))

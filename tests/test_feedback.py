"""Feedback pathways and local rules: declared theory, naive twins, refusals, conformance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from plausibench import bench
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.suite import checks
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.kernels.errors import InputError
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from plausibench.rules.theory import Law, Limit, Situation

RULES = [
    "direct_random_target_projection",
    "feedback_alignment",
    "forward_forward",
    "forward_forward[normalise=false]",
    "hebb",
    "indirect_feedback_alignment",
    "kolen_pollack",
    "learned_feedback",
    "oja",
    "oja[variant=ordered]",
    "oja[variant=subspace]",
    "pepita",
    "sign_symmetry",
    "sign_symmetry[variant=batchwise]",
    "sign_symmetry[variant=fixed]",
    "three_factor",
    "three_factor[baseline=running,sigma=0.1]",
    "three_factor[noise=rademacher,delay=0,decay=0]",
    "weight_mirror",
    "weight_mirror[noise=gaussian,scale=0]",
    "weight_mirror[noise=rademacher,bias=false]",
]
CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
CHECKS = [
    pytest.param(check, id=f"{selector}-{name}")
    for selector in RULES
    if "[" in selector  # the others are run for their certificates
    for name, check in checks(select("rule", selector).make())
]


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check):
    check()


def mlp(sizes, seed=0, **options):
    """A network whose biases are not zero."""
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    generator = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def classes(inputs, outputs, examples=6, seed=0):
    generator = np.random.default_rng(seed)
    keys = generator.permutation(100)[:examples]
    return bench.Batch(
        generator.standard_normal((examples, inputs)),
        generator.integers(0, outputs, examples),
        keys,
    )


NETWORKS = {
    "tanh": (mlp([7, 6, 5, 3]), CROSS_ENTROPY),
    "sigmoid": (mlp([8, 9, 4], seed=1, activation="sigmoid"), SQUARED_ERROR),
}


def situation(selector, network, objective, seed=0):
    rule = select("rule", selector).make()
    batch = classes(network.inputs, network.output.size, examples=8)
    return Situation(rule, network, objective, batch, rule.initial_state(network, seed), seed)


def errors(at, expected):
    """Relative error of each parameter's array, and that of the whole net."""
    drawn, wanted = at.draws(), expected(at)
    parts = {
        name: (np.linalg.norm(drawn[name][0] - goal), np.linalg.norm(goal))
        for name, goal in wanted.items()
    }
    whole = np.hypot.reduce([p[0] for p in parts.values()]) / np.hypot.reduce(
        [p[1] for p in parts.values()]
    )
    return max(apart / length for apart, length in parts.values()), whole


CLAIMS = [
    pytest.param(selector, where, claim, id=f"{selector}-{where}-{claim.condition}")
    for selector in RULES
    for where in NETWORKS
    for claim in select("rule", selector).make().theory()
]


@pytest.mark.parametrize(("selector", "where", "claim"), CLAIMS)
def test_theory(selector, where, claim, record_figure):
    at, line = situation(selector, *NETWORKS[where]), f"{selector}, {where}: {claim.condition}"
    if isinstance(claim, Limit):
        error, _ = errors(claim.reach(at), claim.expected)
        record_figure(line, error, f"{'<=' if claim.holds else '>'} {claim.tolerance}")
        assert (error <= claim.tolerance) == claim.holds
    elif isinstance(claim, Law):
        try:
            measured, expected, allowed = claim.measure(at)
        except InputError as error:
            # As in a certificate, a claim that refuses a situation does not apply there.
            pytest.skip(str(error))
        record_figure(line, measured, f"{expected} within {allowed}")
        assert abs(measured - expected) <= allowed
    else:
        small = claim.smallest * np.logspace(1, 0, 3)
        found = [errors(claim.reach(at, value), claim.expected)[1] for value in small]
        power = np.polyfit(np.log(small), np.log(found), 1)[0]
        record_figure(line, power, f"{claim.power} within 0.05, last error {found[-1]:.1e}")
        assert abs(power - claim.power) <= 0.05
        assert found[-1] <= claim.tolerance


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
activations = st.sampled_from(["identity", "tanh", "sigmoid", "softplus"])
objectives = st.sampled_from(["cross_entropy", "mean_squared_error"])
seeds = st.integers(0, 2**20)


def cell(sizes, activation, seed):
    network = mlp(sizes, seed=seed, activation=activation, bias=bool(seed % 2))
    return network, classes(sizes[0], sizes[-1], examples=1 + seed % 5, seed=seed)


def numpy_noise(batch, seed, samples=2):
    return Noise(seed, np.arange(samples), batch.keys, np.dtype(float))


def assert_close(ours, twin, tolerance=1e-9):
    scale = max(np.abs(array).max() for array in twin.values()) + 1e-300
    for name in twin:
        np.testing.assert_allclose(ours[name], twin[name], rtol=1e-7, atol=tolerance * scale)


def drawn(rule, network, objective, batch, seed, state=None):
    """Two draws, one dict each."""
    chosen = bench.make("objective", objective)
    arrays = bench.estimates(rule, network, chosen, batch, samples=2, seed=seed, state=state)
    return [{name: array[k] for name, array in arrays.items()} for k in range(2)]


def stacked(network, state):
    """Matrices of the state in the order of the layers."""
    return [state[p.name] for p in network.returning]


class TestTwins:
    @settings(max_examples=20)
    @given(
        shapes,
        activations,
        objectives,
        seeds,
        st.sampled_from(
            ["feedback_alignment", "kolen_pollack", "weight_mirror", "learned_feedback"]
        ),
    )
    def test_layerwise_feedback(self, sizes, activation, objective, seed, name):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", name)
        state = rule.initial_state(network, seed)
        twin = naive_feedback.layerwise(network, objective, batch, stacked(network, state))
        for one in drawn(rule, network, objective, batch, seed):
            assert_close(one, twin)

    @settings(max_examples=30)
    @given(
        shapes,
        activations,
        objectives,
        seeds,
        st.sampled_from(["uniform", "fixed", "batchwise"]),
    )
    def test_sign_symmetry(self, sizes, activation, objective, seed, variant):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "sign_symmetry", variant=variant, scale=1.5)
        state, weights = rule.initial_state(network, seed), network.parameters
        for k, one in enumerate(drawn(rule, network, objective, batch, seed)):
            feedback = []
            for p in network.returning:
                inputs = weights[p.name].shape[1]
                magnitude = np.full((inputs, len(weights[p.name])), 1.5 / np.sqrt(inputs))
                if variant == "fixed":
                    magnitude = state[p.name]
                elif variant == "batchwise":
                    shape = {p.name: weights[p.name]}
                    numbers = numpy_noise(batch, seed).fractions(shape, shared=True)[p.name][k]
                    magnitude = magnitude * numbers.T
                feedback.append(magnitude * np.sign(weights[p.name].T))
                assert (magnitude >= 0).all()
                assert (magnitude <= 1.5 / np.sqrt(inputs)).all()
            assert_close(one, naive_feedback.layerwise(network, objective, batch, feedback))

    @settings(max_examples=20)
    @given(shapes, activations, objectives, seeds)
    def test_indirect(self, sizes, activation, objective, seed):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "indirect_feedback_alignment")
        state = rule.initial_state(network, seed)
        twin = naive_feedback.indirect(network, objective, batch, state.get("layer1"))
        assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

    @settings(max_examples=20)
    @given(shapes, activations, objectives, seeds)
    def test_target_projection(self, sizes, activation, objective, seed):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "direct_random_target_projection")
        matrices = list(rule.initial_state(network, seed).values())
        twin = naive_feedback.target_projection(network, objective, batch, matrices)
        assert_close(drawn(rule, network, objective, batch, seed)[1], twin)

    @settings(max_examples=20)
    @given(shapes, activations, objectives, seeds)
    def test_pepita(self, sizes, activation, objective, seed):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "pepita", scale=0.3, gain=2.0)
        before = batch.inputs.copy()
        matrix = rule.initial_state(network, seed)["input"]
        twin = naive_feedback.pepita(network, objective, batch, matrix, 2.0)
        assert_close(drawn(rule, network, objective, batch, seed)[1], twin)
        np.testing.assert_array_equal(batch.inputs, before)

    @settings(max_examples=20)
    @given(shapes, activations, seeds)
    def test_hebb(self, sizes, activation, seed):
        network, batch = cell(sizes, activation, seed)
        twin = naive_feedback.hebb(network, "cross_entropy", batch)
        rule = bench.make("rule", "hebb")
        assert_close(drawn(rule, network, "cross_entropy", batch, seed)[1], twin)

    @settings(max_examples=20)
    @given(shapes, activations, seeds, st.sampled_from(["single", "subspace", "ordered"]))
    def test_oja(self, sizes, activation, seed, variant):
        network, batch = cell(sizes, activation, seed)
        twin = naive_feedback.oja(network, "cross_entropy", batch, variant)
        rule = bench.make("rule", "oja", variant=variant)
        assert_close(drawn(rule, network, "cross_entropy", batch, seed)[1], twin)

    @settings(max_examples=30)
    @given(
        shapes,
        activations,
        objectives,
        seeds,
        st.integers(0, 3),
        st.floats(0.2, 1),
        st.sampled_from(["gaussian", "rademacher"]),
        st.sampled_from(["clean", "running"]),
    )
    def test_three_factor(self, sizes, activation, objective, seed, delay, decay, noise, baseline):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make(
            "rule",
            "three_factor",
            sigma=0.1,
            noise=noise,
            delay=delay,
            decay=decay,
            baseline=baseline,
        )
        state = {"baseline": np.array([0.7])} if baseline == "running" else {}
        xi = numpy_noise(batch, seed).examples(network.forward(batch.inputs).drive, noise)
        for k, one in enumerate(drawn(rule, network, objective, batch, seed, state)):
            twin = naive_feedback.three_factor(
                network,
                objective,
                batch,
                {name: array[k] for name, array in xi.items()},
                rule,
                0.7 if baseline == "running" else None,
            )
            assert_close(one, twin)

    @settings(max_examples=20)
    @given(
        st.lists(st.integers(3, 6), min_size=2, max_size=4),
        activations,
        objectives,
        seeds,
        st.booleans(),
    )
    def test_forward_forward(self, sizes, activation, objective, seed, normalise):
        sizes = [*sizes[:-1], min(sizes[-1], sizes[0])]
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "forward_forward", threshold=0.5, normalise=normalise)
        name, others = "wrong label", sizes[-1] - 1
        numbers = numpy_noise(batch, seed).fractions({name: np.empty((batch.size, 1))})[name]
        for k, one in enumerate(drawn(rule, network, objective, batch, seed)):
            shift = 1 + np.floor(numbers[k, :, 0] * others).astype(int)
            wrong = (batch.targets + shift) % sizes[-1]
            assert (wrong != batch.targets).all()
            twin = naive_feedback.forward_forward(network, objective, batch, wrong, 0.5, normalise)
            assert_close(one, twin)

    @settings(max_examples=20)
    @given(
        shapes,
        activations,
        seeds,
        st.sampled_from(["uniform", "gaussian", "rademacher"]),
        st.booleans(),
    )
    def test_mirror_phase(self, sizes, activation, seed, law, bias):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make(
            "rule", "weight_mirror", samples=9, rate=0.3, amplitude=0.5, noise=law, bias=bias
        )
        state, noise = rule.initial_state(network, seed), numpy_noise(batch, seed, 1)
        feedback, drawn_noise = {}, {}
        for number, p in enumerate(network.returning, start=1):
            name = f"mirror.{p.name}"
            shape = {name: np.empty((9, sizes[number]))}
            if law == "uniform":
                unit = (noise.fractions(shape, shared=True)[name][0] - 0.5) * np.sqrt(12)
            else:
                unit = noise.parameters(shape, law)[name][0]
            feedback[number], drawn_noise[number] = state[p.name], unit
        twin = naive_feedback.mirror(network, feedback, drawn_noise, 0.3, 0.5, bias)
        found = rule.advance(state, held(network, batch, noise))
        names = {number: p.name for number, p in enumerate(network.returning, start=1)}
        if names:
            assert_close(found, {names[number]: matrix for number, matrix in twin.items()})

    @settings(max_examples=15)
    @given(st.lists(st.integers(1, 5), min_size=3, max_size=4), activations, objectives, seeds)
    def test_regression(self, sizes, activation, objective, seed):
        network, batch = cell(sizes, activation, seed)
        rule = bench.make("rule", "learned_feedback", sigma=0.1, ridge=0.5)
        state = first = rule.initial_state(network, seed)
        batches, xis = [], []
        for step in range(3):
            batch = classes(sizes[0], sizes[-1], examples=2 + step, seed=seed + step)
            noise = Noise(seed, np.array([step]), batch.keys, np.dtype(float))
            activity = network.forward(batch.inputs).activity
            streams = {f"feedback.{p.name}": activity[p.name] for p in network.hidden}
            numbers = noise.examples(streams)
            batches.append(batch)
            xis.append([numbers[f"feedback.{p.name}"][0] for p in network.hidden])
            state = rule.advance(state, held(network, batch, noise, objective))
        twin = naive_feedback.regression(
            network, objective, batches, xis, stacked(network, first), 0.1, 0.5
        )
        names = [p.name for p in network.returning]
        assert_close(state, dict(zip(names, twin, strict=True)), 1e-8)


def held(network, batch, noise, objective="cross_entropy"):
    """A step with the weights held."""
    zero = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    chosen, clean = bench.make("objective", objective), network.forward(batch.inputs)
    return Step(network, chosen, batch, clean, zero, 0.0, noise)


class TestOverFeedback:
    """Means over the random feedback, with the weights held."""

    @pytest.mark.parametrize("where", NETWORKS)
    @pytest.mark.parametrize(
        "selector",
        [
            "feedback_alignment",
            "direct_feedback_alignment",
            "indirect_feedback_alignment",
            "direct_random_target_projection",
        ],
    )
    def test_second_moment_and_conditional_bias(self, selector, where, record_figure):
        at = situation(selector, *NETWORKS[where])
        clean = at.network.forward(at.batch.inputs)
        law = at.rule.closed_form(
            at.network, at.objective, at.batch, clean, frozenset({"feedback"})
        )
        exact = at.reference()
        lengths, apart = dict.fromkeys(exact, 0.0), 0.0
        for seed in range(5000):
            state = at.rule.initial_state(at.network, seed)
            found = at.rule.estimate(at.network, at.objective, at.batch, clean, state, None)
            for name, array in form(at.network, found).items():
                lengths[name] += np.sum(array**2) / 5000
                apart += np.sum((array - exact[name]) ** 2) / 5000
        top = at.network.output.name
        for p in at.network.projections:
            expected = law.variance[p.name] + np.sum(law.mean[p.name] ** 2)
            ratio = lengths[p.name] / expected
            record_figure(f"{selector}, {where}: E|g|^2 over its law, {p.name}", ratio, "1 +- 0.04")
            assert abs(ratio - 1) < 0.04
            assert (law.variance[p.name] == 0) == (p.target == top)
        hidden = [p.name for p in at.network.projections if p.target != top]
        expected = sum(law.variance[name] + np.sum(exact[name] ** 2) for name in hidden)
        record_figure(
            f"{selector}, {where}: mean conditional bias^2", apart / expected, "1 +- 0.04"
        )
        assert abs(apart / expected - 1) < 0.04


@pytest.mark.parametrize("where", NETWORKS)
def test_wrong_labels_vary_as_enumerated(where):
    at = situation("forward_forward", *NETWORKS[where])
    clean = at.network.forward(at.batch.inputs)
    law = at.rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
    for name, array in at.draws(20_000).items():
        spread = array.var(axis=0, ddof=1).sum()
        assert spread == pytest.approx(law.variance[name], rel=0.04, abs=1e-20)
        noise = np.sqrt(law.variance[name] / len(array))
        assert np.linalg.norm(array.mean(axis=0) - law.mean[name]) <= 4 * noise + 1e-12


class TestThreeFactor:
    @pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
    @pytest.mark.parametrize(("delay", "decay"), [(0, 0.6), (1, 0.5), (3, 0.8), (20, 1.0)])
    def test_each_layer_has_the_closed_variance(self, noise, delay, decay):
        selector = f"three_factor[noise={noise},delay={delay},decay={decay}]"
        at = situation(selector, *NETWORKS["tanh"])
        clean = at.network.forward(at.batch.inputs)
        law = at.rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
        for name, array in at.draws(20_000).items():
            assert array.var(axis=0, ddof=1).sum() == pytest.approx(law.variance[name], rel=0.05)

    def test_a_wrong_baseline_costs_its_square(self, record_figure):
        """One example: (F - baseline)^2 N |a|^2 / sigma^2 more in each layer."""
        at = situation("three_factor[baseline=running,sigma=0.05,delay=0]", *NETWORKS["tanh"])
        at = replace(at, batch=at.batch.take([0]), state={"baseline": np.zeros(1)})
        clean = at.network.forward(at.batch.inputs)
        loss = at.objective.losses(clean.output, at.batch.targets)[0]
        true = replace(at, rule=replace(at.rule, baseline="clean"))
        with_clean, with_none = true.draws(20_000), at.draws(20_000)
        for p in at.network.projections:
            pre = p.synapse.pre_gram(clean.presynaptic(p))[0, 0]
            more = with_none[p.name].var(axis=0).sum() - with_clean[p.name].var(axis=0).sum()
            law = loss**2 * p.synapse.factors[0] * pre / at.rule.sigma**2
            record_figure(f"three_factor: cost of baseline 0, {p.name}", more / law, "1 +- 0.05")
            assert more == pytest.approx(law, rel=0.05)

    def test_the_running_baseline_follows_the_loss(self):
        at = situation("three_factor[baseline=running,rate=0.25]", *NETWORKS["tanh"])
        step = held(at.network, at.batch, numpy_noise(at.batch, 0, 1))
        loss = bench.loss(at.network, CROSS_ENTROPY, at.batch)
        state = at.state
        for number in range(1, 4):
            state = at.rule.advance(state, step)
            assert state["baseline"][0] == pytest.approx(loss * (1 - 0.75**number), rel=1e-12)
        assert at.state["baseline"][0] == 0


def cosine(one, two):
    return float(np.sum(one * two) / np.linalg.norm(one) / np.linalg.norm(two))


class TestWeightMirror:
    def test_slopes_at_the_biases_scale_the_columns(self, record_figure):
        network = mlp([20, 20, 15], seed=3, activation="sigmoid", output="sigmoid")
        biases = 1.5 * np.random.default_rng(0).standard_normal(15)
        network = network.with_parameters({**network.parameters, "layer2.bias": biases})
        rule = bench.make("rule", "weight_mirror", samples=50_000, rate=1.0)
        batch = classes(20, 15)
        step = held(network, batch, numpy_noise(batch, 0, 1))
        found = rule.advance(rule.initial_state(network, 0), step)["layer2.weights"]
        right = network.parameters["layer2.weights"].T
        chance = 1 / (1 + np.exp(-biases))
        scaled = cosine(found, right * chance * (1 - chance))
        record_figure("weight mirror, sigmoid, cosine with W^T D", scaled, "> 0.999")
        record_figure("weight mirror, sigmoid, cosine with W^T", cosine(found, right), "< 0.97")
        assert scaled > 0.999
        assert cosine(found, right) < 0.97
        silent = replace(rule, bias=False).advance(rule.initial_state(network, 0), step)
        assert cosine(silent["layer2.weights"], right) > 0.999

    def test_the_mean_of_the_response_must_go(self):
        generator = np.random.default_rng(0)
        weights, x = generator.standard_normal((5, 20)) / 4, generator.standard_normal((2000, 20))
        y = 1 / (1 + np.exp(-(0.03 * x @ weights.T)))
        assert cosine(x.T @ y, weights.T) < 0.7
        assert cosine(x.T @ (y - y.mean(axis=0)), weights.T) > 0.99

    def test_fewer_samples_a_step_and_a_lower_rate_average_alike(self):
        """B of a linear layer at rest: |B - W^T|^2 = rate / (2 - rate) (N - 2 + k4) / n |W|^2."""
        network = bench.make("architecture", "linear", sizes=[4, 12, 6], seed=1)
        rule = bench.make(
            "rule", "weight_mirror", samples=100, rate=0.2, noise="gaussian", scale=0.0
        )
        batch, right = classes(4, 6), network.parameters["layer2.weights"].T
        state, found = rule.initial_state(network, 0), []
        for number in range(2000):
            noise = Noise(0, np.array([number]), batch.keys, np.dtype(float))
            state = rule.advance(state, held(network, batch, noise, "mean_squared_error"))
            if number >= 50:
                found.append(np.sum((state["layer2.weights"] - right) ** 2) / np.sum(right**2))
        assert np.mean(found) == pytest.approx(0.2 / 1.8 * 13 / 100, rel=0.1)


class TestLearnedFeedback:
    def test_becomes_backpropagation_in_a_deep_network(self, record_figure):
        at = situation("learned_feedback[sigma=0.001]", *NETWORKS["tanh"])
        rows = np.arange(400) % at.batch.size
        many = bench.Batch(at.batch.inputs[rows], at.batch.targets[rows], np.arange(400))
        state = at.state
        for number in range(300):
            noise = Noise(0, np.array([number]), many.keys, np.dtype(float))
            state = at.rule.advance(state, held(at.network, many, noise))
        before, after = (
            errors(replace(at, state=s), Situation.reference)[1] for s in (at.state, state)
        )
        record_figure("learned feedback, 120 000 examples, error of the estimate", after, "< 0.05")
        assert before > 0.1
        assert after < 0.05


class TestBenchAdvance:
    """`bench.advance` lets a rule learn its feedback with the weights held."""

    task = bench.make("task", "teacher_student")

    def network(self, **options):
        batch = self.task.batch(2, seed=0)
        outputs = batch.targets.shape[1] if batch.targets.ndim == 2 else 10
        return mlp([batch.inputs.shape[1], 8, outputs], **options)

    def test_it_is_advance_on_the_batches_of_the_task(self):
        seen = []

        class Watching(type(bench.make("rule", "kolen_pollack"))):
            def initial_state(self, network, seed):
                return {"count": np.zeros(1)}

            def advance(self, state, step):
                seen.append(step)
                return {"count": state["count"] + 1}

        network, start = self.network(), {"count": np.zeros(1)}
        before = {name: array.copy() for name, array in network.parameters.items()}
        state = bench.advance(
            Watching(),
            self.task,
            network,
            SQUARED_ERROR,
            steps=3,
            batch_size=5,
            state=start,
            seed=4,
        )
        assert state["count"] == 3
        assert start["count"] == 0
        batches = self.task.batches(5, seed=4)
        for step in seen:
            batch = next(batches)
            np.testing.assert_array_equal(step.batch.inputs, batch.inputs)
            np.testing.assert_array_equal(step.batch.targets, batch.targets)
            np.testing.assert_array_equal(step.clean.output, network.forward(batch.inputs).output)
            assert step.decay == 0
            assert all((array == 0).all() for array in step.applied.values())
            assert step.network.parameters.keys() == before.keys()
        for name, array in network.parameters.items():
            np.testing.assert_array_equal(array, before[name])
        noises = [step.noise.examples({"x": np.empty((5, 1))})["x"] for step in seen]
        assert len({array.tobytes() for array in noises}) == 3

    def test_a_longer_run_extends_a_shorter_one_only_from_the_start(self):
        rule, network = bench.make("rule", "weight_mirror"), self.network()
        run = [
            bench.advance(rule, self.task, network, SQUARED_ERROR, steps=steps, seed=2)
            for steps in (0, 2, 2, 3)
        ]
        first = rule.initial_state(network, 2)
        for name in first:
            np.testing.assert_array_equal(run[0][name], first[name])
            np.testing.assert_array_equal(run[1][name], run[2][name])
            assert (run[2][name] != run[3][name]).all()

    @pytest.mark.parametrize("name", ["weight_mirror", "learned_feedback"])
    def test_the_bias_that_is_measured_falls(self, name, record_figure):
        rule, network = bench.make("rule", name), self.network(activation="identity")
        batch = self.task.batch(16, seed=1)
        before = bench.measure(rule, network, SQUARED_ERROR, batch).value("bias_squared")
        state = bench.advance(rule, self.task, network, SQUARED_ERROR, steps=300)
        found = bench.measure(rule, network, SQUARED_ERROR, batch, state=state)
        after = found.value("bias_squared")
        record_figure(
            f"{name}: relative bias^2 after 300 steps over before", after / before, "< 0.1"
        )
        assert after < 0.1 * before

    def test_kolen_pollack_learns_nothing_from_held_weights(self):
        rule, network = bench.make("rule", "kolen_pollack"), self.network()
        first = rule.initial_state(network, 0)
        state = bench.advance(rule, self.task, network, SQUARED_ERROR, steps=5)
        for name in first:
            np.testing.assert_array_equal(state[name], first[name])

    @pytest.mark.parametrize("steps", [-1, 1.5, True])
    def test_refuses_steps(self, steps):
        with pytest.raises(InputError, match="steps"):
            bench.advance(
                bench.make("rule", "kolen_pollack"),
                self.task,
                self.network(),
                SQUARED_ERROR,
                steps=steps,
            )

    def test_refuses_a_network_that_does_not_fit(self):
        with pytest.raises(InputError, match="inputs"):
            bench.advance(
                bench.make("rule", "kolen_pollack"), self.task, mlp([2, 3, 1]), SQUARED_ERROR
            )


class TestWeightDecay:
    @pytest.mark.parametrize("name", ["sgd", "adam"])
    def test_decay_is_apart_from_the_change(self, name):
        plain, decaying = make_optimiser(name, 0.2), make_optimiser(name, 0.2, 0.3)
        assert plain.decay == 0
        assert decaying.decay == pytest.approx(0.06, rel=1e-15)
        estimate = {"w": np.array([1.0, -2.0])}
        one, two = plain.change(estimate, {})[0], decaying.change(estimate, {})[0]
        np.testing.assert_array_equal(one["w"], two["w"])

    @pytest.mark.parametrize("name", ["sgd", "adam"])
    @pytest.mark.parametrize("decay", [-0.1, 5.0, float("nan"), True])
    def test_refused_where_a_step_would_lose_a_whole_weight(self, name, decay):
        with pytest.raises(InputError, match="weight_decay"):
            make_optimiser(name, 0.2, decay)

    def test_the_spec_refuses_by_its_highest_rate(self):
        assert Spec(weight_decay=9.0).weight_decay == 9.0
        with pytest.raises(InputError, match="weight_decay"):
            Spec(weight_decay=9.0, learning_rates={"backprop": 0.2})
        with pytest.raises(InputError, match="weight_decay"):
            Spec(weight_decay=-1.0)
        assert Spec(weight_decay=0.25).as_dict()["weight_decay"] == 0.25

    def test_one_step_of_training(self):
        task, network = TestBenchAdvance.task, TestBenchAdvance().network()
        rule = bench.make("rule", "backprop")
        options = {"steps": 1, "learning_rate": 0.1, "seed": 3, "batch_size": 8}
        found = bench.train(rule, task, network, SQUARED_ERROR, weight_decay=0.5, **options)
        batch = next(task.batches(8, seed=3))
        exact = bench.gradient(network, SQUARED_ERROR, batch)
        for name, w in network.parameters.items():
            wanted = w - 0.1 * 0.5 * w - 0.1 * exact[name]
            np.testing.assert_allclose(found.network.parameters[name], wanted, rtol=1e-13)

    @pytest.mark.parametrize("optimiser", ["sgd", "adam"])
    def test_kolen_pollack_in_training(self, optimiser, record_figure):
        """|B - W^T| is (1 - decay)^200 of what it was, whatever the optimiser."""
        task, network = TestBenchAdvance.task, TestBenchAdvance().network()
        rule = bench.make("rule", "kolen_pollack")
        options = {"optimiser": optimiser, "learning_rate": 0.01, "steps": 200, "batch_size": 8}
        found = bench.train(rule, task, network, SQUARED_ERROR, weight_decay=1.0, **options)
        plain = bench.train(rule, task, network, SQUARED_ERROR, **options)
        first = rule.initial_state(network, 0)

        def distance(state, network):
            return np.linalg.norm(state["layer2.weights"] - network.parameters["layer2.weights"].T)

        start = distance(first, network)
        ratio = distance(found.state, found.network) / start / 0.99**200
        record_figure(f"Kolen-Pollack with {optimiser}, 200 steps", ratio, "1 +- 1e-12")
        assert abs(ratio - 1) < 1e-12
        assert distance(plain.state, plain.network) == pytest.approx(start, rel=1e-12)


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("sign_symmetry", {"variant": "random"}, "variant"),
            ("sign_symmetry", {"scale": 0}, "scale"),
            ("weight_mirror", {"samples": 1}, "samples"),
            ("weight_mirror", {"rate": 0}, "rate"),
            ("weight_mirror", {"rate": 1.1}, "rate"),
            ("weight_mirror", {"amplitude": 0}, "amplitude"),
            ("weight_mirror", {"noise": "white"}, "noise"),
            ("weight_mirror", {"bias": 1}, "bias"),
            ("weight_mirror", {"scale": -1}, "scale"),
            ("kolen_pollack", {"scale": -1}, "scale"),
            ("feedback_alignment", {"scale": 0}, "scale"),
            ("indirect_feedback_alignment", {"scale": 0}, "scale"),
            ("direct_random_target_projection", {"scale": 0}, "scale"),
            ("learned_feedback", {"sigma": 0}, "sigma"),
            ("learned_feedback", {"ridge": 0}, "ridge"),
            ("pepita", {"scale": 0}, "scale"),
            ("pepita", {"gain": 0}, "gain"),
            ("forward_forward", {"threshold": 0}, "threshold"),
            ("forward_forward", {"normalise": "yes"}, "normalise"),
            ("oja", {"variant": "sanger"}, "variant"),
            ("three_factor", {"sigma": 0}, "sigma"),
            ("three_factor", {"noise": "white"}, "noise"),
            ("three_factor", {"delay": -1}, "delay"),
            ("three_factor", {"decay": 1.5}, "decay"),
            ("three_factor", {"delay": 1, "decay": 0}, "decay"),
            ("three_factor", {"baseline": "none"}, "baseline"),
            ("three_factor", {"rate": 0}, "rate"),
        ],
    )
    def test_options(self, name, options, said):
        with pytest.raises(InputError, match=said):
            bench.make("rule", name, **options)

    def test_forward_forward_needs_labels_and_room_for_them(self):
        rule = bench.make("rule", "forward_forward")
        assert "first inputs" in rule.unsupported(mlp([2, 5, 3]), CROSS_ENTROPY)
        assert "two labels" in rule.unsupported(mlp([2, 5, 1]), CROSS_ENTROPY)
        network = mlp([4, 5, 3])
        real = bench.Batch(np.ones((2, 4)), np.ones((2, 3)))
        with pytest.raises(InputError, match="integer classes"):
            bench.estimates(rule, network, SQUARED_ERROR, real)

"""Rules that settle or aim at targets, and the Hopfield network: claims, twins, refusals."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import claims
import naive
import naive_energy
from plausibench import bench
from plausibench.architectures import settling
from plausibench.architectures.hopfield import Hopfield
from plausibench.architectures.mlp import Mlp
from plausibench.architectures.network import Network, Projection
from plausibench.architectures.settling import settle
from plausibench.architectures.synapses import DenseSynapse
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance import checks
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules import predictive_coding
from plausibench.rules.fixed_point import fixed_point
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
OBJECTIVES = ("cross_entropy", "mean_squared_error")
SELECTORS = [
    "contrastive_hebbian",
    "deep_feedback_control",
    "deep_feedback_control[compared=drive,feedback=random]",
    "difference_target_propagation",
    "equilibrium_propagation",
    "equilibrium_propagation[variant=one_sided]",
    "equilibrium_propagation[variant=random_sign]",
    "predictive_coding",
    "predictive_coding[variant=fixed_prediction]",
    "predictive_coding[variant=nudged]",
    "predictive_coding[variant=nudged,symmetric=true]",
    "predictive_coding[variant=zero_divergence]",
    "target_propagation",
]
SETTLING = {"backprop", "equilibrium_propagation", "weight_perturbation"}


def cell(architecture, sizes, seed=0, examples=4, scale=1.0, **options):
    """A network whose biases are not zero, and a batch of classes."""
    generator = np.random.default_rng(seed)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed, **options)
    network = network.with_parameters(
        {
            name: scale * array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )
    inputs = generator.standard_normal((examples, sizes[0]))
    return network, bench.Batch(inputs, generator.integers(0, sizes[-1], examples))


def one(rule, network, objective, batch, **options):
    drawn = bench.estimates(rule, network, objective, batch, samples=1, **options)
    return {name: array[0] for name, array in drawn.items()}


def assert_close(ours, twin, relative=1e-8):
    for name, array in twin.items():
        scale = np.abs(array).max() + 1e-300
        np.testing.assert_allclose(ours[name], array, rtol=relative, atol=relative * scale + 1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("sizes", [(6, 5, 4, 3), (4, 7, 3)])
@pytest.mark.parametrize("selector", SELECTORS)
def test_claims(selector, sizes, objective, record_figure):
    rule = select("rule", selector).make()
    architecture = "hopfield" if "equilibrium" in selector else "mlp"
    network, batch = cell(architecture, sizes, seed=1)
    at = claims.situation(rule, network, batch, objective)
    found = [claims.check(claim, at, record_figure) for claim in rule.theory()]
    assert any(measured is not None for measured in found)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{selector}-{name}")
        for selector in SELECTORS
        if "[" in selector  # the others are run for their certificates
        for name, check in checks(select("rule", selector).make())
    ],
)
def test_conformance(name, check):
    check()


class TestPredictiveCoding:
    @settings(max_examples=25)
    @given(
        st.sampled_from(["strict", "fixed_prediction", "zero_divergence", "nudged"]),
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.sampled_from(["identity", "tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, variant, sizes, activation, output, objective, seed):
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.7
        )
        timed = {} if variant == "zero_divergence" else {"steps": 7}
        rule = bench.make("rule", "predictive_coding", variant=variant, step=0.1, **timed)
        goal = bench.make("objective", objective)
        twin = naive_energy.predictive_coding(network, objective, batch, variant, 0.1, 7, 0.1)
        assert_close(one(rule, network, goal, batch), twin)

    def digits_biases(self, size, weight):
        """Relative squared bias with the loss averaged, and of ours, mean over networks."""
        task, rule = bench.make("task", "digits"), bench.make("rule", "predictive_coding")
        biases = []
        for seed, number in product(range(3), range(4)):
            network = bench.make("architecture", "mlp", sizes=[64, 32, 32, 10], seed=seed)
            batch = task.batch(size, seed=100 * seed + number)
            exact = bench.gradient(network, CROSS_ENTROPY, batch)
            twin = naive_energy.averaged_predictive_coding(
                network, CROSS_ENTROPY, batch.inputs, batch.targets, weight
            )
            length = sum((array**2).sum() for array in exact.values())
            biases += [
                sum(((found[n] - exact[n]) ** 2).sum() for n in exact) / length
                for found in (twin, one(rule, network, CROSS_ENTROPY, batch))
            ]
        return np.reshape(biases, (-1, 2)).mean(axis=0)

    def test_a_loss_averaged_over_the_batch_is_as_the_card_says(self, record_figure):
        averaged, strict = np.transpose([self.digits_biases(b, 1 / b) for b in (1, 4, 16, 64)])
        record_figure("bias of predictive coding, loss over a batch of 64", averaged[-1], 0.0002)
        said = "0.12, 0.017, 0.0021, 0.0002 at B = 1, 4, 16, 64"
        assert said in bench.make("rule", "predictive_coding").card.notes
        assert [f"{b:.{n}f}" for b, n in zip(averaged, (2, 3, 4, 4), strict=True)] == (
            said.split(" at ")[0].split(", ")
        )
        # The strict variant is the same for every example, in whatever batch.
        assert max(strict) < 1.3 * min(strict)

    def test_bias_with_an_averaged_loss_falls_as_the_square_of_its_weight(self):
        """On one batch, where terms of higher order are small: 1 / 16 within 5 %."""
        coarse, fine = (self.digits_biases(16, weight)[0] for weight in (1 / 256, 1 / 1024))
        assert coarse / fine == pytest.approx(16, rel=0.05)

    def test_symmetric_is_the_mean_of_two_nudges(self):
        network, batch = cell("mlp", [5, 4, 3])
        rule = bench.make("rule", "predictive_coding", variant="nudged", symmetric=True, steps=9)
        both = [
            naive_energy.predictive_coding(
                network, "cross_entropy", batch, "nudged", 0.1, 9, sign * 0.1
            )
            for sign in (1, -1)
        ]
        mean = {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}
        assert_close(one(rule, network, CROSS_ENTROPY, batch), mean)

    def test_nudged_in_a_network_with_a_shortcut(self):
        """Energies need no chain: a projection from the inputs straight to the output."""
        network, batch = cell("mlp", [5, 4, 3])
        shortcut = Projection("shortcut", "input", "layer2", DenseSynapse(3, 5))
        parameters = {**network.parameters, "shortcut": np.full((3, 5), 0.1)}
        network = replace(
            network, projections=(*network.projections, shortcut), parameters=parameters
        )
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=1e-4)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(rule, network, CROSS_ENTROPY, batch), exact, relative=1e-2)
        fixed = bench.make("rule", "predictive_coding", variant="fixed_prediction")
        assert_close(one(fixed, network, CROSS_ENTROPY, batch), exact, relative=1e-13)
        delayed = bench.make("rule", "predictive_coding", variant="zero_divergence")
        assert "chain" in delayed.refusal(network, CROSS_ENTROPY)

    def test_compiled_and_plain_relaxation_agree(self, monkeypatch):
        network, batch = cell("mlp", [6, 5, 4, 3], activation="softplus", output="sigmoid")
        rule = bench.make("rule", "predictive_coding")
        compiled = one(rule, network, CROSS_ENTROPY, batch)
        monkeypatch.setattr(predictive_coding, "is_plain", lambda network: False)
        assert_close(compiled, one(rule, network, CROSS_ENTROPY, batch), relative=1e-12)

    @settings(max_examples=8)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from([0.01, 0.5]),
        st.integers(0, 2**20),
    )
    def test_nudged_values_rest_where_euler_steps_lead(
        self, sizes, activation, objective, nudging, seed
    ):
        network, batch = cell("mlp", sizes, seed, activation=activation, examples=2)
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=nudging)
        goal = bench.make("objective", objective)
        twin = naive_energy.predictive_coding(
            network, objective, batch, "nudged", 0.3, 900, nudging
        )
        assert_close(one(rule, network, goal, batch), twin, relative=1e-7)

    def test_strong_weights_rest_where_euler_steps_lead(self):
        """Plain turns would overshoot, each by more than the one before."""
        network, batch = cell("mlp", [5, 6, 6, 3], activation="identity", scale=2.0)
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=0.5)
        euler = replace(rule, step=0.02, steps=9000)
        goal = bench.make("objective", "mean_squared_error")
        found = one(rule, network, goal, batch)
        assert_close(found, one(euler, network, goal, batch), relative=1e-6)

    def test_a_step_that_is_too_long_diverges(self):
        network, batch = cell("mlp", [5, 6, 6, 3], activation="identity")
        rule = bench.make("rule", "predictive_coding", step=3.0, steps=2000)
        with pytest.raises(Divergence, match="shorter step"):
            one(rule, network, CROSS_ENTROPY, batch)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"variant": "loose"}, "strict"),
            ({"step": 0}, "step"),
            ({"steps": 0}, "steps"),
            ({"nudging": -1}, "nudging"),
            ({"variant": "zero_divergence", "steps": 3}, "leave steps out"),
            ({"symmetric": True}, "no nudge"),
            ({"symmetric": 1}, "true or false"),
        ],
    )
    def test_options_are_refused(self, options, said):
        with pytest.raises(InputError, match=said):
            bench.make("rule", "predictive_coding", **options)


class TestSweeps:
    @settings(max_examples=25)
    @given(
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from([None, *OBJECTIVES, "expected_reward"]),
        st.sampled_from([-0.2, 0.5]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, nudging, seed):
        """After one and after four sweeps, long before rest."""
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.5
        )
        start = network.forward(batch.inputs)
        nudged = {}
        if objective is not None:
            nudged = {"nudge": bench.make("objective", objective), "targets": batch.targets}
            nudged["nudging"] = nudging
        names = [population.name for population in network.populations]
        for count in (1, 4):
            twins = [
                naive_energy.sweeps(
                    network,
                    x,
                    [start.activity[n][b] for n in names],
                    count,
                    0.5,
                    objective,
                    batch.targets[b],
                    nudging,
                )
                for b, x in enumerate(batch.inputs)
            ]
            rest = settle(network, start, feedback=0.5, tolerance=np.inf, steps=1, **nudged)
            for _ in range(count - 1):
                rest = settle(network, rest, feedback=0.5, tolerance=np.inf, steps=1, **nudged)
            for layer, name in enumerate(names):
                np.testing.assert_allclose(
                    rest.activity[name], [twin[layer] for twin in twins], rtol=1e-11, atol=1e-13
                )

    @pytest.mark.parametrize(
        "objective",
        [None, *OBJECTIVES, "expected_reward", ("cross_entropy", {"double_softmax": True})],
    )
    @pytest.mark.parametrize("clamped", [False, True])
    def test_compiled_and_plain_sweeps_agree(self, monkeypatch, objective, clamped):
        network, batch = cell("hopfield", [6, 5, 4, 3], scale=0.8)
        start = Network.forward(network, batch.inputs)
        options = {"tolerance": 1e-14, "steps": 5000, "feedback": 0.9}
        options["current"] = {"layer1": np.full((2, batch.size, 5), 0.1)}
        if clamped:
            options["clamp"] = np.full((batch.size, 3), 0.3)
        if objective is not None:
            name, choice = (objective, {}) if isinstance(objective, str) else objective
            options["nudge"] = bench.make("objective", name, **choice)
            options |= {"targets": batch.targets, "nudging": 0.4}
        compiled = settle(network, start, **options)
        monkeypatch.setattr(settling, "is_plain", lambda network: False)
        plain = settle(network, start, **options)
        for population in network.populations:
            for found, wanted in zip(
                (compiled.drive, compiled.activity), (plain.drive, plain.activity), strict=True
            ):
                np.testing.assert_allclose(
                    *np.broadcast_arrays(found[population.name], wanted[population.name]),
                    rtol=1e-11,
                    atol=1e-12,
                )

    def test_examples_do_not_see_one_another(self):
        """Bit for bit: each settles by itself."""
        network, batch = cell("hopfield", [6, 5, 3], examples=6)
        whole = network.forward(batch.inputs).output
        part = network.forward(batch.inputs[2:4]).output
        np.testing.assert_array_equal(whole[2:4], part)


class TestHopfield:
    @pytest.mark.parametrize(
        "options", [{}, {"activation": "tanh", "output": "sigmoid"}, {"bias": False}]
    )
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_gradient_agrees_with_finite_differences(self, options, objective, record_figure):
        network, batch = cell("hopfield", [5, 6, 4, 3], **options)
        goal = bench.make("objective", objective)
        exact = bench.gradient(network, goal, batch)
        differences = naive.finite_difference_gradient(
            network, lambda q: bench.loss(network.with_parameters(q), goal, batch), h=1e-5
        )
        error = max(
            np.abs(exact[name] - array).max() / np.abs(array).max()
            for name, array in differences.items()
        )
        record_figure("hopfield, gradient against finite differences", error, 1e-7)
        assert error < 1e-7

    @settings(max_examples=15)
    @given(
        st.lists(st.integers(1, 6), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh"]),
        st.integers(0, 2**20),
    )
    def test_fixed_point_twin(self, sizes, activation, seed):
        network, batch = cell("hopfield", sizes, seed, activation=activation, scale=0.4)
        clean = network.forward(batch.inputs)
        for b, x in enumerate(batch.inputs):
            twin = naive_energy.rest(network, x)
            for number in range(1, len(sizes)):
                np.testing.assert_allclose(
                    clean.activity[f"layer{number}"][b], twin[number], rtol=1e-9, atol=1e-11
                )

    def test_samples_settle_as_they_would_alone(self):
        network, batch = cell("hopfield", [5, 4, 3])
        generator = np.random.default_rng(3)
        clean = network.forward(batch.inputs)
        weights = network.parameters["layer1.weights"]
        stacked = weights + 0.1 * generator.standard_normal((2, *weights.shape))
        noise = {"layer1": generator.standard_normal((2, batch.size, 4))}
        passed = network.forward(
            batch.inputs,
            parameters={"layer1.weights": stacked},
            drive_noise=noise,
            amplitude=0.1,
            clean=clean,
        )
        for k in range(2):
            changed = {**network.parameters, "layer1.weights": stacked[k]}
            shifted = network.with_parameters(changed)
            alone = shifted.forward(
                batch.inputs, drive_noise={"layer1": noise["layer1"][k]}, amplitude=0.1
            )
            np.testing.assert_allclose(passed.output[k], alone.output, rtol=1e-10, atol=1e-12)
            drive = alone.drive["layer1"]
            np.testing.assert_allclose(passed.drive["layer1"][k], drive, rtol=1e-10, atol=1e-12)

    def test_signals_are_derivatives_by_the_drive(self):
        """A constant current into one neuron, by central differences."""
        network, batch = cell("hopfield", [5, 4, 3])
        clean, h = network.forward(batch.inputs), 1e-5
        error = CROSS_ENTROPY.error(clean.output, batch.targets)
        signals = network.credit(clean, {"layer2": error})
        for name, size in (("layer1", 4), ("layer2", 3)):
            for neuron in range(size):
                push = np.zeros((batch.size, size))
                push[:, neuron] = h
                losses = [
                    CROSS_ENTROPY.losses(
                        network.forward(batch.inputs, drive_noise={name: sign * push}).output,
                        batch.targets,
                    )
                    for sign in (1, -1)
                ]
                found = (losses[0] - losses[1]) / (2 * h)
                np.testing.assert_allclose(signals[name][:, neuron], found, rtol=1e-6, atol=1e-9)

    def test_without_hidden_layers_it_is_feed_forward(self):
        network, batch = cell("hopfield", [5, 3])
        chain = Mlp([5, 3]).build().with_parameters(network.parameters)
        assert_close(
            bench.gradient(network, CROSS_ENTROPY, batch),
            bench.gradient(chain, CROSS_ENTROPY, batch),
            relative=1e-13,
        )

    def test_other_feedback_is_refused(self):
        network, batch = cell("hopfield", [5, 4, 3])
        clean = network.forward(batch.inputs)
        with pytest.raises(InputError, match="its own weights"):
            network.credit(clean, {"layer2": clean.output}, feedback={})

    def test_activity_without_bound_diverges(self):
        network, batch = cell("hopfield", [5, 6, 4, 3], activation="identity", scale=2.0)
        with pytest.raises(Divergence, match="without end"):
            network.forward(batch.inputs)

    def test_too_few_sweeps_diverge(self):
        network, batch = cell("hopfield", [5, 6, 4, 3], steps=2)
        with pytest.raises(Divergence, match="2 sweeps"):
            network.forward(batch.inputs)

    @pytest.mark.parametrize("options", [{"tolerance": 0}, {"steps": 0}, {"activation": "sine"}])
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            Hopfield([4, 3, 2], **options)

    @pytest.mark.parametrize("name", sorted(registry.entries("rule")))
    def test_rules_for_feed_forward_networks_refuse_it(self, name):
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", name)
        reason = rule.refusal(network, CROSS_ENTROPY)
        assert (reason is None) == ("settling" in rule.dynamics)
        assert reason is None or name not in SETTLING
        if reason is not None:
            assert "hopfield is settling" in reason
            with pytest.raises(InputError, match="hopfield is settling"):
                one(rule, network, CROSS_ENTROPY, batch)

    def test_backprop_is_its_gradient(self):
        network, batch = cell("hopfield", [5, 6, 4, 3])
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(bench.make("rule", "backprop"), network, CROSS_ENTROPY, batch), exact, 0)

    def test_weight_perturbation_is_right_on_it(self, record_figure):
        """One draw is the directional derivative along its noise, to second order in sigma."""
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", "weight_perturbation", sigma=1e-3)
        drawn = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=2)
        keys = np.zeros(1, dtype=np.uint64)
        noise = Noise(0, np.arange(2), keys, np.dtype(float)).parameters(network.parameters)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        along = sum((noise[name] * exact[name]).reshape(2, -1).sum(axis=1) for name in noise)
        expected = along[:, None] * noise["layer1.bias"]
        error = np.abs(drawn["layer1.bias"] - expected).max() / np.abs(expected).max()
        record_figure("weight perturbation in a settling network", error, 1e-5)
        assert error < 1e-5

    @pytest.mark.parametrize("rule", ["backprop", "equilibrium_propagation"])
    def test_it_learns_digits(self, rule, record_figure):
        network = bench.make("architecture", "hopfield", sizes=[64, 32, 10], seed=0)
        found = bench.train(
            bench.make("rule", rule),
            bench.make("task", "digits"),
            network,
            CROSS_ENTROPY,
            steps=80,
            learning_rate=0.3,
            evaluate_every=80,
        )
        losses = [row["value"] for row in found.rows if row["quantity"] == "test_loss"]
        record_figure(
            f"hopfield, digits, loss after 80 steps of {rule}", losses[-1], 0.7 * losses[0]
        )
        assert losses[-1] < 0.7 * losses[0]


class TestEquilibriumPropagation:
    @settings(max_examples=12)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from(["one_sided", "symmetric", "random_sign"]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, variant, seed):
        network, batch = cell(
            "hopfield", sizes, seed, 2, activation=activation, output=output, scale=0.4
        )
        rule = bench.make("rule", "equilibrium_propagation", variant=variant)
        drawn = bench.estimates(rule, network, bench.make("objective", objective), batch, samples=4)
        plus, minus = (
            naive_energy.equilibrium_propagation(network, objective, batch, nudging)
            for nudging in (0.1, -0.1)
        )
        half = {name: (plus[name] + minus[name]) / 2 for name in plus}
        if variant == "random_sign":
            noise = Noise(0, np.arange(4), batch.keys, np.dtype(float))
            signs = noise.parameters({"nudging": np.zeros(1)}, "rademacher")["nudging"][:, 0]
        for k in range(4):
            found = {name: array[k] for name, array in drawn.items()}
            wanted = {"one_sided": plus, "symmetric": half}.get(variant)
            if wanted is None:
                wanted = plus if signs[k] > 0 else minus
            assert_close(found, wanted, relative=1e-7)

    def test_strong_nudging_settles(self):
        """Scellier & Bengio nudge with 1; a naive step of the output would overshoot."""
        network, batch = cell("hopfield", [5, 4, 3])
        goal = bench.make("objective", "mean_squared_error")
        rule = bench.make("rule", "equilibrium_propagation", variant="one_sided", nudging=2.0)
        found = one(rule, network, goal, batch)
        assert all(np.isfinite(array).all() for array in found.values())

    def test_random_sign_has_the_closed_form(self):
        network, batch = cell("hopfield", [5, 4, 3])
        rule = bench.make("rule", "equilibrium_propagation", variant="random_sign", nudging=0.5)
        exact = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
        drawn = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=400, method="sampled")
        # The share of positive signs has a standard deviation of 1/40 of its range.
        assert drawn.value("variance") == pytest.approx(exact.value("variance"), rel=0.05)

    def test_it_needs_a_network_that_settles(self):
        rule = bench.make("rule", "equilibrium_propagation")
        network, batch = cell("mlp", [5, 4, 3])
        with pytest.raises(InputError, match="for settling networks; mlp is feedforward"):
            one(rule, network, CROSS_ENTROPY, batch)

    @pytest.mark.parametrize(
        "options", [{"variant": "both"}, {"nudging": 0}, {"variant": "symmetric", "nudging": 1}]
    )
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            bench.make("rule", "equilibrium_propagation", **options)


class TestContrastiveHebbian:
    @settings(max_examples=12)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["sigmoid", "tanh", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, seed):
        network, batch = cell(
            "mlp", sizes, seed, 2, activation=activation, output=output, scale=0.5
        )
        rule = bench.make("rule", "contrastive_hebbian", feedback=0.2)
        twin = naive_energy.contrastive_hebbian(network, objective, batch, 0.2)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch), twin, relative=1e-7)

    @pytest.mark.parametrize("feedback", [0, 1.5])
    def test_options_are_refused(self, feedback):
        with pytest.raises(InputError, match="feedback"):
            bench.make("rule", "contrastive_hebbian", feedback=feedback)


class TestTargets:
    @settings(max_examples=20)
    @given(
        st.booleans(),
        st.lists(st.integers(1, 6), min_size=2, max_size=4),
        st.sampled_from(["identity", "tanh", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, corrected, sizes, activation, objective, seed):
        network, batch = cell("mlp", sizes, seed, activation=activation, output="sigmoid")
        name = "difference_target_propagation" if corrected else "target_propagation"
        rule = bench.make("rule", name, target_step=0.3)
        state = rule.initial_state(network, seed)
        twin = naive_energy.target_propagation(network, objective, batch, state, 0.3, corrected)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch, state=state), twin)

    def learned(self, rule, network, batch, state, steps):
        for number in range(steps):
            clean = network.forward(batch.inputs)
            noise = Noise(0, np.array([number]), batch.keys, network.dtype)
            step = Step(network, CROSS_ENTROPY, batch, clean, {}, 0.0, noise)
            state = rule.advance(state, step)
        return state

    def test_feedback_descends_the_error_of_reconstruction(self):
        network, batch = cell("mlp", [5, 4, 3, 2])
        rule = bench.make("rule", "target_propagation", feedback_rate=0.1, noise=0.2)
        state = rule.initial_state(network, 3)
        found = self.learned(rule, network, batch, state, 1)
        clean = network.forward(batch.inputs)
        noise = Noise(0, np.array([0]), batch.keys, network.dtype)
        disturbed = {}
        for k in (1, 2):
            name = f"layer{k}"
            drawn = noise.examples({f"{name}.reconstruction": clean.activity[name]})
            disturbed[k] = clean.activity[name] + 0.2 * drawn[f"{name}.reconstruction"][0]
        for k in (1, 2):
            weights, bias, _ = naive.layers(network)[k]
            above = (
                np.tanh(disturbed[k] @ weights.T + bias)
                if k == 1
                else (disturbed[k] @ weights.T + bias)
            )
            share = 0.1 / ((above**2).sum() + batch.size)
            for name in (f"layer{k + 1}.weights", f"layer{k}.feedback_bias"):
                slope = np.empty_like(state[name])
                for index in np.ndindex(slope.shape):
                    errors = []
                    for h in (1e-5, -1e-5):
                        moved = {key: array.copy() for key, array in state.items()}
                        moved[name][index] += h
                        errors.append(naive_energy.reconstruction_error(network, moved, disturbed))
                    slope[index] = (errors[0] - errors[1]) / 2e-5
                np.testing.assert_allclose(
                    found[name], state[name] - share * slope, rtol=1e-7, atol=1e-9
                )

    def test_feedback_learns_the_inverse_of_linear_layers(self, record_figure):
        network, _ = cell("linear", [4, 4, 4], seed=5)
        weights = {name: np.linalg.qr(array)[0] for name, array in network.parameters.items()}
        network = network.with_parameters(weights)
        generator = np.random.default_rng(0)
        batch = bench.Batch(generator.standard_normal((30, 4)), generator.integers(0, 4, 30))
        rule = bench.make("rule", "difference_target_propagation", feedback_rate=1.0, noise=0.5)
        state = self.learned(rule, network, batch, rule.initial_state(network, 0), 400)
        identity = state["layer2.weights"] @ weights["layer2.weights"]
        apart = np.abs(identity - np.eye(4)).max()
        record_figure("learned path back against the inverse", apart, 1e-3)
        assert apart < 1e-3

    @pytest.mark.parametrize("options", [{"target_step": 0}, {"feedback_rate": -1}, {"noise": -1}])
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            bench.make("rule", "target_propagation", **options)


class TestDeepFeedbackControl:
    @settings(max_examples=20)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid"]),
        st.sampled_from(["drive", "activity"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, compared, objective, seed):
        network, batch = cell("mlp", sizes, seed, activation=activation)
        rule = bench.make("rule", "deep_feedback_control", compared=compared, leak=0.5)
        state = rule.initial_state(network, seed)
        twin = naive_energy.deep_feedback_control(
            network, objective, batch, state, 0.078, 0.5, compared
        )
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch, state=state), twin, relative=1e-6)

    def test_product_is_the_jacobian_of_a_linear_network(self):
        """And so the rule is backpropagation there, up to the leak."""
        network, batch = cell("linear", [5, 4, 4, 3])
        rule = bench.make("rule", "deep_feedback_control", leak=1e9)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(rule, network, CROSS_ENTROPY, batch), exact, relative=1e-6)

    def test_feedback_follows_the_weights(self):
        network, batch = cell("mlp", [5, 4, 3])
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, network.dtype)
        clean = network.forward(batch.inputs)
        moved = network.with_parameters({n: 2 * a for n, a in network.parameters.items()})
        step = Step(moved, CROSS_ENTROPY, batch, clean, {}, 0.0, noise)
        for feedback, follows in (("product", True), ("random", False)):
            rule = bench.make("rule", "deep_feedback_control", feedback=feedback)
            state = rule.initial_state(network, 0)
            after = rule.advance(state, step)
            assert np.array_equal(after["layer1"], (2 if follows else 1) * state["layer1"])

    @pytest.mark.parametrize(
        "options", [{"leak": 0}, {"target_step": 0}, {"compared": "rate"}, {"feedback": "learned"}]
    )
    def test_options_are_refused(self, options):
        with pytest.raises(InputError):
            bench.make("rule", "deep_feedback_control", **options)


class TestFixedPoint:
    @given(st.integers(1, 4), st.integers(1, 3), st.floats(0.1, 3), st.integers(0, 99))
    @settings(max_examples=25)
    def test_of_a_linear_map_solves_its_equations(self, rows, size, strength, seed):
        """Also where plain turns would run away, in as many dimensions as turns are combined."""
        random = np.random.default_rng(seed)
        matrix = np.linalg.qr(random.standard_normal((size, size)))[0]
        matrix *= -strength * random.uniform(0.1, 1, size)
        assume(np.linalg.cond(np.eye(size) - matrix) < 100)
        shift = random.standard_normal((rows, size))
        found = fixed_point(lambda x: x @ matrix.T + shift, np.zeros((rows, size)), 1e-11, 200)
        exact = np.linalg.solve(np.eye(size) - matrix, shift.T).T
        np.testing.assert_allclose(found, exact, rtol=1e-7, atol=1e-8)

    def test_rows_do_not_see_each_other(self):
        start = np.array([[0.1, 0.4], [0.9, 0.2], [0.0, 3.0]])
        together = fixed_point(np.cos, start, 1e-13, 200)
        alone = np.concatenate([fixed_point(np.cos, row[None], 1e-13, 200) for row in start])
        np.testing.assert_allclose(together, alone, rtol=1e-12)
        np.testing.assert_allclose(together, 0.7390851332151607, rtol=1e-12)

    def test_says_when_there_is_none(self):
        assert fixed_point(lambda x: x + 1, np.zeros((2, 3)), 1e-11, 50) is None
        with np.errstate(over="ignore"):
            assert fixed_point(lambda x: np.exp(x) + 1, np.zeros((1, 1)), 1e-11, 50) is None

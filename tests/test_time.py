"""Networks in time and the rules that assign credit through it (theory, conformance)."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import claims
import naive_time
from plausibench import bench
from plausibench.architectures.integrate_and_fire import IntegrateAndFire, Surrogate
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.suite import checks
from plausibench.bench.report.table import comparison
from plausibench.bench.studies.benchmark.study import frame_of
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from sweeps import TINY, run

RULES = [
    ("backprop", {}),
    ("backpropagation_through_time", {}),
    ("real_time_recurrent_learning", {}),
    ("rflo", {}),
    ("rflo", {"feedback": "adaptive"}),
    ("e_prop", {}),
    ("e_prop", {"feedback": "random"}),
    ("random_feedback_through_time", {}),
    ("uoro", {}),
    ("weight_perturbation", {}),
    ("node_perturbation", {}),
    ("node_perturbation", {"noise": "rademacher", "antithetic": False}),
    ("three_factor", {"delay": 2, "decay": 1.0}),
    ("forward_gradient", {}),
    ("forward_gradient", {"perturbing": "activity"}),
    ("surrogate_gradient", {}),
]


def rate_rnn(sizes=(3, 5, 2), seed=0, **options):
    network = bench.make("architecture", "rate_rnn", sizes=sizes, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * random.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def sequences(network, examples=4, steps=6, seed=0, targets="trial", masked=False):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((examples, steps, network.inputs))
    outputs = network.output.size
    wanted = {
        "trial": random.integers(0, outputs, examples),
        "classes": random.integers(0, outputs, (examples, steps)),
        "values": random.standard_normal((examples, steps, outputs)),
        "value": random.standard_normal((examples, outputs)),
    }[targets]
    mask = random.uniform(0, 1, (examples, steps)).round(2) if masked else None
    return bench.Batch(inputs, wanted, random.permutation(examples), mask)


def spiking_rnn(sizes=(4, 6, 2), seed=0, **options):
    return bench.make("architecture", "spiking_rnn", sizes=sizes, seed=seed, **options)


NETWORKS = [
    rate_rnn(),
    rate_rnn((3, 4, 2), activation="softplus", leaking="potential", leak=0.3, readout=0.4),
    rate_rnn((2, 4, 3, 2), activation="sigmoid", initial="orthogonal", bias=False),
    spiking_rnn(),
    spiking_rnn((4, 5, 4, 2), filtering="double", adaptation=0.3, detach_reset=True, bias=True),
    spiking_rnn(filtering="double_continuous", surrogate="triangle", sharpness=1, height=0.3),
]


class TestTheory:
    @pytest.mark.parametrize(("name", "options"), RULES)
    @pytest.mark.parametrize(
        "network", NETWORKS, ids=["rate", "potential", "deep", "single", "double", "continuous"]
    )
    def test_claims(self, name, options, network, record_figure):
        rule = bench.make("rule", name, **options)
        objective = "cross_entropy"
        if rule.refusal(network, bench.make("objective", objective)):
            pytest.skip("not for this network")
        # Without a time axis too: quadratic losses are claimed of a plain perceptron.
        random = np.random.default_rng(1)
        plain = bench.Batch(
            random.standard_normal((4, network.inputs)),
            random.integers(0, network.output.size, 4),
        )
        for batch in (plain, sequences(network, steps=6 if network.steps == 5 else 30)):
            at = claims.situation(rule, network, batch, objective)
            for claim in rule.theory():
                with suppress(InputError):  # it does not apply there
                    claims.check(claim, at, record_figure)


class TestConformance:
    @pytest.mark.parametrize(
        ("rule", "check"),
        [
            pytest.param(rule, name, id=f"{rule[0]}-{'-'.join(map(str, rule[1].values()))}-{name}")
            for rule in RULES
            for name, _ in checks(bench.make("rule", rule[0], **rule[1]))
        ],
    )
    def test_suite(self, rule, check):
        name, options = rule
        network = rate_rnn((6, 5, 3), steps=3)
        random = np.random.default_rng(0)
        batch = bench.Batch(
            random.standard_normal((8, 6)), random.integers(0, 3, 8), random.permutation(50)[:8]
        )
        made, objective = (
            bench.make("rule", name, **options),
            bench.make("objective", "cross_entropy"),
        )
        # Surrogates are checked on Bernoulli units, where spikes are random.
        plain = made.refusal(network, objective) is not None
        case = None if plain else Case(network, objective, batch)
        dict(checks(made, case))[check]()


OBJECTIVE = bench.make("objective", "mean_squared_error")


def arrays(network):
    names = ("layer1.weights", "layer1.recurrent", "layer1.bias", "layer2.weights", "layer2.bias")
    return [network.parameters[name] for name in names]


def by_trial(network, batch):
    """Errors of every step (B, T, N), divided by the batch size."""
    clean = network.forward(batch.inputs)
    error = OBJECTIVE.batch_error(clean.output, batch)
    return error.reshape(-1, batch.size, error.shape[-1]).swapaxes(0, 1)


def summed(network, batch, twin):
    """Sum of a twin's estimates over trials, by parameter of the recurrent layer."""
    errors = by_trial(network, batch)
    each = [twin(x, e, b) for b, (x, e) in enumerate(zip(batch.inputs, errors, strict=True))]
    names = ("layer1.weights", "layer1.recurrent", "layer1.bias")
    return {name: sum(parts) for name, parts in zip(names, zip(*each, strict=True), strict=False)}


def agree(rule, network, batch, expected, state=None):
    drawn = bench.estimates(rule, network, OBJECTIVE, batch, samples=1, state=state)
    for name, array in expected.items():
        np.testing.assert_allclose(drawn[name][0], array, rtol=1e-10, atol=1e-13)


cells = given(
    neurons=st.integers(1, 5),
    steps=st.integers(1, 7),
    examples=st.integers(1, 3),
    leak=st.sampled_from([0.2, 0.5, 1.0]),
    activation=st.sampled_from(["tanh", "softplus"]),
    targets=st.sampled_from(["value", "values"]),
    masked=st.booleans(),
    seed=st.integers(0, 5),
)


def cell(neurons, steps, examples, leak, activation, targets, masked, seed):
    network = rate_rnn((2, neurons, 2), seed, leak=leak, activation=activation)
    batch = sequences(network, examples, steps, seed, targets)
    if masked:
        mask = np.random.default_rng(seed).uniform(0.1, 1, (examples, steps))
        batch = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
    return network, batch


class TestTwins:
    @cells
    @settings(max_examples=20, deadline=None)
    def test_forward_and_loss(self, **drawn):
        network, batch = cell(**drawn)
        k, activation = drawn["leak"], drawn["activation"]
        outputs = np.array(
            [naive_time.rate_trial(arrays(network), x, k, activation)[2] for x in batch.inputs]
        )
        steps = batch.inputs.shape[1]
        found = network.forward(batch.inputs).output.reshape(steps, batch.size, 2).swapaxes(0, 1)
        np.testing.assert_allclose(found, outputs, rtol=1e-12, atol=1e-14)
        timed = batch.targets.ndim == 3
        losses = []
        for b in range(batch.size):
            wanted = batch.targets[b] if timed else [batch.targets[b]] * steps
            each = [0.5 * ((y - z) ** 2).sum() for y, z in zip(outputs[b], wanted, strict=True)]
            if batch.mask is not None:
                losses.append(np.average(each, weights=batch.mask[b]))
            else:
                losses.append(np.mean(each) if timed else each[-1])
        assert bench.loss(network, OBJECTIVE, batch) == pytest.approx(np.mean(losses), rel=1e-12)

    @cells
    @settings(max_examples=10, deadline=None)
    def test_leaking_potentials(self, **drawn):
        _, batch = cell(**drawn)
        options = {"leak": drawn["leak"], "leaking": "potential"}
        other = rate_rnn(
            (2, drawn["neurons"], 2), drawn["seed"], activation=drawn["activation"], **options
        )
        for b, x in enumerate(batch.inputs):
            expected = naive_time.potential_trial(
                arrays(other), x, drawn["leak"], drawn["activation"]
            )
            found = other.forward(batch.inputs).output[b :: batch.size]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)

    @cells
    @settings(max_examples=20, deadline=None)
    def test_influences(self, **drawn):
        """Real-time recurrent learning forwards, and backpropagation through time."""
        network, batch = cell(**drawn)

        def twin(x, errors, _):
            return naive_time.real_time(
                arrays(network), x, errors, drawn["leak"], drawn["activation"]
            )

        expected = summed(network, batch, twin)
        for name in ("real_time_recurrent_learning", "backpropagation_through_time"):
            agree(bench.make("rule", name), network, batch, expected)

    @cells
    @settings(max_examples=10, deadline=None)
    def test_total_derivative_times_own_trace_is_the_gradient(self, **drawn):
        network, batch = cell(**drawn)

        def twin(x, errors, _):
            k, activation = drawn["leak"], drawn["activation"]
            g = naive_time.total_factorisation(arrays(network), x, errors, k, activation)
            return (0, g, 0)

        expected = summed(network, batch, twin)["layer1.recurrent"]
        found = bench.gradient(network, OBJECTIVE, batch)["layer1.recurrent"]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)

    @pytest.mark.parametrize("rule", ["rflo", "e_prop"])
    @pytest.mark.parametrize("feedback", ["random", "symmetric", "adaptive"])
    @cells
    @settings(max_examples=8, deadline=None)
    def test_online_traces(self, rule, feedback, **drawn):
        network, batch = cell(**drawn)
        made = bench.make("rule", rule, feedback=feedback)
        state = bench.initial_state(made, network, 3)
        assert set(state) == (set() if feedback == "symmetric" else {"layer2.weights"})
        matrix = state.get("layer2.weights", network.parameters["layer2.weights"].T)

        def twin(x, errors, _):
            k, activation = drawn["leak"], drawn["activation"]
            own = rule == "e_prop"
            return naive_time.traced(arrays(network), x, errors, matrix, k, activation, own)

        agree(made, network, batch, summed(network, batch, twin), state)

    @cells
    @settings(max_examples=15, deadline=None)
    def test_uoro(self, **drawn):
        network, batch = cell(**drawn)
        made = bench.make("rule", "uoro")
        clean = network.forward(batch.inputs)
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        signs = noise.examples({"layer1": clean.drive["layer1"]}, "rademacher")["layer1"][0]

        def twin(x, errors, b):
            k, activation = drawn["leak"], drawn["activation"]
            own = signs[b :: batch.size]
            return naive_time.uoro(arrays(network), x, errors, own, k, activation, made.epsilon)

        agree(made, network, batch, summed(network, batch, twin))

    @pytest.mark.parametrize(
        ("delay", "decay", "baseline"),
        [(0, 1.0, "clean"), (2, 0.7, "clean"), (9, 0.4, "clean"), (1, 0.9, "running")],
    )
    @cells
    @settings(max_examples=8, deadline=None)
    def test_three_factor(self, delay, decay, baseline, **drawn):
        network, batch = cell(**drawn)
        rule = bench.make(
            "rule", "three_factor", sigma=0.1, delay=delay, decay=decay, baseline=baseline
        )
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        xi = noise.examples(network.forward(batch.inputs).drive)
        state = {"baseline": np.array([0.7])} if baseline == "running" else {}
        found = bench.estimates(rule, network, OBJECTIVE, batch, samples=1, state=state)
        steps, total = batch.inputs.shape[1], [0.0] * 5
        timed = batch.targets.ndim == 3
        for b, x in enumerate(batch.inputs):
            wanted = batch.targets[b] if timed else [batch.targets[b]] * steps
            counts = np.full(steps, 1 / steps) if timed else np.eye(steps)[-1]
            if batch.mask is not None:
                counts = batch.mask[b] / batch.mask[b].sum()
            own = [xi[name][0, b :: batch.size] for name in ("layer1", "layer2")]
            k, activation = drawn["leak"], drawn["activation"]
            given = (arrays(network), x, wanted, counts, own, k, activation, rule)
            one = naive_time.three_factor(*given, state["baseline"][0] if state else None)
            total = [t + g / batch.size for t, g in zip(total, one, strict=True)]
        names = ("layer1.weights", "layer1.recurrent", "layer1.bias", "layer2.weights")
        for name, g in zip((*names, "layer2.bias"), total, strict=True):
            scale = max(abs(g).max(), 1e-9)
            np.testing.assert_allclose(found[name][0], g, rtol=1e-8, atol=1e-8 * scale)

    @pytest.mark.parametrize("filtering", ["single", "double", "double_continuous"])
    @pytest.mark.parametrize("refractory", [0, 5])
    @pytest.mark.parametrize("adaptation", [0.0, 0.4])
    def test_spikes(self, filtering, refractory, adaptation):
        network = spiking_rnn(
            (3, 7, 2), filtering=filtering, refractory=refractory, adaptation=adaptation
        )
        random = np.random.default_rng(1)
        inputs = random.standard_normal((2, 500, 3)) + 0.5
        course = network.forward(inputs)
        weights = [network.parameters[f"layer1.{name}"] for name in ("weights", "recurrent")]
        for b, x in enumerate(inputs):
            spikes, filtered, *_ = naive_time.spiking_trial(
                *weights, x, filtering, refractory, adaptation
            )
            assert spikes.sum() > 50
            np.testing.assert_array_equal(course.traces["layer1"]["spikes"][b::2], spikes)
            np.testing.assert_allclose(
                course.activity["layer1"][b::2], filtered, rtol=1e-12, atol=1e-14
            )

    @pytest.mark.parametrize("filtering", ["single", "double", "double_continuous"])
    @pytest.mark.parametrize("detach", [False, True])
    @pytest.mark.parametrize("shape", ["fast_sigmoid", "triangle", "sigmoid"])
    def test_spiking_traces(self, filtering, detach, shape):
        """e-prop with the reset in the trace, or detached, from forward traces."""
        options = {"surrogate": shape, "sharpness": 2.0, "height": 0.5, "adaptation": 0.2}
        network = spiking_rnn((3, 4, 2), filtering=filtering, detach_reset=detach, **options)
        # No synapses of a neuron onto itself, which the trace would hold.
        recurrent = network.parameters["layer1.recurrent"] * (1 - np.eye(4))
        network = network.with_parameters({**network.parameters, "layer1.recurrent": recurrent})
        batch = sequences(network, 2, 40, 1, "values")
        batch = bench.Batch(batch.inputs + 0.5, batch.targets)
        assert network.forward(batch.inputs).traces["layer1"]["spikes"].sum() > 3
        pseudo = Surrogate(shape, 2.0, 0.5)
        w_in, w_out = (network.parameters[f"layer{n}.weights"] for n in (1, 2))

        def twin(x, errors, _):
            return naive_time.spiking_traces(
                w_in, recurrent, w_out, x, errors, filtering, 5, 0.2, pseudo, detach
            )

        agree(bench.make("rule", "e_prop"), network, batch, summed(network, batch, twin))


class TestNeurons:
    @pytest.mark.parametrize(
        ("filtering", "gain"), [("single", 1.034), ("double", 1.582), ("double_continuous", 1.635)]
    )
    def test_gain_of_the_filters(self, filtering, gain):
        """Filtered activity per spike and step in a steady state (Lin & Huang 2023)."""
        neurons = IntegrateAndFire(filtering=filtering)
        _, _, a_r, of_spike, a_d, of_filter, *_ = neurons.factors
        assert of_spike / (1 - a_r) * of_filter / (1 - a_d) == pytest.approx(gain, abs=5e-4)

    def test_spikes_are_six_steps_apart_at_least(self):
        network = spiking_rnn((1, 1, 1), recurrence=0)
        network = network.with_parameters(
            {name: np.full_like(array, 100.0) for name, array in network.parameters.items()}
        )
        network.parameters["layer1.recurrent"][:] = 0
        spikes = network.forward(np.ones((1, 100, 1))).traces["layer1"]["spikes"][:, 0]
        assert set(np.diff(np.flatnonzero(spikes))) == {6}

    def test_no_input_no_spikes(self):
        assert not spiking_rnn().forward(np.zeros((2, 50, 4))).traces["layer1"]["spikes"].any()

    def test_surrogates(self):
        away = np.array([0.0, 0.04, -0.04, 1.0])
        fast = Surrogate("fast_sigmoid", 25.0)(away)
        np.testing.assert_allclose(fast, [1, 0.25, 0.25, 1 / 676])
        np.testing.assert_allclose(Surrogate("triangle", 1.0, 0.3)(away), [0.3, 0.288, 0.288, 0])
        logistic = 1 / (1 + np.exp(-4 * away))
        expected = 4 * logistic * (1 - logistic)
        np.testing.assert_allclose(Surrogate("sigmoid", 4.0, 1.0)(away), expected)

    @pytest.mark.parametrize("shape", ["fast_sigmoid", "triangle", "sigmoid"])
    def test_a_rule_with_another_slope_is_the_gradient_of_neurons_with_it(self, shape):
        slope = {"sharpness": 2.0, "height": 0.5}
        network, other = spiking_rnn(), spiking_rnn(surrogate=shape, **slope)
        batch = sequences(network, steps=30)
        rule = bench.make("rule", "surrogate_gradient", shape=shape, **slope)
        found = bench.estimates(rule, network, OBJECTIVE, batch, samples=1)
        own = bench.gradient(network, OBJECTIVE, batch)["layer1.weights"]
        for name, array in bench.gradient(other, OBJECTIVE, batch).items():
            np.testing.assert_array_equal(found[name][0], array)
        assert np.linalg.norm(found["layer1.weights"][0] - own) > 0.1 * np.linalg.norm(own)

    @pytest.mark.parametrize("network", NETWORKS, ids=range(len(NETWORKS)))
    def test_tangent_and_adjoint_agree(self, network):
        """<e, J xi> = <J^T e, xi>, through time, for drives and parameters."""
        batch = sequences(network, 3, 25)
        clean, random = network.forward(batch.inputs), np.random.default_rng(2)
        error = random.standard_normal(clean.output.shape)
        drive = {name: random.standard_normal(a.shape) for name, a in clean.drive.items()}
        moved = {n: random.standard_normal(a.shape) for n, a in network.parameters.items()}
        change = network.tangent(clean, drive=drive, parameters=moved).output
        signals, pulled = (
            network.credit(clean, {network.output.name: error}),
            network.pull(clean, error),
        )
        back = sum((signals[name] * drive[name]).sum() for name in drive)
        back += sum((pulled[name] * moved[name]).sum() for name in moved)
        assert (error * change).sum() == pytest.approx(back, rel=1e-11)

    @pytest.mark.parametrize("detach", [False, True])
    def test_automatic_differentiation_agrees(self, detach):
        """PyTorch with the pseudo-derivative in place of that of the step, 5 steps, 4 neurons."""
        torch = pytest.importorskip("torch")

        class Spike(torch.autograd.Function):
            @staticmethod
            def forward(context, away):
                context.save_for_backward(away)
                return (away > 0).double()

            @staticmethod
            def backward(context, signal):
                return signal / (1 + 2.0 * context.saved_tensors[0].abs()) ** 2

        network = spiking_rnn(
            (3, 4, 2), refractory=1, sharpness=2.0, adaptation=0.2, detach_reset=detach
        )
        inputs = 9 * np.random.default_rng(3).standard_normal((2, 5, 3))
        batch = bench.Batch(inputs, np.random.default_rng(4).standard_normal((2, 5, 2)))
        weights = {
            name: torch.tensor(array, requires_grad=True)
            for name, array in network.parameters.items()
        }
        w_in, w_rec, w_out = weights.values()
        a_s, a_m, _, _, a_d, gain, a_a, beta, _ = map(float, network.populations[0].neurons.factors)
        current, potential, spike, r, adapted = (torch.zeros(2, 4).double() for _ in range(5))
        since, loss, spikes = torch.full((2, 4), 9), 0.0, 0.0
        for t in range(5):
            current = a_s * current + torch.tensor(inputs[:, t]) @ w_in.T + r @ w_rec.T
            gate = (since >= 1).double()
            kept = 1 - (spike.detach() if detach else spike)
            potential = gate * (a_m * potential + (1 - a_m) * current) * kept
            r, adapted = a_d * r + gain * spike, a_a * adapted + spike
            spike = Spike.apply(potential - 1 - beta * adapted)
            since = torch.where(spike > 0, 0, since + 1)
            spikes += spike.detach().sum()
            loss = loss + ((r @ w_out.T - torch.tensor(batch.targets[:, t])) ** 2).sum() / 2
        (loss / 10).backward()
        assert spikes > 3
        for name, found in network.gradient(OBJECTIVE, batch).items():
            np.testing.assert_allclose(found, weights[name].grad, rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("network", NETWORKS, ids=range(len(NETWORKS)))
    def test_later_inputs_do_not_act_backwards(self, network):
        batch = sequences(network, 2, 30)
        cut = batch.inputs.copy()
        cut[:, 20:] += 1
        one, two = (network.forward(inputs).output[: 20 * 2] for inputs in (batch.inputs, cut))
        np.testing.assert_array_equal(one, two)

    def test_permuted_neurons(self):
        for network in (rate_rnn(), spiking_rnn((3, 5, 2))):
            order = np.random.default_rng(0).permutation(5)
            own = network.parameters
            moved = {**own, "layer1.weights": own["layer1.weights"][order]}
            moved["layer1.recurrent"] = own["layer1.recurrent"][np.ix_(order, order)]
            moved["layer2.weights"] = own["layer2.weights"][:, order]
            if "layer1.bias" in own:
                moved["layer1.bias"] = own["layer1.bias"][order]
            batch = sequences(network, 2, 40)
            one, two = network, network.with_parameters(moved)
            np.testing.assert_allclose(
                one.forward(batch.inputs).output, two.forward(batch.inputs).output, atol=1e-12
            )


class TestLoss:
    def test_static_inputs_are_shown_for_some_steps(self):
        network = rate_rnn(steps=4)
        static = bench.Batch(np.random.default_rng(0).standard_normal((3, 3)), np.array([0, 1, 1]))
        shown = bench.Batch(np.repeat(static.inputs[:, None], 4, axis=1), static.targets)
        one, two = (bench.gradient(network, OBJECTIVE, batch) for batch in (static, shown))
        for name, array in one.items():
            np.testing.assert_array_equal(array, two[name])

    def test_a_mask_of_one_step_is_that_step(self):
        network = rate_rnn()
        batch = sequences(network, targets="classes")
        mask = np.zeros((4, 6))
        mask[:, 2] = 3.0
        masked = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
        until = bench.Batch(batch.inputs[:, :3], batch.targets[:, 2], batch.keys)
        goal = bench.make("objective", "cross_entropy")
        assert bench.loss(network, goal, masked) == pytest.approx(bench.loss(network, goal, until))

    def test_variance_of_perturbation_is_that_of_the_law(self, record_figure):
        network = rate_rnn((2, 3, 2))
        batch = sequences(network, 2, 8)
        goal = bench.make("objective", "cross_entropy")
        for name in ("node_perturbation", "weight_perturbation"):
            for law in ("gaussian", "rademacher"):
                rule = bench.make("rule", name, noise=law)
                cell = (rule, network, goal, batch)
                found = bench.measure(*cell, samples=20000).value("absolute_variance")
                exact = bench.measure(*cell, method="exact").value("absolute_variance")
                record_figure(f"{name} in time, {law}: variance over law", found / exact, 1.0)
                assert found / exact == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize(
        ("delay", "decay", "noise"),
        [(0, 0.6, "gaussian"), (2, 0.7, "rademacher"), (9, 1.0, "gaussian")],
    )
    @pytest.mark.parametrize("targets", ["values", "trial"])
    def test_three_factor_has_its_mean_and_variance(
        self, targets, delay, decay, noise, record_figure
    ):
        network = rate_rnn((2, 3, 2))
        batch = sequences(network, 2, 6, targets=targets)
        goal = bench.make(
            "objective", "cross_entropy" if targets == "trial" else "mean_squared_error"
        )
        options = {"delay": delay, "decay": decay, "noise": noise}
        rule = bench.make("rule", "three_factor", **options)
        draws = bench.estimates(rule, network, goal, batch, samples=20_000)
        clean = network.forward(batch.inputs)
        law = rule.closed_form(network, goal, batch, clean, frozenset({"rule"}))
        for name, array in draws.items():
            ratio = array.var(axis=0, ddof=1).sum() / law.variance[name]
            record_figure(
                f"three_factor in time, {targets}, {options}: variance of {name}", ratio, 1
            )
            assert ratio == pytest.approx(1, abs=0.05)
            # Squared deviation of the mean, in units of what the noise leaves.
            off = ((array.mean(axis=0) - law.mean[name]) ** 2).sum()
            assert off < 4 * law.variance[name] / len(array)

    def test_a_decaying_trace_discounts_what_comes_later(self):
        """The mean of three-factor learning is the gradient, each step ahead gamma times."""
        network = rate_rnn((2, 3, 2))
        batch, gamma = sequences(network, 2, 6, targets="values"), 0.6
        clean = network.forward(batch.inputs)
        error = OBJECTIVE.batch_error(clean.output, batch)
        expected = dict.fromkeys(network.parameters, 0.0)
        for t in range(6):
            alone = np.where(np.arange(12)[:, None] // 2 == t, error, 0)
            signals = network.credit(clean, {"layer2": alone})
            ahead = gamma ** np.maximum(t - np.arange(12)[:, None] // 2, 0)
            for p in network.projections:
                post = ahead * signals[p.target]
                expected[p.name] = expected[p.name] + p.synapse.outer(post, clean.presynaptic(p))
        exact = bench.gradient(network, OBJECTIVE, batch)
        for delay in (0, 3):
            rule = bench.make("rule", "three_factor", delay=delay, decay=gamma)
            law = rule.closed_form(network, OBJECTIVE, batch, clean, frozenset({"rule"}))
            for name, mean in law.mean.items():
                np.testing.assert_allclose(mean, expected[name], rtol=1e-10, atol=1e-14)
            whole = bench.make("rule", "three_factor", delay=delay, decay=1.0)
            law = whole.closed_form(network, OBJECTIVE, batch, clean, frozenset({"rule"}))
            for name, mean in law.mean.items():
                np.testing.assert_allclose(mean, exact[name], rtol=1e-10, atol=1e-14)
        assert abs(expected["layer1.recurrent"] - exact["layer1.recurrent"]).max() > 1e-3

    def test_training(self):
        """A recurrent network learns with a rule in time, and accuracy is that of trials."""
        task = bench.make("task", "digits")
        network = bench.make("architecture", "rate_rnn", sizes=[64, 16, 10], steps=3)
        rule = bench.make("rule", "e_prop", feedback="adaptive")
        goal = bench.make("objective", "cross_entropy")
        found = bench.train(rule, task, network, goal, steps=60, evaluate_every=60).frame
        loss = found[found["quantity"] == "train_loss"]["value"].to_numpy()
        assert loss[-1] < 0.9 * loss[0]
        assert 0.2 < found[found["quantity"] == "test_accuracy"]["value"].iloc[-1] <= 1

    def test_adaptive_feedback_follows_the_weights(self):
        network, rule = rate_rnn(), bench.make("rule", "e_prop", feedback="adaptive")
        state = bench.initial_state(rule, network)
        before = {name: array.copy() for name, array in state.items()}
        applied = {name: np.ones_like(array) for name, array in network.parameters.items()}
        batch = sequences(network)
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        clean = network.forward(batch.inputs)
        after = rule.advance(state, Step(network, OBJECTIVE, batch, clean, applied, 0.1, noise))
        np.testing.assert_allclose(after["layer2.weights"], 0.9 * before["layer2.weights"] + 1)
        np.testing.assert_array_equal(state["layer2.weights"], before["layer2.weights"])


class TestRefusals:
    @pytest.mark.parametrize("shape", [(4, 6, 4), (4, 4), (4,), (4, 6, 3, 1)])
    def test_inputs(self, shape):
        with pytest.raises(InputError, match="inputs: shape"):
            rate_rnn().check_inputs(np.zeros(shape))

    def test_an_example_without_a_step(self):
        batch = sequences(rate_rnn())
        mask = np.ones((4, 6))
        mask[1] = 0
        batch = bench.Batch(batch.inputs, batch.targets, batch.keys, mask)
        with pytest.raises(InputError, match="mask: an example has no time step"):
            bench.loss(rate_rnn(), bench.make("objective", "cross_entropy"), batch)

    def test_rules_without_time(self):
        goal = bench.make("objective", "cross_entropy")
        for network in (rate_rnn(), spiking_rnn()):
            reason = bench.make("rule", "feedback_alignment").refusal(network, goal)
            assert "feedforward" in reason
            assert network.architecture in reason
        reason = bench.make("rule", "node_perturbation").refusal(spiking_rnn(), goal)
        assert "spiking" in reason
        reason = bench.make("rule", "e_prop").refusal(
            bench.make("architecture", "mlp", sizes=[2, 3, 2]), goal
        )
        assert "recurrent" in reason
        reason = bench.make("rule", "uoro").refusal(rate_rnn(leaking="potential"), goal)
        assert "leaking rates" in reason

    def test_spikes_that_die_out_or_saturate_are_named(self):
        network = spiking_rnn((4, 6, 2))
        inputs = np.random.default_rng(0).standard_normal((3, 60, 4)) + 0.5
        assert network.forward(inputs).traces["layer1"]["spikes"].any()
        assert network.remarks(inputs) == ()
        inputs[:, 20:] = 0
        faded = network.with_parameters(
            {**network.parameters, "layer1.recurrent": np.zeros((6, 6))}
        )
        (said,) = faded.remarks(inputs)
        assert said == "layer1: no spikes in the second half of any trial"
        for refractory in (0, 1, 5):
            driven = spiking_rnn((4, 6, 2), refractory=refractory)
            loud = {name: np.ones_like(array) for name, array in driven.parameters.items()}
            (said,) = driven.with_parameters(loud).remarks(np.full((3, 120, 4), 50.0))
            assert said == "layer1: spikes at more than 90% of the highest rate"
        assert rate_rnn().remarks(np.zeros((2, 5, 3))) == ()

    @pytest.mark.parametrize(
        ("architecture", "said"),
        [
            (
                "spiking_rnn[steps=2]",
                "done: layer1: no spikes in the second half of any trial (step 0)",
            ),
            ("rate_rnn[activation=relu,recurrence=1e80]", "diverged: "),
        ],
    )
    def test_the_table_names_spikes_that_die_out_and_divergence(self, architecture, said, tmp_path):
        options = {"architectures": (architecture,), "rules": ("e_prop",), "checkpoints": (0,)}
        found = run(replace(TINY, seeds=1, **options), tmp_path / "run")
        status, _, reason = said.partition(": ")
        assert set(found.jobs["status"]) == {status}
        assert all(text.startswith(reason) for text in found.jobs["reason"])
        table = comparison(frame_of(found), found.jobs)
        if status == "done":
            assert set(table.raw["reason"]) == {reason}
            assert "layer1: no spikes" in " ".join(table.render("text", 400).split())
        else:
            assert all("finite" in text for text in found.jobs["reason"])

    def test_unstable_recurrence(self):
        network = rate_rnn((3, 5, 2), activation="relu", recurrence=1e6)
        with pytest.raises(Divergence, match="not finite"), np.errstate(all="ignore"):
            bench.gradient(network, OBJECTIVE, bench.Batch(np.ones((2, 100, 3)), np.zeros(2, int)))

    @pytest.mark.parametrize(
        ("architecture", "options"),
        [
            ("rate_rnn", {"leak": 0}),
            ("rate_rnn", {"leak": 1.1}),
            ("rate_rnn", {"leaking": "all"}),
            ("rate_rnn", {"initial": "ones"}),
            ("rate_rnn", {"steps": 0}),
            ("rate_rnn", {"recurrence": -1}),
            ("rate_rnn", {"readout": 0}),
            ("spiking_rnn", {"filtering": "triple"}),
            ("spiking_rnn", {"refractory": -1}),
            ("spiking_rnn", {"surrogate": "step"}),
            ("spiking_rnn", {"membrane": 0}),
            ("spiking_rnn", {"adaptation": -1}),
        ],
    )
    def test_options(self, architecture, options):
        with pytest.raises(InputError, match=f"{next(iter(options))}: "):
            bench.make("architecture", architecture, sizes=[2, 3, 2], **options)

    def test_rule_options(self):
        for options in ({"feedback": "none"}, {"scale": -1}):
            with pytest.raises(InputError):
                bench.make("rule", "rflo", **options)
        with pytest.raises(InputError):
            bench.make("rule", "uoro", epsilon=0)
        with pytest.raises(InputError):
            bench.make("rule", "surrogate_gradient", shape="step")

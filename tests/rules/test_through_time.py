"""Rules that assign credit through time: twins, laws, claims, conformance, refusals."""

import numpy as np
import pytest
from hypothesis import settings

import naive_time
from plausibench import bench
from plausibench.architectures.integrate_and_fire import Surrogate
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from time_cells import (
    OBJECTIVE,
    agree,
    arrays,
    cell,
    cells,
    rate_rnn,
    sequences,
    spiking_rnn,
    summed,
)


class TestTwins:
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
    @pytest.mark.parametrize("detach", [False, True])
    @pytest.mark.parametrize("reset", ["to_zero", "subtract"])
    @pytest.mark.parametrize("shape", ["fast_sigmoid", "triangle", "sigmoid"])
    def test_spiking_traces(self, filtering, detach, shape, reset):
        """e-prop with the reset in the trace, or detached, from forward traces."""
        options = {"surrogate": shape, "sharpness": 2.0, "height": 0.5, "adaptation": 0.2}
        options |= {"reset": reset, "refractory": 5 if reset == "to_zero" else 0}
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
                *(w_in, recurrent, w_out, x, errors, filtering, options["refractory"]),
                *(0.2, pseudo, detach, reset),
            )

        agree(bench.make("rule", "e_prop"), network, batch, summed(network, batch, twin))


class TestLoss:
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

"""Spiking networks in time: twins, neurons, derivatives, spikes that die out."""

from dataclasses import replace

import numpy as np
import pytest

import naive_time
from plausibench import bench
from plausibench.architectures.integrate_and_fire import IntegrateAndFire, Surrogate
from plausibench.bench.report.table import comparison
from plausibench.bench.studies.benchmark.study import frame_of
from plausibench.kernels.errors import InputError
from sweeps import TINY, run
from time_cells import NETWORKS, OBJECTIVE, rate_rnn, sequences, spiking_rnn


@pytest.mark.parametrize("filtering", ["single", "double", "double_continuous"])
@pytest.mark.parametrize(("refractory", "reset"), [(0, "to_zero"), (5, "to_zero"), (0, "subtract")])
@pytest.mark.parametrize("adaptation", [0.0, 0.4])
def test_twin(filtering, refractory, reset, adaptation):
    network = spiking_rnn(
        (3, 7, 2), filtering=filtering, refractory=refractory, adaptation=adaptation, reset=reset
    )
    random = np.random.default_rng(1)
    inputs = random.standard_normal((2, 500, 3)) + 0.5
    course = network.forward(inputs)
    weights = [network.parameters[f"layer1.{name}"] for name in ("weights", "recurrent")]
    for b, x in enumerate(inputs):
        spikes, filtered, *_ = naive_time.spiking_trial(
            *weights, x, filtering, refractory, adaptation, reset
        )
        assert spikes.sum() > 50
        np.testing.assert_array_equal(course.traces["layer1"]["spikes"][b::2], spikes)
        np.testing.assert_allclose(
            course.activity["layer1"][b::2], filtered, rtol=1e-12, atol=1e-14
        )


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

    def test_what_exceeds_the_threshold_is_left_by_a_subtraction(self):
        """A steady current of 2.3 thresholds makes more spikes than after resets to zero."""
        course = {}
        for reset in ("to_zero", "subtract"):
            neurons = IntegrateAndFire(refractory=0, reset=reset)
            drive = np.full((1, 1), 2.3 * (1 - np.exp(-2 / 10)))
            state = neurons.rest((1, 1), np.dtype(float))
            traces = {name: np.zeros((1, 1)) for name in neurons.traces}
            spikes = []
            for _ in range(4000):
                neurons.step(state, drive, traces)
                spikes.append(traces["spikes"].item())
            course[reset] = np.mean(spikes)
        assert course["subtract"] > 1.02 * course["to_zero"]

    def test_a_subtraction_with_refractory_steps_is_refused(self):
        with pytest.raises(InputError, match="refractory is 5, allowed is 0"):
            spiking_rnn(reset="subtract")

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
    @pytest.mark.parametrize("reset", ["to_zero", "subtract"])
    def test_automatic_differentiation_agrees(self, detach, reset):
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

        soft = reset == "subtract"
        network = spiking_rnn(
            (3, 4, 2),
            refractory=0 if soft else 1,
            reset=reset,
            sharpness=2.0,
            adaptation=0.2,
            detach_reset=detach,
        )
        inputs = 9 * np.random.default_rng(3).standard_normal((2, 5, 3))
        batch = bench.Batch(inputs, np.random.default_rng(4).standard_normal((2, 5, 2)))
        weights = {
            name: torch.tensor(array, requires_grad=True)
            for name, array in network.parameters.items()
        }
        w_in, w_rec, w_out = weights.values()
        a_s, a_m, _, _, a_d, gain, a_a, beta, *_ = map(
            float, network.populations[0].neurons.factors
        )
        current, potential, spike, r, adapted = (torch.zeros(2, 4).double() for _ in range(5))
        since, loss, spikes = torch.full((2, 4), 9), 0.0, 0.0
        for t in range(5):
            current = a_s * current + torch.tensor(inputs[:, t]) @ w_in.T + r @ w_rec.T
            gate = (since >= 1).double()
            before = spike.detach() if detach else spike
            held = a_m * potential + (1 - a_m) * current
            potential = held - before if soft else gate * held * (1 - before)
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


def test_spikes_that_die_out_or_saturate_are_named():
    network = spiking_rnn((4, 6, 2))
    inputs = np.random.default_rng(0).standard_normal((3, 60, 4)) + 0.5
    assert network.forward(inputs).traces["layer1"]["spikes"].any()
    assert network.remarks(inputs) == ()
    inputs[:, 20:] = 0
    faded = network.with_parameters({**network.parameters, "layer1.recurrent": np.zeros((6, 6))})
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
def test_the_table_names_spikes_that_die_out_and_divergence(architecture, said, tmp_path):
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

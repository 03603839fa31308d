"""Regression discontinuity: its twin, its jumps, their bias and variance, conformance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_spikes
from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise
from plausibench.rules.regression_discontinuity import RegressionDiscontinuity, drive_noise
from spiking_cells import CROSS_ENTROPY, SQUARED_ERROR, classes, spiking, trials_of


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.integers(0, 1000),
    st.sampled_from(["local_linear", "local_constant"]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0.2, 1.0]),
)
def test_against_the_naive_twin(sizes, seed, regression, common, window):
    network = spiking(sizes, seed, common=common, bias=seed % 2 > 0)
    rule = RegressionDiscontinuity(20, window, regression)
    batch = classes(network, 2, seed)
    objective = [SQUARED_ERROR, CROSS_ENTROPY][seed % 2]
    ours = bench.estimates(rule, network, objective, batch, samples=2, seed=seed)
    for k in range(2):
        noise = Noise(seed, np.array([k]), batch.keys, np.dtype(float))
        disturbed = {name: a[0] for name, a in drive_noise(network, noise, 20).items()}
        twin = naive_spikes.regression_discontinuity(network, objective, batch, rule, disturbed)
        for name, array in twin.items():
            np.testing.assert_allclose(ours[name][k], array, rtol=1e-7, atol=1e-7)


def jumps(window, regression, unit=0):
    """The fitted jump of one neuron with endlessly many trials."""
    network = spiking([3, 4, 2])
    batch = classes(network, 1)
    return naive_spikes.windowed_jump(network, CROSS_ENTROPY, batch, unit, window, regression)


class TestRegressionDiscontinuity:
    """One hidden layer: the jump is the effect of a spike, its noise shared with the others."""

    def test_jump_times_density_is_the_gradient(self, record_figure):
        network = spiking([3, 4, 2])
        batch = classes(network, 1)
        exact = network.gradient(CROSS_ENTROPY, batch)["layer1.bias"]
        density = network.populations[0].neurons.slope(
            network.forward(batch.inputs).drive["layer1"], None
        )[0]
        for unit in range(4):
            error = jumps(1e-3, "local_linear", unit) * density[unit] / exact[unit] - 1
            record_figure("jump times density over gradient", abs(error), "1e-5")
            assert abs(error) < 1e-5

    @pytest.mark.parametrize(("regression", "power"), [("local_constant", 1), ("local_linear", 2)])
    def test_bias_is_a_power_of_the_window(self, regression, power, record_figure):
        truth = jumps(1e-4, "local_linear")
        bias = [jumps(window, regression) - truth for window in (0.02, 0.01)]
        measured = np.log2(np.abs(bias[0] / bias[1]))
        record_figure(f"{regression}: power of the window", measured, str(power))
        assert abs(measured - power) < 0.05

    @pytest.mark.parametrize("unit", range(4))
    def test_bias_of_means_is_window_times_slope(self, unit, record_figure):
        """p times the slope of E[F | v] beside threshold, averaged over the two sides."""
        network = spiking([3, 4, 2])
        cell = (network, CROSS_ENTROPY, classes(network, 1), unit)
        above, below = naive_spikes.windowed_fits(*cell, 1e-3, "local_linear")
        p = 0.05
        bias = jumps(p, "local_constant", unit) - (above[1] - below[1])
        ratio = bias / (p * (above[0] + below[0]) / 2)
        record_figure("bias of means over window times slope", ratio, "1 within 0.1")
        assert abs(ratio - 1) < 0.1

    @pytest.mark.parametrize("regression", ["local_constant", "local_linear"])
    @pytest.mark.parametrize("window", [0.3, 1.2])
    def test_mean_is_that_of_endless_trials(self, regression, window, record_figure):
        network = spiking([3, 4, 2])
        batch = classes(network, 1)
        rule = RegressionDiscontinuity(2, window, regression)
        found = []
        for seed in range(40):
            trials, disturbed, loss = trials_of(network, batch, 4000, seed)
            found.append(rule.effects(network, trials, disturbed, loss)["layer1"][0, 0])
        mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / 40**0.5
        expected = [jumps(window, regression, unit) for unit in range(4)]
        z = np.abs((mean - expected) / error).max()
        record_figure(f"{regression}, window {window}: largest z", z, "4.5")
        assert z < 4.5

    def test_difference_of_all_means_is_confounded(self):
        """Negative control: with every trial in the window, common noise passes for an effect."""
        network = spiking([3, 4, 2], common=1.0)
        batch = classes(network, 1)
        jump = [
            naive_spikes.windowed_jump(network, CROSS_ENTROPY, batch, 0, window, "local_constant")
            for window in (1e-3, 6.0)
        ]
        assert abs(jump[1] / jump[0] - 1) > 0.1

    @pytest.mark.parametrize(("regression", "factor"), [("local_constant", 1), ("local_linear", 4)])
    def test_variance_of_a_jump(self, regression, factor, record_figure):
        network = spiking([3, 4, 2])
        batch = classes(network, 1)
        rule, draws, theory = RegressionDiscontinuity(2, 0.5, regression), [], []
        for seed in range(600):
            trials, disturbed, loss = trials_of(network, batch, 800, seed)
            draws.append(rule.effects(network, trials, disturbed, loss)["layer1"][0, 0])
            x = (trials.drive["layer1"] + disturbed["layer1"])[0, :, 0]
            terms = []
            for side in ((x >= 0) & (x < 0.5), (x < 0) & (x > -0.5)):
                variance = [loss[0, side[:, i], 0].var() for i in range(4)]
                terms.append(variance / side.sum(axis=0))
            theory.append(sum(terms))
        ratio = np.var(draws, axis=0).sum() / (factor * np.mean(theory, axis=0).sum())
        record_figure(f"{regression}: variance of a jump over its law", ratio, "1 within 0.1")
        assert abs(ratio - 1) < 0.1

    def test_upper_layers_keep_an_error(self, record_figure):
        """Above the first layer, inputs and the effect of a spike vary together."""
        network = spiking([6, 5, 4, 3])
        batch = classes(network, 8)
        rule = RegressionDiscontinuity(100, 0.3)
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=1000)
        record_figure("second layer", found.value("bias_squared", "layer2.weights"), "above 0")
        frame = found.frame.query("projection == 'layer2.weights' and quantity == 'bias_squared'")
        assert float(frame["low"].iloc[0]) > 0

    def test_neurons_without_trials_at_threshold_learn_nothing(self):
        network = spiking([3, 4, 2], threshold=50.0)
        batch = classes(network)
        found = bench.estimates(RegressionDiscontinuity(), network, CROSS_ENTROPY, batch, samples=1)
        assert not found["layer1.weights"].any()
        assert found["layer2.bias"].any()

    def test_needs_spikes(self):
        network = bench.make("architecture", "mlp", sizes=[3, 2])
        assert "spiking_mlp" in RegressionDiscontinuity().unsupported(network, CROSS_ENTROPY)

    @pytest.mark.parametrize(
        ("option", "value"), [("trials", 1), ("window", 0), ("regression", "cubic")]
    )
    def test_refuses_bad_options(self, option, value):
        with pytest.raises(InputError, match=f"^{option}: "):
            replace(RegressionDiscontinuity(), **{option: value})

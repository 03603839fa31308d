"""Spiking networks: the gradient of the enumerated loss, trials, refusals."""

import numpy as np
import pytest

import naive
import naive_spikes
from plausibench import bench
from plausibench.architectures.spiking import Threshold
from plausibench.kernels.errors import InputError
from spiking_cells import CROSS_ENTROPY, SQUARED_ERROR, classes, spiking, trials_of


class TestSpikingNetwork:
    @pytest.mark.parametrize("sizes", [[3, 4, 2], [2, 3, 2, 3], [2, 2, 1, 2, 2]])
    @pytest.mark.parametrize("common", [0.0, 0.5])
    @pytest.mark.parametrize("objective", [SQUARED_ERROR, CROSS_ENTROPY], ids=["mse", "ce"])
    def test_gradient_is_that_of_the_enumerated_loss(self, sizes, common, objective, record_figure):
        network = spiking(sizes, common=common, threshold=0.2, bias=common > 0, output="tanh")
        batch = classes(network)
        expected = naive.finite_difference_gradient(
            network,
            lambda moved: naive_spikes.expected_loss(network, objective, batch, moved, 201),
            h=1e-5,
        )
        for name, array in network.gradient(objective, batch).items():
            apart, length = (np.linalg.norm(a) for a in (array - expected[name], expected[name]))
            record_figure("gradient of the expected loss, differences", apart / length, "1e-7")
            assert apart < 1e-7 * length + 1e-10  # rounding of the differences

    def test_spikes_average_to_the_expected_loss(self):
        network = spiking([3, 4, 3, 2])
        batch = classes(network)
        loss = trials_of(network, batch, 40_000)[2][0].mean(axis=1)
        expected = naive_spikes.expected_loss(
            network, CROSS_ENTROPY, batch, network.parameters, 201
        )
        assert abs(loss.mean() - expected) < 4.5 * loss.std() / 200

    def test_passes_on_the_probability_of_a_spike(self):
        network = spiking([3, 4, 2])
        batch = classes(network)
        spikes = trials_of(network, batch, 40_000)[0].activity["layer1"][0]
        chance = network.forward(batch.inputs).activity["layer1"]
        error = np.sqrt(chance * (1 - chance)) / 200
        assert (np.abs(spikes.mean(axis=0) - chance) < 4.5 * error).all()

    def test_without_hidden_neurons_it_is_an_mlp(self):
        network = spiking([3, 2])
        plain = bench.make("architecture", "mlp", sizes=[3, 2])
        batch = classes(network)
        plain = plain.with_parameters(network.parameters)
        for name, array in plain.gradient(CROSS_ENTROPY, batch).items():
            np.testing.assert_array_equal(network.gradient(CROSS_ENTROPY, batch)[name], array)

    def test_refuses_to_enumerate_more_than_twelve_units(self):
        network = spiking([3, 7, 6, 2])
        with pytest.raises(
            InputError, match=r"^network: .* up to 12 stochastic units, and this one has 13"
        ):
            network.gradient(CROSS_ENTROPY, classes(network))

    def test_twelve_units_are_enumerated(self):
        network = spiking([3, 12, 2])
        found = network.gradient(CROSS_ENTROPY, classes(network))
        assert all(np.isfinite(array).all() for array in found.values())

    def test_slope_is_the_derivative_of_the_activity(self):
        neurons, z = Threshold(0.3, 0.4, 0.6), np.linspace(-3, 3, 13)
        rise = (neurons.activate(z + 1e-5) - neurons.activate(z - 1e-5)) / 2e-5
        np.testing.assert_allclose(neurons.slope(z, neurons.activate(z)), rise, atol=1e-9)

    @pytest.mark.parametrize(
        ("option", "value"),
        [("threshold", "low"), ("spread", 0), ("common", -1), ("bias", 1), ("sizes", [3])],
    )
    def test_refuses_bad_options(self, option, value):
        with pytest.raises(InputError, match=f"{option}: "):
            bench.make("architecture", "spiking_mlp", **{"sizes": [3, 2], option: value})

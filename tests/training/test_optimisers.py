"""Optimisers: their twins, and refusals."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.training.optimisers import Adam, Sgd, layer_factors, make_optimiser
from plausibench.kernels.errors import InputError
from training_cells import flat


class TestOptimisers:
    gradients = np.random.default_rng(0).standard_normal((20, 7))

    def path(self, optimiser):
        """Parameters after each step, from two arrays that start at 0."""
        weights, memory, found = {"a": np.zeros((2, 2)), "b": np.zeros(3)}, {}, []
        for g in self.gradients:
            estimate = {"a": g[:4].reshape(2, 2), "b": g[4:]}
            change, memory = optimiser.change(estimate, memory)
            weights = {name: weights[name] + change[name] for name in weights}
            found.append(flat(weights))
        return np.array(found)

    def test_sgd_agrees_with_its_naive_twin(self):
        found = self.path(Sgd(0.3))
        for coordinate in range(7):
            w = 0.0
            for step, g in enumerate(self.gradients[:, coordinate]):
                w -= 0.3 * g
                assert found[step, coordinate] == pytest.approx(w, rel=1e-13)

    def test_adam_agrees_with_its_naive_twin(self):
        found = self.path(Adam(0.1, first=0.8, second=0.95, epsilon=1e-3))
        for coordinate in range(7):
            w = m = v = 0.0
            for step, g in enumerate(self.gradients[:, coordinate]):
                m = 0.8 * m + 0.2 * g
                v = 0.95 * v + 0.05 * g**2
                unbiased = m / (1 - 0.8 ** (step + 1)), v / (1 - 0.95 ** (step + 1))
                w -= 0.1 * unbiased[0] / (unbiased[1] ** 0.5 + 1e-3)
                assert found[step, coordinate] == pytest.approx(w, rel=1e-12)

    def test_momentum_agrees_with_its_naive_twin(self):
        found = self.path(Sgd(0.3, momentum=0.75))
        for coordinate in range(7):
            w = v = 0.0
            for step, g in enumerate(self.gradients[:, coordinate]):
                v = 0.75 * v + g
                w -= 0.3 * v
                assert found[step, coordinate] == pytest.approx(w, rel=1e-12)

    def test_first_step_of_adam_is_the_learning_rate_times_the_sign(self):
        found = self.path(Adam(0.1))[0]
        np.testing.assert_allclose(found, -0.1 * np.sign(self.gradients[0]), rtol=1e-6)

    @pytest.mark.parametrize("optimiser", [Sgd(0.1), Sgd(0.1, momentum=0.5), Adam(0.1)])
    def test_memory_given_is_not_changed(self, optimiser):
        estimate = {"a": np.ones(3)}
        _, memory = optimiser.change(estimate, {})
        before = {name: {key: a.copy() for key, a in part.items()} for name, part in memory.items()}
        optimiser.change(estimate, memory)
        for name, part in before.items():
            for key, array in part.items():
                np.testing.assert_array_equal(memory[name][key], array)

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: make_optimiser("adma", 0.1), "did you mean 'adam'?"),
            (lambda: make_optimiser("sgd", 0), "learning_rate: 0 is not"),
            (lambda: Adam(0.1, second=-0.1), "second: -0.1 is not"),
            (lambda: make_optimiser("sgd", 0.1, momentum=1), "momentum: 1 is not"),
            (
                lambda: make_optimiser("adam", 0.1, momentum=0.5),
                "momentum: 0.5 is not allowed with adam",
            ),
            (lambda: make_optimiser("sgd", 0.1, layer_rates=(1, 0)), "layer_rates: 0 is not"),
            (
                lambda: make_optimiser("adam", 0.1, layer_rates="fast"),
                "layer_rates: 'fast' is not a positive number or a list with one for each layer",
            ),
            (lambda: make_optimiser("adam", 0.1, layer_rates=True), "layer_rates: True is not"),
        ],
    )
    def test_bad_options_are_refused(self, make, said):
        with pytest.raises(InputError) as caught:
            make()
        assert said in str(caught.value)


class TestLayerRates:
    def test_factors_belong_to_all_projections_onto_a_layer(self):
        network = bench.make("architecture", "rate_rnn", sizes=[3, 4, 2], bias=True)
        factors = layer_factors(network, (0.5, 2.0))
        onto = {p.name: p.target for p in network.projections}
        first, last = (population.name for population in network.populations)
        assert factors == {name: {first: 0.5, last: 2.0}[target] for name, target in onto.items()}
        assert len(set(onto.values())) == 2 < len(onto)

    def test_one_number_is_a_ratio(self):
        network = bench.make("architecture", "mlp", sizes=[3, 4, 5, 2])
        ratio, listed = layer_factors(network, 0.25), layer_factors(network, (1.0, 0.25, 0.0625))
        assert ratio == listed
        assert layer_factors(network, ()) == {}

    def test_another_number_of_layers_is_refused_before_any_step(self):
        network = bench.make("architecture", "mlp", sizes=[64, 4, 10])
        said = r"layer_rates: 3 factors do not fit a network of 2 layers \(.*\); give one for each"
        parts = (bench.make("task", "digits"), network, bench.make("objective", "cross_entropy"))
        with pytest.raises(InputError, match=said):
            bench.train(bench.make("rule", "backprop"), *parts, layer_rates=(1, 1, 1))

    @pytest.mark.parametrize("optimiser", ["sgd", "adam"])
    def test_training_steps_by_the_factors(self, optimiser):
        """Two steps, with momentum or Adam, in numpy; decay has the same share in every layer."""
        task, network = bench.make("task", "linear_regression"), None
        network = bench.make("architecture", "mlp", sizes=[task.inputs_size, 5, task.outputs_size])
        objective = bench.make("objective", "mean_squared_error")
        options = {"weight_decay": 0.5, "momentum": 0.75 if optimiser == "sgd" else 0.0}
        found = bench.train(
            bench.make("rule", "backprop"),
            task,
            network,
            objective,
            **{**options, "steps": 2, "learning_rate": 0.1, "seed": 3, "batch_size": 8},
            optimiser=optimiser,
            layer_rates=(0.5, 2.0),
        )
        alone = make_optimiser(optimiser, 0.1, momentum=options["momentum"])
        factors, memory = layer_factors(network, (0.5, 2.0)), {}
        batches = task.batches(8, seed=3)
        for _ in range(2):
            exact = bench.gradient(network, objective, next(batches))
            change, memory = alone.change(exact, memory)
            network = network.with_parameters(
                {
                    name: (1 - 0.1 * 0.5) * w + factors[name] * change[name]
                    for name, w in network.parameters.items()
                }
            )
        for name, w in network.parameters.items():
            np.testing.assert_allclose(found.network.parameters[name], w, rtol=1e-12)

"""Optimisers: their twins, and refusals."""

import numpy as np
import pytest

from plausibench.bench.training.optimisers import Adam, Sgd, make_optimiser
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

    def test_first_step_of_adam_is_the_learning_rate_times_the_sign(self):
        found = self.path(Adam(0.1))[0]
        np.testing.assert_allclose(found, -0.1 * np.sign(self.gradients[0]), rtol=1e-6)

    @pytest.mark.parametrize("optimiser", [Sgd(0.1), Adam(0.1)])
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
        ],
    )
    def test_bad_options_are_refused(self, make, said):
        with pytest.raises(InputError) as caught:
            make()
        assert said in str(caught.value)

"""Decoupled neural interfaces in time: twins of estimate and learning, an independent version."""

import numpy as np
import pytest
from hypothesis import settings

import naive_stack
import naive_time
from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from time_cells import (
    OBJECTIVE,
    agree,
    arrays,
    by_trial,
    cell,
    cells,
    deep,
    rate_rnn,
    sequences,
    summed,
    summed_by_trial,
)


def some_state(rule, network, seed=0):
    """Guesses that are not 0."""
    random = np.random.default_rng(seed)
    first = bench.initial_state(rule, network)
    return {name: random.standard_normal(array.shape) for name, array in first.items()}


def taught(rule, network, batch, state):
    """The state after a step of learning with the weights held."""
    clean = network.forward(batch.inputs)
    held = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
    return rule.advance(state, Step(network, OBJECTIVE, batch, clean, held, 0.0, noise))


class TestTwins:
    @pytest.mark.parametrize("window", [1, 2, 3])
    @cells
    @settings(max_examples=10, deadline=None)
    def test_one_layer(self, window, **drawn):
        network, batch = cell(**drawn)
        rule = bench.make("rule", "dni", window=window)
        state = some_state(rule, network)
        matrix, bias = state["layer1.guess"], state["layer1.guess_bias"]
        k, activation, goals = drawn["leak"], drawn["activation"], []

        def twin(x, errors, _):
            guess = (matrix / batch.size, bias / batch.size)
            g, own = naive_time.dni(arrays(network), x, errors, guess, window, k, activation)
            goals.extend(own)
            return g

        agree(rule, network, batch, summed(network, batch, twin), state)
        off, by_bias = np.zeros_like(matrix), np.zeros_like(bias)
        for rates, goal in goals:
            wrong = matrix @ rates + bias - batch.size * goal
            off, by_bias = off + np.outer(wrong, rates), by_bias + wrong
        after, share = taught(rule, network, batch, state), rule.rate / max(1, len(goals))
        np.testing.assert_allclose(after["layer1.guess"], matrix - share * off, atol=1e-12)
        np.testing.assert_allclose(after["layer1.guess_bias"], bias - share * by_bias, atol=1e-12)

    @pytest.mark.parametrize("window", [1, 2, 4])
    def test_a_stack_by_explicit_jacobians(self, window):
        network, batch = deep()
        rule = bench.make("rule", "dni", window=window)
        state = some_state(rule, network)
        matrix, bias = np.zeros((9, 9)), np.zeros(9)
        for name, here in (("layer1", slice(0, 4)), ("layer2", slice(4, 9))):
            matrix[here, here] = state[f"{name}.guess"] / batch.size
            bias[here] = state[f"{name}.guess_bias"] / batch.size
        drawn = bench.estimates(rule, network, OBJECTIVE, batch, samples=1, state=state)

        def twin(x, errors, _):
            at = naive_stack.stack(network, x, errors, 0.3)
            return naive_stack.dni(network, at, (matrix, bias), window)

        for name, array in summed_by_trial(network, batch, twin).items():
            np.testing.assert_allclose(drawn[name][0], array, rtol=1e-9, atol=1e-13)


class TestLearning:
    def test_guesses_lower_the_bias(self):
        """Of truncation, where the gradient still to come can be told from the rates."""
        network = rate_rnn((3, 12, 2), leak=0.3)
        batch = sequences(network, 8, 8, targets="value")
        rule = bench.make("rule", "dni", window=4, rate=0.5)
        state = first = bench.initial_state(rule, network)
        for _ in range(3000):
            state = taught(rule, network, batch, state)
        cut, guessed = (
            bench.measure(rule, network, OBJECTIVE, batch, state=each).value("bias_squared")
            for each in (first, state)
        )
        assert guessed < 0.1 * cut

    def test_does_not_depend_on_the_size_of_the_batch(self):
        """A guess is of single trials: two copies of a batch teach what one does."""
        network = rate_rnn()
        batch = sequences(network, targets="values")
        rule = bench.make("rule", "dni")
        twice = bench.Batch(*(np.concatenate([a, a]) for a in (batch.inputs, batch.targets)))
        state = some_state(rule, network)
        one, two = (taught(rule, network, each, state) for each in (batch, twice))
        for name, array in one.items():
            np.testing.assert_allclose(array, two[name], rtol=1e-10, atol=1e-13)
        assert by_trial(network, twice).shape[0] == 2 * batch.size


def test_refusals():
    goal = bench.make("objective", "cross_entropy")
    assert "leaking rates" in bench.make("rule", "dni").refusal(rate_rnn(leaking="potential"), goal)

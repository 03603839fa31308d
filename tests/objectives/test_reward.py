"""Expected reward and log-probabilities scaled by reward: derivatives, means, returns."""

from itertools import product

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.homeostasis import Homeostasis
from plausibench.objectives.information_gain import InformationGain
from plausibench.objectives.objective import softmax
from plausibench.objectives.scaled_log_probability import ScaledLogProbability
from plausibench.objectives.weighted_sum import WeightedSum


def differences(objective, output, targets, h=1e-6):
    found = np.empty_like(output)
    for index in np.ndindex(output.shape):
        moved = [output.copy(), output.copy()]
        moved[0][index] += h
        moved[1][index] -= h
        above, below = (objective.losses(each, targets)[index[:-1]] for each in moved)
        found[index] = (above - below) / (2 * h)
    return found


def bandit(arms=3):
    """A network for one state, its policy, and the reward of each arm."""
    network = bench.make("architecture", "mlp", sizes=[2, 4, arms], seed=1)
    inputs, rewards = np.array([[0.7, -0.4]]), np.array([3.0, 2.2, 1.5])
    return network, inputs, softmax(network.forward(inputs).output)[0], rewards


@pytest.mark.parametrize(
    ("objective", "targets"),
    [
        (ScaledLogProbability(baseline=0.3), np.array([[0.0, 1.5], [2.0, -1.0]])),
        (InformationGain(2), np.array([[1.0, 2, 0.5, 0.5, 7, 3], [1, 1, 9, 9, 0.2, 4]])),
    ],
)
def test_error_is_the_derivative_of_the_loss(objective, targets):
    output = np.random.default_rng(0).standard_normal((3, 2, 3))
    objective.check(targets, 3)
    exact = objective.error(output, targets)
    np.testing.assert_allclose(exact, differences(objective, output, targets), atol=1e-8)


def moments(baseline):
    """Mean gradient over arms drawn from the policy, and its total variance, enumerated."""
    network, inputs, policy, rewards = bandit()
    objective = ScaledLogProbability(baseline=baseline)
    each = []
    for arm, reward in enumerate(rewards):
        batch = bench.Batch(inputs, np.array([[float(arm), reward]]))
        gradient = bench.gradient(network, objective, batch)
        each.append(np.concatenate([array.ravel() for array in gradient.values()]))
    mean = policy @ np.array(each)
    return mean, float(policy @ ((np.array(each) - mean) ** 2).sum(axis=1))


def test_bandit_mean_is_the_gradient_and_a_baseline_only_lowers_the_variance(record_figure):
    """Where all rewards are of one sign; else their mean can be a bad baseline."""
    network, inputs, policy, rewards = bandit()
    exact = bench.gradient(network, ExpectedReward(), bench.Batch(inputs, rewards[None]))
    exact = np.concatenate([array.ravel() for array in exact.values()])
    plain, wide = moments(0.0)
    with_baseline, narrow = moments(float(policy @ rewards))
    for mean in (plain, with_baseline):
        gap = np.linalg.norm(mean - exact) / np.linalg.norm(exact)
        record_figure("bandit: enumerated mean of REINFORCE against the gradient", gap, "1e-12")
        assert gap < 1e-12
    record_figure("bandit: variance with the expected reward as baseline", narrow / wide, "< 1")
    assert narrow < 0.9 * wide


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_sequences_have_the_gradient_of_the_expected_return(discount):
    """Two steps, all nine sequences of actions; the second reward depends on both actions."""
    network = bench.make("architecture", "rate_rnn", sizes=[2, 3, 3], seed=2)
    draw = np.random.default_rng(0)
    inputs, first, second = (draw.standard_normal(size) for size in ((1, 2, 2), (3,), (3, 3)))
    objective = ScaledLogProbability(discount=discount)

    def chances(parameters):
        output = network.with_parameters(parameters).forward(inputs).output
        return softmax(output)

    def expected(parameters):
        one, two = chances(parameters)
        return one @ first + discount * (one @ second @ two)

    one, two = chances(network.parameters)
    mean = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    for a, b in product(range(3), repeat=2):
        targets = np.array([[[a, first[a]], [b, second[a, b]]]])
        found = bench.gradient(network, objective, bench.Batch(inputs, targets))
        for name, array in found.items():
            weight = one[a] * two[b]
            # The loss is a mean over the steps. Later actions count for less where the
            # discount is below 1, as in the return of the first step.
            mean[name] += weight * 2 * array
    if discount < 1:
        # Each step has its own return, so the second is not discounted; taken off and put back.
        for b in range(3):
            for a in range(3):
                targets = np.array([[[a, 0.0], [b, second[a, b]]]])
                later = ScaledLogProbability(discount=0.0)
                found = bench.gradient(network, later, bench.Batch(inputs, targets))
                for name, array in found.items():
                    mean[name] -= (1 - discount) * one[a] * two[b] * 2 * array
    h = 1e-6
    for name, array in network.parameters.items():
        for index in np.ndindex(array.shape):
            moved = [{**network.parameters, name: array.copy()} for _ in range(2)]
            moved[0][name][index] += h
            moved[1][name][index] -= h
            numeric = (expected(moved[0]) - expected(moved[1])) / (2 * h)
            assert -mean[name][index] == pytest.approx(numeric, abs=1e-8)


def test_actions_and_rewards_are_checked():
    with pytest.raises(InputError, match="action from 0 to 2"):
        ScaledLogProbability().check(np.array([[3.0, 1.0]]), 3)
    with pytest.raises(InputError, match="actions and rewards"):
        ScaledLogProbability().check(np.array([0, 1]), 3)
    with pytest.raises(InputError, match="discount"):
        ScaledLogProbability(discount=1.5)
    with pytest.raises(InputError, match="Dirichlet"):
        InformationGain().check(np.zeros((1, 6)), 3)
    with pytest.raises(InputError, match="counts"):
        InformationGain().check(np.ones((1, 5)), 3)


def test_returns_are_taken_in_sums_and_by_rules_that_learn_from_single_steps():
    """Sums are linear; with all of the trial in its trace a rule is node perturbation."""
    network = bench.make("architecture", "rate_rnn", sizes=[2, 3, 3], seed=2)
    draw = np.random.default_rng(0)
    targets = np.stack([draw.integers(0, 3, (4, 5)), draw.standard_normal((4, 5))], axis=-1)
    batch = bench.Batch(draw.standard_normal((4, 5, 2)), targets)
    alone, still = ScaledLogProbability(discount=0.9), Homeostasis()
    both = WeightedSum([(0.5, alone), (2.0, still)])
    found = bench.gradient(network, both, batch)
    parts = [bench.gradient(network, one, batch) for one in (alone, still)]
    for name, array in found.items():
        expected = 0.5 * parts[0][name] + 2 * parts[1][name]
        np.testing.assert_allclose(array, expected, rtol=1e-12, atol=1e-14)
    assert bench.loss(network, both, batch) == pytest.approx(
        0.5 * bench.loss(network, alone, batch) + 2 * bench.loss(network, still, batch), rel=1e-12
    )
    with pytest.raises(InputError, match="terms: 2 take returns"):
        bench.loss(network, WeightedSum([(1.0, alone), (1.0, alone)]), batch)
    step = {"sigma": 1e-3, "noise": "gaussian"}
    traces = bench.make("rule", "three_factor", delay=5, decay=1.0, **step)
    nodes = bench.make("rule", "node_perturbation", antithetic=False, **step)
    one, other = (bench.estimates(r, network, alone, batch, samples=2) for r in (traces, nodes))
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol=1e-9, atol=1e-11)

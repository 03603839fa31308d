"""Permuted neurons: whose the entries of parameters and states are."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.architectures.permutation import parameter_axes, permuted, permuted_network
from plausibench.bench.components import registry
from plausibench.bench.components.support import obstacle
from plausibench.bench.training.reordering import Reordering
from plausibench.kernels.errors import InputError

ARCHITECTURES = (
    "mlp",
    "rate_rnn",
    "dendritic",
    "stochastic_mlp",
    "spiking_mlp",
    "spiking_rnn",
    "hopfield",
    "escape_rnn",
)


def small(name):
    """Small network with a hidden layer on which the rule runs, and its objective."""
    for architecture in ARCHITECTURES:
        made = bench.make("architecture", architecture, sizes=(5, 4, 3), seed=1)
        for loss in ("cross_entropy", "mean_squared_error", "expected_reward"):
            objective = bench.make("objective", loss)
            if obstacle(bench.make("rule", name), made, objective) is None:
                return made, objective
    raise AssertionError(f"no architecture for {name}")


@pytest.mark.parametrize("name", sorted(registry.entries("rule")))
def test_every_rule_says_whose_its_state_is(name):
    """And a rule without noise gives the permuted estimate from the permuted state."""
    made, objective = small(name)
    rule = bench.make("rule", name)
    state = bench.initial_state(rule, made, seed=2)
    axes, sizes = rule.state_axes(made), {each.name: each.size for each in made.populations}
    sizes |= {"input": made.inputs}
    assert set(state) <= set(axes)
    for key, array in state.items():
        assert [None if who is None else sizes[who] for who in axes[key]] == [
            None if who is None else size for who, size in zip(axes[key], array.shape, strict=True)
        ]
    if rule.randomness() - {"feedback"}:
        return
    order = np.random.default_rng(1).permutation(4)
    move = Reordering(made, "layer1", order)
    generator = np.random.default_rng(0)
    batch = bench.Batch(generator.standard_normal((6, 5)), generator.integers(0, 3, 6))
    one = bench.estimates(rule, made, objective, batch, samples=1, state=state)
    other = bench.estimates(
        rule, move.network, objective, batch, samples=1, state=move.state(rule, state)
    )
    followed = permuted(
        {key: array[0] for key, array in one.items()}, parameter_axes(made), "layer1", order
    )
    for key, array in followed.items():
        np.testing.assert_allclose(other[key][0], array, rtol=1e-7, atol=1e-9)


def test_state_of_unknown_neurons_is_refused():
    rule = bench.make("rule", "feedback_alignment")
    made = bench.make("architecture", "mlp", sizes=(5, 4, 3))
    move = Reordering(made, "layer1", np.arange(4)[::-1])
    with pytest.raises(InputError, match="does not say which neurons its state mine belongs to"):
        move.state(rule, {**rule.initial_state(made, 0), "mine": np.zeros(4)})


def test_populations_with_shared_weights_keep_their_order():
    made = bench.make("architecture", "convolutional")
    name = made.hidden[0].name
    with pytest.raises(InputError, match="fixed places"):
        permuted_network(made, name, np.arange(made.hidden[0].size))
    with pytest.raises(InputError, match="choose one of"):
        permuted_network(made, made.output.name, np.arange(made.output.size))

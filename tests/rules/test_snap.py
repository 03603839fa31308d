"""SnAp-n: twins, an independent version, sparse networks, the rules that it is at both ends."""

import numpy as np
import pytest
from hypothesis import settings

import naive_stack
import naive_time
from plausibench import bench
from plausibench.rules.snap import reach
from time_cells import (
    OBJECTIVE,
    agree,
    arrays,
    cell,
    cells,
    deep,
    rate_rnn,
    sequences,
    summed,
    summed_by_trial,
)


def sparse(network, share=0.3, seed=0):
    """The same network with few recurrent weights that are not 0."""
    random, changed = np.random.default_rng(seed), dict(network.parameters)
    for p in network.projections:
        if p.delay:
            changed[p.name] = changed[p.name] * (random.random(p.synapse.shape) < share)
    return network.with_parameters(changed)


class TestTwins:
    @pytest.mark.parametrize("order", [1, 2, 3])
    @cells
    @settings(max_examples=8, deadline=None)
    def test_one_layer(self, order, **drawn):
        network, batch = cell(**drawn)
        network = sparse(network, seed=drawn["seed"])

        def twin(x, errors, _):
            k, activation = drawn["leak"], drawn["activation"]
            return naive_time.snap(arrays(network), x, errors, k, activation, order)

        agree(bench.make("rule", "snap", order=order), network, batch, summed(network, batch, twin))

    @pytest.mark.parametrize("order", [1, 2, 3, 4])
    def test_a_stack_by_explicit_jacobians(self, order):
        network, batch = deep()
        network = sparse(network)
        rule = bench.make("rule", "snap", order=order)
        drawn = bench.estimates(rule, network, OBJECTIVE, batch, samples=1)

        def twin(x, errors, _):
            return naive_stack.snap(network, naive_stack.stack(network, x, errors, 0.3), order)

        for name, array in summed_by_trial(network, batch, twin).items():
            np.testing.assert_allclose(drawn[name][0], array, rtol=1e-9, atol=1e-13)


class TestOrder:
    def test_bias_falls_to_nothing_where_all_is_reached(self):
        network = sparse(rate_rnn((3, 8, 2), leak=0.5), 0.2)
        batch = sequences(network, 4, 12, targets="values")
        orders = range(1, 9)
        masks = [reach(network, order)["layer1", "layer1"] for order in orders]
        whole = next(o for o, mask in zip(orders, masks, strict=True) if (mask == masks[-1]).all())
        bias = [
            bench.measure(bench.make("rule", "snap", order=order), network, OBJECTIVE, batch).value(
                "bias_squared"
            )
            for order in orders
        ]
        assert whole > 3  # else this network shows nothing
        assert all(b > 1e-12 for b in bias[: whole - 1])
        assert all(b < 1e-24 for b in bias[whole - 1 :])

    def test_one_is_e_prop_in_a_layer(self):
        network = rate_rnn()
        batch = sequences(network, targets="values")
        one, other = (
            bench.estimates(bench.make("rule", name), network, OBJECTIVE, batch, samples=1)
            for name in ("snap", "e_prop")
        )
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], rtol=1e-10, atol=1e-14)


def test_refusals():
    rule, goal = bench.make("rule", "snap"), bench.make("objective", "cross_entropy")
    assert "leaking rates" in rule.refusal(rate_rnn(leaking="potential"), goal)
    modes = bench.make("architecture", "mode_rnn", sizes=[3, 5, 2], modes=2)
    assert "a weight of their own" in rule.refusal(modes, goal)

"""ModProp and MDGL: twins, an independent version, types."""

import numpy as np
import pytest
from hypothesis import settings

import naive_stack
import naive_time
from plausibench import bench
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

VARIANTS = pytest.mark.parametrize("variant", ["modprop", "mdgl"])
SLOPES = pytest.mark.parametrize("slope", ["mean", "own"])


class TestTwins:
    @VARIANTS
    @SLOPES
    @cells
    @settings(max_examples=8, deadline=None)
    def test_one_layer(self, variant, slope, **drawn):
        network, batch = cell(**drawn)
        rule = bench.make("rule", "mod_prop", variant=variant, slope=slope, types=2)
        kinds = np.random.default_rng(0).integers(0, 3, drawn["neurons"]).astype(float)
        clean = network.forward(batch.inputs)
        slopes = naive_time.slope(drawn["activation"], clean.drive["layer1"])
        mean = slopes.mean() if slope == "mean" else None

        def twin(x, errors, _):
            given = (drawn["leak"], drawn["activation"], variant, mean)
            return naive_time.mod_prop(arrays(network), x, errors, kinds, *given)

        agree(rule, network, batch, summed(network, batch, twin), {"layer1.type": kinds})

    @VARIANTS
    @SLOPES
    def test_a_stack_by_explicit_matrices(self, variant, slope):
        network, batch = deep()
        rule = bench.make("rule", "mod_prop", variant=variant, slope=slope)
        drawn = bench.estimates(rule, network, OBJECTIVE, batch, samples=1)
        clean = network.forward(batch.inputs)
        average, means = np.zeros((9, 9)), np.zeros(9)
        kinds = {"layer1": [0, 0, 1, 1], "layer2": [0, 0, 0, 1, 1]}
        for name, here in (("layer1", slice(0, 4)), ("layer2", slice(4, 9))):
            w = network.parameters[f"{name}.recurrent"]
            average[here, here] = naive_time.by_types(w, kinds[name])
            means[here] = (1 - np.tanh(clean.drive[name]) ** 2).mean()

        def twin(x, errors, _):
            at = naive_stack.stack(network, x, errors, 0.3)
            given = (average, variant, means if slope == "mean" else None)
            return naive_stack.mod_prop(network, at, *given)

        for name, array in summed_by_trial(network, batch, twin).items():
            np.testing.assert_allclose(drawn[name][0], array, rtol=1e-9, atol=1e-13)


class TestTypes:
    def test_error_falls_with_their_number(self):
        """Of the cases of the prototype: two types, three, one for each of six neurons."""
        network = rate_rnn((3, 6, 2), leak=1.0)
        batch = sequences(network, 1, 8, targets="values")
        bias = [
            bench.measure(
                bench.make("rule", "mod_prop", types=types, slope="own"), network, OBJECTIVE, batch
            ).value("bias_squared")
            for types in (2, 3, 6, 9)
        ]
        assert bias[0] > 1e-3
        assert bias[1] > 1e-3
        assert bias[2] < 1e-24
        assert bias[3] < 1e-24

    def test_are_groups_as_large_as_can_be_alike(self):
        network = rate_rnn((3, 7, 2))
        state = bench.initial_state(bench.make("rule", "mod_prop", types=3), network)
        assert state["layer1.type"].tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_refusals():
    rule, goal = bench.make("rule", "mod_prop"), bench.make("objective", "cross_entropy")
    assert "leaking rates" in rule.refusal(rate_rnn(leaking="potential"), goal)

"""Every way of measuring gives one answer, whatever the batch: repeats, one class, one example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.measuring.statistics import RELATIVE
from plausibench.kernels.errors import InputError

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
SAMPLED = [
    ("attention_gated", {}, CROSS_ENTROPY),
    ("brainprop", {"exploration": "softmax"}, SQUARED_ERROR),
    ("brainprop", {}, SQUARED_ERROR),
    ("node_perturbation", {}, CROSS_ENTROPY),
    ("node_perturbation", {"noise": "rademacher"}, SQUARED_ERROR),
    ("weight_perturbation", {}, SQUARED_ERROR),
    ("forward_gradient", {}, CROSS_ENTROPY),
    ("forward_gradient", {"perturbing": "weights"}, CROSS_ENTROPY),
    ("augment", {}, SQUARED_ERROR),
    ("three_factor", {}, CROSS_ENTROPY),
    ("forward_forward", {}, CROSS_ENTROPY),
    ("reinforce", {}, bench.make("objective", "expected_reward")),
]
ENUMERATED = ("attention_gated", "brainprop")
SAMPLES = 4000
THRESHOLD = 6.0
"""Half widths by which a sampled value may differ from the exact one."""


@st.composite
def batches(draw):
    """Up to five of a few examples, so that they, their classes and their keys repeat."""
    size = draw(st.integers(1, 5))
    rows = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    classes = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    keys = draw(
        st.none() | st.lists(st.sampled_from([0, 1, 7, 2**63 - 1]), min_size=size, max_size=size)
    )
    examples = np.random.default_rng(3).standard_normal((3, 5))
    examples[2] = 0.0
    return bench.Batch(examples[rows], np.array(classes), keys)


def network():
    return bench.make("architecture", "mlp", sizes=(5, 4, 3), seed=2)


@pytest.mark.parametrize(("name", "options", "objective"), SAMPLED)
@given(batch=batches())
@settings(max_examples=12)
def test_exact_and_sampled_measurements_agree(name, options, objective, batch):
    rule, net = bench.make("rule", name, **options), network()

    def measured(method):
        return bench.measure(rule, net, objective, batch, SAMPLES, 5, method=method)

    sampled = measured("sampled")
    repeated = np.unique(batch.keys).size < batch.size
    if repeated and name not in ENUMERATED:
        # A form that takes the noise of examples to be independent is not used where it is not.
        with pytest.raises(InputError, match="same key"):
            measured("exact")
        exact = measured("auto")
    else:
        exact = measured("exact")
    rows = zip(exact.rows, sampled.rows, strict=True)
    for one, other in rows:
        assert (one["projection"], one["quantity"]) == (other["projection"], other["quantity"])
        if one["quantity"] not in ("absolute_bias_squared", "absolute_variance"):
            continue
        half = (other["high"] - other["low"]) / 2
        assert abs(one["value"] - other["value"]) <= THRESHOLD * half + 1e-12, (one, other)


@pytest.mark.parametrize("name", ["attention_gated", "brainprop"])
def test_examples_of_one_key_act_together(name):
    """Three copies of an example with one key are that example, and with three they are not."""
    rule, net = bench.make("rule", name), network()
    objective = CROSS_ENTROPY if name == "attention_gated" else SQUARED_ERROR
    x = np.random.default_rng(1).standard_normal((1, 5))

    def measured(count, keys):
        batch = bench.Batch(np.repeat(x, count, axis=0), np.ones(count, int), keys)
        return bench.measure(rule, net, objective, batch)

    one, same, apart = measured(1, [0]), measured(3, [4, 4, 4]), measured(3, [4, 5, 6])
    for quantity in RELATIVE:
        assert same.value(quantity) == pytest.approx(one.value(quantity), rel=1e-9, abs=1e-14)
    assert apart.value("variance") == pytest.approx(one.value("variance") / 3, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e3, 1e4, 1e6])
def test_rewarded_actions_that_never_come(scale, dtype):
    """The rarer the rewarded action, the larger its signal: the mean stays, the variance grows."""
    net = network()
    net = net.with_parameters(
        {**net.parameters, "layer2.weights": scale * net.parameters["layer2.weights"]}
    )
    x = np.random.default_rng(0).standard_normal((2, 5))
    batch = bench.Batch(x, net.forward(x).output.argmin(axis=1))
    found = bench.measure(
        bench.make("rule", "attention_gated"), net, CROSS_ENTROPY, batch, dtype=dtype
    )
    assert found.value("bias_squared") < 1e-24
    spread = found.frame[found.frame["quantity"] == "variance"]
    assert (spread["value"] > 1e30).all()
    assert (spread.loc[np.isinf(spread["value"]), "flag"] == "not finite").all()
    if scale >= 1e4:
        assert np.isinf(found.value("variance"))

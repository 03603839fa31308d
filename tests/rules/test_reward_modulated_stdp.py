"""R-STDP: single draws by forward traces, and the bias that R-max does not have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_escape
from escape_cells import SQUARED_ERROR, trials, uniform_numbers
from keyed_cells import assert_twins, seeds
from plausibench import bench
from plausibench.kernels.errors import InputError


@settings(max_examples=30, deadline=None)
@given(
    seeds, st.integers(1, 7), st.sampled_from(["none", "clean"]), st.sampled_from([0.0, 0.5, 2.0])
)
def test_twin(seed, steps, baseline, depression):
    network, batch = trials(seed, length=steps, examples=3)
    rule = bench.make("rule", "reward_modulated_stdp", baseline=baseline, depression=depression)
    drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=2, seed=seed)
    for k, uniform in enumerate(uniform_numbers(network, batch, seed, 2)):
        expected = naive_escape.draw(network, batch, uniform, baseline, "r_stdp", depression)
        assert_twins({name: array[k] for name, array in drawn.items()}, expected)


def test_without_depression_it_differs_from_r_max_by_what_spikes_do_on_average(record_figure):
    """The same spikes and rewards: what R-max subtracts is not subtracted."""
    network, batch = trials(2)
    exact = bench.gradient(network, SQUARED_ERROR, batch)
    rule = bench.make("rule", "reward_modulated_stdp", depression=0.0, baseline="none")
    clean = network.forward(batch.inputs)
    mean = rule.closed_form(network, SQUARED_ERROR, batch, clean, frozenset({"spike"})).mean
    hidden = [name for name in mean if name.startswith("layer1")]
    missed = sum(float(((mean[n] - exact[n]) ** 2).sum()) for n in hidden)
    bias = missed / sum(float((exact[n] ** 2).sum()) for n in hidden)
    record_figure("R-STDP: squared bias of hidden weights", bias, "above 0.1")
    assert bias > 0.1
    for name in ("layer2.weights", "layer2.bias"):
        np.testing.assert_allclose(mean[name], exact[name], rtol=1e-9, atol=1e-12)


def test_a_negative_depression_is_refused():
    with pytest.raises(InputError, match="depression"):
        bench.make("rule", "reward_modulated_stdp", depression=-1)

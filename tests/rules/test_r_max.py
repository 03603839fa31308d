"""R-max: single draws by forward traces, and its mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_escape
from escape_cells import SQUARED_ERROR, trials, uniform_numbers
from keyed_cells import assert_twins, seeds
from plausibench import bench

BASELINES = ("none", "clean")


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 2), st.sampled_from(BASELINES))
def test_twin(seed, steps, neurons, baseline):
    network, batch = trials(seed, (3, neurons, 2), steps, 3)
    rule = bench.make("rule", "r_max", baseline=baseline)
    drawn = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=2, seed=seed)
    for k, uniform in enumerate(uniform_numbers(network, batch, seed, 2)):
        expected = naive_escape.draw(network, batch, uniform, baseline, "r_max")
        assert_twins({name: array[k] for name, array in drawn.items()}, expected)


@pytest.mark.parametrize("baseline", BASELINES)
def test_mean_over_spikes_is_the_gradient_of_the_expected_reward(baseline, record_figure):
    network, batch = trials(1)
    rule = bench.make("rule", "r_max", baseline=baseline)
    clean = network.forward(batch.inputs)
    form = rule.closed_form(network, SQUARED_ERROR, batch, clean, frozenset({"spike"}))

    def loss(parameters):
        return naive_escape.expected_loss(network.at(parameters), batch)

    # Central differences err by more than the rule: 1e-10.
    expected = naive.complex_step_gradient(network, loss)
    missed = sum(float(((form.mean[n] - g) ** 2).sum()) for n, g in expected.items())
    error = (missed / sum(float((g**2).sum()) for g in expected.values())) ** 0.5
    record_figure(f"R-max, baseline {baseline}: error of the mean over spikes", error, "5e-11")
    assert error < 1e-14


def test_more_spikes_than_are_enumerated_are_refused():
    network, batch = trials(0, (3, 5, 2), length=3)
    with pytest.raises(ValueError, match="enumerated over up to 14 spikes"):
        bench.gradient(network, SQUARED_ERROR, batch)
    wide = bench.make("architecture", "escape_rnn", sizes=[3, 8, 2])
    assert "fewer neurons" in bench.make("rule", "r_max").refusal(wide, SQUARED_ERROR)
    mlp = bench.make("architecture", "mlp", sizes=[3, 8, 2])
    assert "recurrent stochastic" in bench.make("rule", "r_max").refusal(mlp, SQUARED_ERROR)

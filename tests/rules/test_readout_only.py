"""The control with frozen hidden layers: its twins, and the mean over drawn patterns."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_escape
import naive_feedback
import naive_perturbation
import naive_spikes
from escape_cells import trials, uniform_numbers
from feedback_cells import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    activations,
    assert_close,
    cell,
    drawn,
    objectives,
    seeds,
    shapes,
)
from perturbation_cells import assert_twins, noise_of
from perturbation_cells import cell as stochastic_cell
from plausibench import bench
from plausibench.architectures.escape_noise import Train
from plausibench.bench.conformance.noise import DRAWS, THRESHOLD, mean_z
from plausibench.bench.training.nulls import readout
from plausibench.kernels.errors import InputError
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.patterns import drive_noise
from spiking_cells import classes, spiking

DRAWN = bench.make("rule", "readout_only", patterns="drawn")
ALL = bench.make("rule", "readout_only")


@settings(max_examples=20)
@given(shapes, activations, objectives, seeds)
def test_twin(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    twin = naive_feedback.readout_only(network, objective, batch)
    assert_close(drawn(ALL, network, objective, batch, seed)[1], twin)


@settings(max_examples=20)
@given(st.integers(1, 4), seeds, st.sampled_from(["bernoulli", "gaussian"]))
def test_twin_of_patterns_of_stochastic_units(hidden, seed, units):
    network, batch = stochastic_cell((3, hidden, 2, 3), seed, "stochastic_mlp", units=units)
    noise, sigma = noise_of(batch, seed), None if units == "bernoulli" else 0.1
    draws = noise.spikes(
        {e.name: np.empty((batch.size, e.size)) for e in network.hidden}, network.law
    )
    own = bench.estimates(DRAWN, network, SQUARED_ERROR, batch, samples=2, seed=seed)
    for k in range(2):
        twin = naive_perturbation.readout_only(
            network, "mean_squared_error", batch, [array[k] for array in draws.values()], sigma
        )
        assert_twins({name: array[k] for name, array in own.items()}, twin)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3), seeds)
def test_twin_of_patterns_of_escape_noise(steps, neurons, seed):
    network, batch = trials(seed, (3, neurons, 2), steps, 3)
    own = bench.estimates(DRAWN, network, SQUARED_ERROR, batch, samples=2, seed=seed)
    for k, uniform in enumerate(uniform_numbers(network, batch, seed, 2)):
        twin = naive_escape.draw(network, batch, uniform, "none", "r_max")
        twin = {n: w if "layer2" in n else np.zeros_like(w) for n, w in twin.items()}
        assert_twins({name: array[k] for name, array in own.items()}, twin)


@settings(max_examples=20)
@given(st.integers(1, 4), seeds, st.sampled_from([0.0, 0.5]))
def test_twin_of_patterns_of_noisy_thresholds(hidden, seed, common):
    network = spiking((3, hidden, 2, 3), seed, common=common)
    batch = classes(network, seed=seed)
    disturbed = drive_noise(network, noise_of(batch, seed), trials=1)
    own = bench.estimates(DRAWN, network, SQUARED_ERROR, batch, samples=2, seed=seed)
    for k in range(2):
        noise = {name: array[k, 0] for name, array in disturbed.items()}
        twin = naive_spikes.readout_only(network, batch, noise)
        assert_twins({name: array[k] for name, array in own.items()}, twin)


class EveryPattern(Noise):
    """Each sample draws another pattern: below every probability a spike, at 1 none."""

    def spikes(self, arrays, law="uniform"):
        sizes = [array.shape[1] for array in arrays.values()]
        patterns = np.array(list(product((0.0, 1.0), repeat=sum(sizes))))
        parts = np.split(patterns, np.cumsum(sizes)[:-1], axis=1)
        return {name: part[:, None] for name, part in zip(arrays, parts, strict=True)}


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (stochastic_cell((3, 3, 2, 3), 4, "stochastic_mlp")[0], (1, 3)),
        (trials(3, (3, 2, 3))[0], (1, 3, 3)),
    ],
    ids=["stochastic_mlp", "escape_rnn"],
)
def test_mean_over_all_patterns_is_the_gradient(network, inputs, record_figure):
    batch = bench.Batch(np.random.default_rng(5).standard_normal(inputs), np.array([1]))
    every = network.outcomes(batch.inputs)
    chance = every.chance if isinstance(every, Train) else every[1]
    noise = EveryPattern(0, np.arange(len(chance)), batch.keys, np.dtype(float))
    clean = network.forward(batch.inputs)
    drawn = form(network, DRAWN.estimate(network, CROSS_ENTROPY, batch, clean, {}, noise))
    exact = bench.gradient(network, CROSS_ENTROPY, batch)
    missed = 0.0
    for p in network.projections:
        mean = np.tensordot(
            chance[:, 0], np.broadcast_to(drawn[p.name], (len(chance), *exact[p.name].shape)), 1
        )
        goal = exact[p.name] if p.target == network.output.name else np.zeros_like(mean)
        missed = max(missed, float(np.abs(mean - goal).max() / (np.abs(goal).max() or 1.0)))
    record_figure(f"readout_only, {network.architecture}: mean of drawn patterns", missed, "1e-12")
    assert missed < 1e-12


@pytest.mark.parametrize(
    ("network", "batch"),
    [
        stochastic_cell((4, 5, 3), 1, "stochastic_mlp"),
        stochastic_cell((4, 5, 3), 1, "stochastic_mlp", units="gaussian"),
        trials(1, (3, 2, 3)),
        (spiking((4, 3, 2, 3)), classes(spiking((4, 3, 2, 3)))),
        (spiking((4, 5, 3), common=0.0), classes(spiking((4, 5, 3)))),
    ],
    ids=["bernoulli", "gaussian", "escape_rnn", "spiking_mlp", "without common noise"],
)
def test_draws_have_the_enumerated_gradient_for_their_mean(network, batch):
    """Half of the draws choose a direction, and a z-test of the others is along it."""
    own = bench.estimates(DRAWN, network, CROSS_ENTROPY, batch, samples=DRAWS)
    exact = bench.estimates(ALL, network, CROSS_ENTROPY, batch, samples=1)
    for name, draws in own.items():
        if name.startswith(network.output.name):
            assert mean_z(draws.reshape(DRAWS, -1), exact[name].reshape(-1)) < THRESHOLD
        else:
            assert not draws.any()
            assert not exact[name].any()


def test_nulls_draw_where_hidden_neurons_do():
    assert readout(spiking((4, 3, 2))) == "readout_only[patterns=drawn]"
    assert readout(trials(1, (3, 2, 3))[0]) == "readout_only[patterns=drawn]"
    assert readout(bench.make("architecture", "mlp", sizes=[4, 3, 2])) == "readout_only"


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="patterns: 'some'"):
        bench.make("rule", "readout_only", patterns="some")
    mlp = bench.make("architecture", "mlp", sizes=[4, 3, 2])
    assert "mlp has none" in DRAWN.refusal(mlp, CROSS_ENTROPY)
    assert DRAWN.randomness() == {"spike"}
    assert ALL.randomness() == frozenset()

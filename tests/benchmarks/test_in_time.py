"""Rules in time against the same updates in other frameworks.

All compute the same update of the same network, in the same reverse-time form; they are compared
before anything is timed.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from plausibench import bench
from plausibench.rules.estimate import form

sys.path.insert(0, str(Path(__file__).parent))
from in_time import FRAMEWORKS, NEEDS, Problem

INPUTS, OUTPUTS, EXAMPLES = 20, 3, 32
KINDS = ("rate", "spiking")
RULES = ("backpropagation_through_time", "e_prop", "rflo")
SIZES = (100, 400)
STEPS = (100, 500)
DTYPES = ("float64", "float32")
NAMES = ("plausibench", *FRAMEWORKS)


@cache
def cell(kind, rule, size, steps, dtype):
    """Rule, network, objective, batch and state."""
    random = np.random.default_rng(0)
    network = bench.make(
        "architecture",
        f"{kind}_rnn",
        sizes=[INPUTS, size, OUTPUTS],
        bias=False,
        seed=0,
    ).astype(dtype)
    inputs = random.standard_normal((EXAMPLES, steps, INPUTS)).astype(dtype)
    targets = random.standard_normal((EXAMPLES, steps, OUTPUTS)).astype(dtype)
    options = {} if rule == RULES[0] else {"feedback": "random"}
    made = bench.make("rule", rule, **options)
    state = {name: array.astype(dtype) for name, array in made.initial_state(network, 0).items()}
    objective = bench.make("objective", "mean_squared_error")
    return made, network, objective, bench.Batch(inputs, targets), state


@cache
def problem(kind, rule, size, steps, dtype):
    """The same cell for the other frameworks."""
    _, network, _, batch, state = cell(kind, rule, size, steps, dtype)
    w_in, w_rec, w_out = network.parameters.values()
    neurons = network.populations[0].neurons
    if kind == "rate":
        factors = (neurons.leak,)
    else:
        a_s, a_m, _, _, a_d, weight, *_ = map(float, neurons.factors)
        pseudo = neurons.surrogate
        factors = (a_s, a_m, a_d, weight, neurons.refractory, pseudo.sharpness, pseudo.height)
    return Problem(
        kind,
        rule,
        (w_in, w_rec, w_out),
        state.get("layer2.weights", w_out.T).copy(),
        np.ascontiguousarray(batch.inputs.swapaxes(0, 1)),
        np.ascontiguousarray(batch.targets.swapaxes(0, 1)),
        factors,
    )


def plausibench(kind, rule, size, steps, dtype):
    """A pass, and the rule's estimate of every gradient."""
    made, network, objective, batch, state = cell(kind, rule, size, steps, dtype)
    clean = network.forward(batch.inputs)
    return form(network, made.estimate(network, objective, batch, clean, state, None)).values()


def run(name, *about):
    """One implementation by name."""
    return plausibench(*about) if name == "plausibench" else FRAMEWORKS[name](problem(*about))


def needs(name):
    """Skip where a framework is not installed."""
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed: pip install 'plausibench[performance]'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_all_compute_the_same_update(name, rule, kind):
    needs(name)
    about = (kind, rule, 30, 40, "float64")
    if kind == "spiking":
        assert cell(*about)[1].forward(cell(*about)[3].inputs).traces["layer1"]["spikes"].any()
    for ours, theirs in zip(plausibench(*about), run(name, *about), strict=True):
        theirs = np.asarray(theirs)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * abs(theirs).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("rule", RULES)
def test_updates_per_second(benchmark, rule, steps, size, kind, dtype):
    """All implementations in turn, so that what else the machine does falls on all alike."""
    from time import perf_counter

    names = [n for n in NAMES if n not in NEEDS or importlib.util.find_spec(NEEDS[n])]
    about = (kind, rule, size, steps, dtype)
    if benchmark.disabled:
        about, rounds = (kind, rule, 8, 5, dtype), 1
    else:
        # Machines have slow seconds: many rounds where an update is short.
        rounds = 320 if size * steps <= 10_000 else 11 if size * steps <= 50_000 else 7
    times = {name: [] for name in names}
    for _ in range(1 + rounds):
        for name in names:
            start = perf_counter()
            run(name, *about)
            times[name].append(perf_counter() - start)
    # The first round compiles.
    ours = np.array(times["plausibench"][1:])
    benchmark.extra_info.update(
        in_time={name: min(found[1:]) for name, found in times.items()},
        # Quartiles of how many times as long each took in the same round.
        in_turn={
            name: np.quantile(np.array(found[1:]) / ours, [0.25, 0.5, 0.75]).tolist()
            for name, found in times.items()
        },
        cell=[kind, rule, size, steps, dtype],
    )
    benchmark.pedantic(run, args=("plausibench", *about), rounds=1)

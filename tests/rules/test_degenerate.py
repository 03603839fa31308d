"""Rules where nothing is left to learn from: dead and saturated units, zeros, certainty."""

from dataclasses import fields
from functools import cache
from itertools import product

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.case import SHAPES, SIZES, networks, objectives, teacher_batch
from plausibench.bench.measuring.draws import prepare
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, Step

FACTORS = {
    "as drawn": 1.0,
    "all weights zero": 0.0,
    "tiny weights": 1e-30,
    "strong weights": 30.0,
    "saturated units and certain outputs": 1e4,
}
OPTIONS = [
    "burstprop[feedback=random]",
    "deep_feedback_control[feedback=random,compared=drive]",
    "dendritic_error[feedback=random,mismatch=0.1,noise=0.1]",
    "equilibrium_propagation[variant=one_sided,nudging=0.5]",
    "forward_forward[threshold=0.3]",
    "node_perturbation[antithetic=false,noise=rademacher]",
    "predictive_coding[variant=fixed_prediction]",
    "predictive_coding[variant=nudged]",
    "predictive_coding[variant=nudged,step=0.1,steps=50]",
    "predictive_coding[variant=zero_divergence]",
    "regression_discontinuity[trials=2]",
    "regression_discontinuity[regression=local_constant]",
    "reinforce[baseline=none]",
    "sign_symmetry[variant=batchwise]",
    "sign_symmetry[variant=fixed]",
]
DTYPES = [pytest.param("float64", marks=pytest.mark.acceptance), "float32"]
"""Single precision, whose numbers overflow and vanish first, and in the acceptance tests both."""
SHIFTS = {"as drawn": 0.0, "dead below": -100.0, "all at their highest": 100.0}
"""Added to the biases of all units but the output."""


@cache
def places(rule):
    """Small networks that a rule supports, with an objective each; the first rectified, too."""
    found = []
    for sizes in SHAPES:
        for network in networks(sizes) if not found else ():
            batch = teacher_batch(network)
            for objective in objectives(network, batch):
                if rule.refusal(network, objective) is None:
                    found.append((network, objective, batch))
                    break
    for network, objective, batch in found[:1]:
        component = registry.find("architecture", network.architecture)
        if any(field.name == "activation" for field in fields(component)):
            rectified = bench.make(
                "architecture", network.architecture, sizes=SIZES, activation="relu"
            )
            if rule.refusal(rectified, objective) is None:
                found.append((rectified, objective, batch))
    return found


def degenerate(network, factor, shift):
    output = {p.name for p in network.incoming[network.output.name]}
    return network.with_parameters(
        {
            name: factor * array if array.ndim > 1 else array + shift * (name not in output)
            for name, array in network.parameters.items()
        }
    )


def cases(rule):
    """What is degenerate, and the network, objective and batch."""
    kinds = product(FACTORS.items(), SHIFTS.items(), (False, True))
    for (network, objective, batch), kind in product(places(rule), list(kinds)):
        (weights, factor), (biases, shift), one = kind
        few = batch.take([0]) if one else batch
        where = network.architecture, weights, biases, few.size
        yield where, degenerate(network, factor, shift), objective, few


def answer(rule, network, objective, batch, dtype):
    """Estimates, or the sentence with which the rule refuses."""
    try:
        # What overflows on the way to divergence is looked for, not warned of.
        with np.errstate(over="ignore", invalid="ignore"):
            return bench.estimates(rule, network, objective, batch, samples=2, dtype=dtype)
    except (Divergence, InputError) as error:
        return str(error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("selector", [*registry.entries("rule"), *OPTIONS])
def test_estimates_are_finite_or_refused(selector, dtype):
    """In one sentence, where they are refused."""
    rule = select("rule", selector).make()
    assert places(rule)
    for where, network, objective, batch in cases(rule):
        drawn = answer(rule, network, objective, batch, dtype)
        if isinstance(drawn, str):
            assert drawn.strip(), where
            assert "\n" not in drawn, where
            continue
        for parameter, array in drawn.items():
            assert array.shape == (2, *network.parameters[parameter].shape), where
            assert array.dtype == dtype, where
            assert np.isfinite(array).all(), (where, parameter)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("selector", [*registry.entries("rule"), *OPTIONS])
def test_states_stay_finite(selector, dtype):
    """After a step in which the weights were held."""
    rule = select("rule", selector).make()
    if type(rule).advance is Rule.advance:
        return
    for where, network, objective, batch in cases(rule):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                at = prepare(rule, network, objective, batch, None, 0, dtype)
                noise = Noise(0, np.zeros(1, np.int64), batch.keys, at.network.dtype)
                held = {key: np.zeros_like(a) for key, a in at.network.parameters.items()}
                step = Step(at.network, objective, at.batch, at.clean, held, 0.0, noise)
                state = rule.advance(at.state, step)
        except (Divergence, InputError):
            continue
        for name, array in state.items():
            assert array.dtype == dtype, where
            assert np.isfinite(array).all(), (where, name)

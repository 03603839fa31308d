"""Variants of rules conform: with other options, on other networks, and where some must not.

Rules with their default options are run by the tests of the conformance suite.
"""

import numpy as np
import pytest

from dendritic_cells import CROSS_ENTROPY, SQUARED_ERROR, situation
from perturbation_cells import OBJECTIVES
from plausibench import bench
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance import Case, checks
from plausibench.bench.conformance.case import teacher_batch
from plausibench.rules.burstprop import Burstprop
from plausibench.rules.dendritic_error import DendriticError
from plausibench.rules.regression_discontinuity import RegressionDiscontinuity
from plausibench.rules.segregated_dendrites import SegregatedDendrites
from plausibench.rules.spiking_burstprop import SpikingBurstprop
from spiking_cells import classes, spiking
from time_cells import rate_rnn
from variants import FEEDBACK, IN_TIME, KEYED, PERTURBATION, REWARDED_SPIKES, SETTLING

SIGMOID = {"activation": "sigmoid", "output": "sigmoid"}
UNSCALED = {"bias_order": "the scale is not undone"}
GAIN = {"bias_order": "bursts from above change the gain of p, at any nudging"}
MISMATCH = {"bias_order": "self-prediction fails at any nudging"}
NOISE = {"bias_order": "weak nudging divides the bias of the noise"}
HIDDEN = {"bias": "hidden by the noise of few neurons"}


def made(selector):
    return select("rule", selector).make()


def chain(**options):
    """Squared error on a perceptron."""
    network = bench.make("architecture", "mlp", sizes=(6, 5, 4, 3), **options)
    return Case(network, SQUARED_ERROR, teacher_batch(network))


def in_time(rule):
    """A network in time; surrogates are checked on Bernoulli units, where spikes are random."""
    network, random = rate_rnn((6, 5, 3), steps=3), np.random.default_rng(0)
    inputs, targets = random.standard_normal((8, 6)), random.integers(0, 3, 8)
    batch = bench.Batch(inputs, targets, random.permutation(50)[:8])
    refused = rule.refusal(network, CROSS_ENTROPY) is not None
    return None if refused else Case(network, CROSS_ENTROPY, batch)


def uninhibited(rule):
    at = situation(rule, CROSS_ENTROPY, sizes=[6, 5, 4, 3], **SIGMOID)
    return Case(at.network, at.objective, at.batch)


def spikes(rule):
    network = spiking([4, 3, 2])
    return Case(network, CROSS_ENTROPY, classes(network))


def anywhere(rule):
    return None


def by_selector(selectors, place=anywhere, name=""):
    return {f"{selector}{name}": (made(selector), place, None) for selector in selectors}


VARIANTS = {
    # without options they are run by the tests of the suite
    **by_selector([s for s in (*SETTLING, *PERTURBATION, *FEEDBACK) if "[" in s]),
    **by_selector(KEYED, lambda rule: chain(), ", squared error"),
    **by_selector(IN_TIME, in_time, ", in time"),
    **by_selector(REWARDED_SPIKES),
    "burstprop[feedback=random]": (Burstprop(feedback="random"), anywhere, None),
    "burstprop[scale=none]": (Burstprop(scale="none"), anywhere, UNSCALED),
    "burstprop[inhibition=none]": (Burstprop(inhibition="none"), uninhibited, GAIN),
    "segregated_dendrites[scale=none]": (SegregatedDendrites(scale="none"), anywhere, None),
    "dendritic_error[mismatch=0.1]": (DendriticError(mismatch=0.1), anywhere, MISMATCH),
    "dendritic_error[noise=0.01]": (DendriticError(noise=0.01), anywhere, NOISE),
    "spiking_burstprop[inhibition=none,units=10]": (
        SpikingBurstprop(inhibition="none", units=10),
        lambda rule: chain(**SIGMOID),
        HIDDEN,
    ),
    "regression_discontinuity[regression=local_constant]": (
        RegressionDiscontinuity(20, 1.5, "local_constant"),
        spikes,
        None,
    ),
    **{
        f"reinforce[baseline={baseline}], {units}, {goal}": (
            bench.make("rule", "reinforce", baseline=baseline),
            lambda rule, units=units, goal=goal: stochastic(units, goal),
            None,
        )
        for units in ("bernoulli", "gaussian")
        for goal in ("mean_squared_error", "expected_reward")
        for baseline in ("clean", "running")
    },
}
"""Rules with the place and what is expected to fail there, by what they are called here."""


def stochastic(units, goal):
    network = bench.make("architecture", "stochastic_mlp", sizes=(6, 5, 4, 3), units=units)
    return Case(network, OBJECTIVES[goal], teacher_batch(network))


@pytest.mark.parametrize("variant", VARIANTS)
def test_conforms(variant):
    rule, place, failing = VARIANTS[variant]
    for _, check in checks(rule, place(rule), expected_failed=failing):
        check()

"""What rules declare of their theory, at places other than those of their certificates.

Certificates measure every rule with its default options on many small networks, and so do the tests
of certificates. Here are variants, and in ``make acceptance`` the rules themselves again.
"""

import numpy as np
import pytest

import claims
import dendritic_cells
import feedback_cells
import keyed_cells
import perturbation_cells
import settling_cells
import spiking_cells
import time_cells
from plausibench import bench
from plausibench.bench.components.selectors import select
from variants import (
    DENDRITIC,
    FEEDBACK,
    GRADIENTS,
    IN_TIME,
    KEYED,
    MICROCIRCUIT,
    PERTURBATION,
    SETTLING,
    SPIKING,
)

SIGMOID = {"activation": "sigmoid", "output": "sigmoid"}


def made(selector):
    return select("rule", selector).make()


def settling(sizes, objective):
    def situations(selector):
        architecture = "hopfield" if "equilibrium" in selector else "mlp"
        network, batch = settling_cells.cell(architecture, sizes, seed=1)
        return [claims.situation(made(selector), network, batch, objective)]

    return situations


def perturbation(sizes):
    def situations(selector):
        return [claims.situation(made(selector), *perturbation_cells.cell(sizes, seed=3))]

    return situations


def feedback(name):
    def situations(selector):
        return [feedback_cells.situation(selector, *feedback_cells.NETWORKS[name])]

    return situations


def dendritic(objective, architecture="mlp", **options):
    def situations(selector):
        goal = bench.make("objective", objective)
        return [dendritic_cells.situation(made(selector), goal, architecture, **options)]

    return situations


def keyed(name):
    def situations(selector):
        network, batch = keyed_cells.NETWORKS[name]
        return [claims.situation(made(selector), network, batch, "mean_squared_error")]

    return situations


def in_time(network):
    def situations(selector):
        rule = made(selector)
        if rule.refusal(network, bench.make("objective", "cross_entropy")):
            pytest.skip("not for this network")
        # Without a time axis too: quadratic losses are claimed of a plain perceptron.
        random = np.random.default_rng(1)
        inputs = random.standard_normal((4, network.inputs))
        plain = bench.Batch(inputs, random.integers(0, network.output.size, 4))
        timed = time_cells.sequences(network, steps=6 if network.steps == 5 else 30)
        return [claims.situation(rule, network, batch) for batch in (plain, timed)]

    return situations


def spiking(sizes):
    def situations(selector):
        network = spiking_cells.spiking(sizes)
        return [claims.situation(made(selector), network, spiking_cells.classes(network))]

    return situations


def rules_in_time(network):
    """With a claim that may apply: of spikes there is no gradient to be."""
    spikes = network.architecture == "spiking_rnn"
    # Errors of online training pass through space alone, and so differ in layers of spikes.
    stacked = spikes and len(network.hidden) > 1
    return [
        name
        for name in IN_TIME
        if not (spikes and name in GRADIENTS) and not (stacked and name.startswith("ottt"))
    ]


GOALS = ("cross_entropy", "mean_squared_error")
TIMES = ("rate", "potential", "deep", "single", "double", "continuous")
DENDRITES = {
    "sigmoid": {"sizes": [6, 5, 4, 3], **SIGMOID},
    "tanh": {"sizes": [5, 7, 3]},
    "softplus without bias": {"sizes": [4, 5, 6, 5, 2], "activation": "softplus", "bias": False},
}
CIRCUITS = {
    "circuit": {},
    "circuit of the paper": dendritic_cells.PAPER,
    "circuit of softplus": {**dendritic_cells.PAPER, "activation": "softplus"},
}
EVERY_CLAIM = {
    **{f"{sizes}": (PERTURBATION, perturbation(sizes)) for sizes in ((6, 5, 4, 3), (4, 7, 2))},
    **{
        f"{place}, {goal}": (DENDRITIC, dendritic(goal, **options))
        for place, options in DENDRITES.items()
        for goal in GOALS
    },
    **{
        place: (
            MICROCIRCUIT,
            dendritic("mean_squared_error", "dendritic", **{"sizes": [6, 5, 4, 3], **options}),
        )
        for place, options in CIRCUITS.items()
    },
    **{f"spikes, {sizes}": (SPIKING, spiking(sizes)) for sizes in ((3, 4, 2), (3, 3, 2, 2))},
}
"""Places where all claims of the rules hold, with the rules and a function to situations."""
SOME_CLAIMS = {
    **{
        f"at rest, {sizes}, {goal}": (SETTLING, settling(sizes, goal))
        for sizes in ((6, 5, 4, 3), (4, 7, 3))
        for goal in GOALS
    },
    **{f"feedback, {name}": (FEEDBACK, feedback(name)) for name in feedback_cells.NETWORKS},
    **{f"keys, {name}": (KEYED, keyed(name)) for name in keyed_cells.NETWORKS},
    **{
        f"in time, {name}": (rules_in_time(network), in_time(network))
        for name, network in zip(TIMES, time_cells.NETWORKS, strict=True)
    },
}
"""Places where some claims do not apply, and are refused."""


def cases(places):
    """Rule and place; what a certificate measures too is left to the acceptance tests."""
    return [
        pytest.param(
            selector,
            place,
            id=f"{selector}-{place}",
            marks=() if "[" in selector else pytest.mark.acceptance,
        )
        for place, (selectors, _) in places.items()
        for selector in selectors
    ]


def recorded(record_figure, place):
    return lambda line, *figures: record_figure(f"{place}: {line}", *figures)


@pytest.mark.parametrize(("selector", "place"), cases(EVERY_CLAIM))
def test_every_claim_holds(selector, place, record_figure):
    for at in EVERY_CLAIM[place][1](selector):
        theory = at.rule.theory()
        assert theory
        for claim in theory:
            claims.asserted(claim, at, recorded(record_figure, place))


@pytest.mark.parametrize(("selector", "place"), cases(SOME_CLAIMS))
def test_claims_hold_where_they_apply(selector, place, record_figure):
    measured = [
        claims.check(claim, at, recorded(record_figure, place))
        for at in SOME_CLAIMS[place][1](selector)
        for claim in at.rule.theory()
    ]
    assert any(values is not None for values in measured)

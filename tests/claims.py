"""Measure what a rule's theory() claims, as the docstrings of rules/theory.py say."""

import numpy as np

from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.rules.theory import Law, Limit, Situation, Slope


def situation(rule, network, batch, objective="cross_entropy", seed=0):
    goal = bench.make("objective", objective)
    return Situation(rule, network, goal, batch, rule.initial_state(network, seed), seed)


def errors(at, expected):
    """Relative error per parameter, and that of the whole net; absolute beside 0."""
    drawn, wanted = at.draws(), expected(at)
    distances = {name: np.linalg.norm(drawn[name][0] - wanted[name]) for name in wanted}
    lengths = {name: np.linalg.norm(wanted[name]) for name in wanted}
    distance, length = (np.hypot.reduce(list(each.values())) for each in (distances, lengths))
    relative = {name: distances[name] / (lengths[name] or 1.0) for name in wanted}
    return relative, distance / (length or 1.0)


def check(claim, at, record_figure=lambda *_: None):
    """Assert one claim at a situation; returns what was measured, None where it is not claimed."""
    try:
        return asserted(claim, at, record_figure)
    except InputError:
        return None


def asserted(claim, at, record_figure):
    rule = type(at.rule).__name__
    if isinstance(claim, Limit):
        found = max(errors(claim.reach(at), claim.expected)[0].values())
        record_figure(f"{rule}: {claim.condition}", found, claim.tolerance)
        assert (found <= claim.tolerance) == claim.holds, (claim.condition, found)
        return found
    if isinstance(claim, Slope):
        values = (10 * claim.smallest, claim.smallest)
        first, last = (errors(claim.reach(at, v), claim.expected)[1] for v in values)
        slope = np.log10(first / last)
        record_figure(f"{rule}: {claim.condition}, slope", slope, claim.power)
        record_figure(f"{rule}: {claim.condition}, error", last, claim.tolerance)
        assert abs(slope - claim.power) <= 0.05, (claim.condition, slope)
        assert last <= claim.tolerance, (claim.condition, last)
        return slope, last
    assert isinstance(claim, Law)
    measured, theory, apart = claim.measure(at)
    record_figure(f"{rule}: {claim.condition}", measured, theory)
    assert abs(measured - theory) <= apart, (claim.condition, measured, theory)
    return measured, theory

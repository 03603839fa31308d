"""Directions that are drawn a few at a time give the sums of those that are drawn together."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring import draws

SIZES = [6, 7, 4]
RANDOM = np.random.default_rng(0)
BATCH = bench.Batch(RANDOM.standard_normal((5, 6)), RANDOM.integers(0, 4, 5))
NETWORK = bench.make("architecture", "mlp", sizes=SIZES, bias=True, seed=3)
OBJECTIVE = bench.make("objective", "cross_entropy")
RULES = {
    "weight_perturbation": {},
    "weight_perturbation, one-sided": {"antithetic": False, "sigma": 0.1},
    "forward_gradient": {},
}


def measured(name, objective=OBJECTIVE, **options):
    rule = bench.make("rule", name.partition(",")[0], **RULES.get(name, {}))
    return bench.measure(rule, NETWORK, objective, BATCH, **options).frame


@pytest.mark.parametrize("samples", [1, 15, 33, 700])
@pytest.mark.parametrize("name", RULES)
def test_sums_are_the_same(name, samples, monkeypatch):
    whole = measured(name, samples=samples, threads=1)
    for few in (1, 2, 8):
        monkeypatch.setattr(draws, "TOGETHER", few * NETWORK.size)
        found = measured(name, samples=samples, threads=1)
        about, columns = ["projection", "quantity", "samples", "method"], ["value", "low", "high"]
        if name != "forward_gradient":  # which differs from its companion by rounding alone
            about, columns = [*about, "flag"], [*columns, "effective_dimension"]
        assert found[about].equals(whole[about])
        for column in columns:
            # Sums of the same numbers in another order; quantities are relative to |g|^2.
            one, other = (frame[column].to_numpy(float) for frame in (whole, found))
            np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-9)


def test_variance_in_single_precision(monkeypatch):
    options = {"samples": 200, "dtype": "float32", "threads": 1}
    whole = measured("weight_perturbation", **options)
    monkeypatch.setattr(draws, "TOGETHER", 1)
    found = measured("weight_perturbation", **options)
    one, other = (frame.loc[frame["quantity"] == "variance", "value"] for frame in (whole, found))
    assert len(one)
    # Losses in single precision over the size of the noise have some 1e-4.
    np.testing.assert_allclose(other, one, rtol=1e-3)


def test_never_more_than_a_few_are_drawn(monkeypatch):
    seen = []
    rule = type(bench.make("rule", "weight_perturbation"))
    estimate = rule.estimate

    def counted(self, *parts):
        seen.append(len(parts[-1].samples))
        return estimate(self, *parts)

    monkeypatch.setattr(rule, "estimate", counted)
    monkeypatch.setattr(draws, "TOGETHER", 2 * NETWORK.size)
    measured("weight_perturbation", samples=70, threads=1)
    assert set(seen) == {2}
    assert len(seen) == 35


@pytest.mark.parametrize("rule", ["node_perturbation", "feedback_alignment"])
def test_what_is_not_along_a_direction_is_drawn_as_a_whole(rule, monkeypatch):
    whole = measured(rule, samples=70, threads=1)
    monkeypatch.setattr(draws, "TOGETHER", 1)
    assert measured(rule, samples=70, threads=1).equals(whole)


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(threads, monkeypatch):
    monkeypatch.setattr(draws, "TOGETHER", 1)
    one = measured("weight_perturbation", samples=150, threads=1)
    assert measured("weight_perturbation", samples=150, threads=threads).equals(one)


def test_a_penalty_is_added_as_a_whole(monkeypatch):
    """What is no direction any more goes the way of whole arrays, or of companions."""
    goal = bench.make("objective", "weighted_sum", terms="cross_entropy+0.5*weight_decay")
    whole = measured("weight_perturbation", goal, samples=70, threads=1)
    monkeypatch.setattr(draws, "TOGETHER", 1)
    other = measured("weight_perturbation", goal, samples=70, threads=1)
    np.testing.assert_allclose(other["value"], whole["value"], rtol=1e-9, atol=1e-12)

"""A rule whose mean climbs the loss makes no progress, and no scalar mends it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring.step import progress_rows
from plausibench.rules.estimate import outers
from plausibench.rules.rule import Rule, RuleCard

CROSS_ENTROPY = bench.make("objective", "cross_entropy")


@dataclass(frozen=True)
class Ascent(Rule):
    """The gradient with the wrong sign, and noise on it if asked."""

    noise: float = 0.0

    card: ClassVar[RuleCard] = RuleCard(
        summary="minus the gradient",
        equation="-g",
        randomness=frozenset({"rule"}),
        unbiased=False,
        exact_when="never",
        variance_law="that of its noise",
        synapse_knows="all",
        cites="none",
    )

    def randomness(self):
        return frozenset({"rule"}) if self.noise else frozenset()

    def estimate(self, network, objective, batch, clean, state, noise):
        error = -objective.batch_error(clean.output, batch)
        if self.noise:
            drawn = noise.examples({network.output.name: error})[network.output.name]
            error = error + self.noise * drawn
        return outers(network, clean, network.credit(clean, {network.output.name: error}))


def cell():
    network = bench.make("architecture", "mlp", sizes=[64, 8, 10], seed=0)
    return network, CROSS_ENTROPY, bench.make("task", "digits").batch(8, seed=0)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.03])
def test_minus_the_gradient_makes_no_progress(noise):
    found = bench.measure(Ascent(noise), *cell(), samples=1280)
    for projection in ("all", "layer1.weights", "layer2.bias"):
        rows = found.frame[found.frame["projection"] == projection].set_index("quantity")
        for quantity, expected in (("progress", 0), ("scale_free_bias", 1)):
            assert tuple(rows.loc[quantity, ["value", "low", "high"]]) == (expected,) * 3
        assert rows.loc["gain", "value"] == pytest.approx(-1, abs=0.1)
    rows = {row["quantity"]: row for row in progress_rows(Ascent(noise), *cell())}
    for quantity in ("best_step", "predicted_decrease", "realised_decrease"):
        assert rows[quantity]["value"] == 0


def test_an_exact_rule_with_a_mean_uphill():
    """Hebb's rule does not know what is asked of it; where it climbs, it is worth nothing."""
    signs = set()
    for seed in range(4):
        network = bench.make("architecture", "mlp", sizes=[64, 16, 10], seed=seed)
        batch = bench.make("task", "digits").batch(32, seed=0)
        found = bench.measure(
            bench.make("rule", "hebb"), network, CROSS_ENTROPY, batch, reference="objective"
        )
        for projection in ("all", *found.reference):
            gain = found.value("gain", projection)
            signs.add(gain > 0)
            assert (found.value("progress", projection) == 0) == (gain <= 0)
            if projection != "all":
                assert (found.value("scale_free_bias", projection) == 1) == (gain <= 0)
    assert signs == {True, False}


def test_the_whole_weighs_its_uphill_parts_fully():
    g = {"up": np.array([2.0, 0.0]), "down": np.array([0.0, 1.0])}
    estimate = {"up": -g["up"], "down": 5 * g["down"]}
    found = bench.measure_function(lambda *_: estimate, g, None, 64, reference=g)
    assert found.value("scale_free_bias") == pytest.approx(4 / 5, rel=1e-12)
    assert found.value("scale_free_bias", "up") == 1
    assert found.value("scale_free_bias", "down") == pytest.approx(0, abs=1e-12)

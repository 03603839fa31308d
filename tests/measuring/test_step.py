"""A rule whose mean climbs the loss makes no progress, and no scalar mends it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.measuring.step import curvature, decrease, progress_rows
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import outers
from plausibench.rules.rule import Rule, RuleCard
from training_cells import (
    BACKPROP,
    CROSS_ENTROPY,
    SQUARED_ERROR,
    TASK,
    Scaled,
    flat,
    mlp,
    rows_of,
    standard_error,
)


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
    for quantity in ("best_step", "predicted_progress", "realised_progress", "realised_decrease"):
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


class Concave(Objective):
    """Minus half the squared output: no curvature is positive."""

    def losses(self, output, targets):
        return -0.5 * (output**2).sum(axis=-1)

    def error(self, output, targets):
        return -output


class TestProgress:
    """On a quadratic: one linear layer with squared error."""

    network = bench.make("architecture", "linear", sizes=[5, 3], bias=True, seed=2)
    batch = TASK.batch(8, seed=1)
    wp = bench.make("rule", "weight_perturbation")

    def hessian(self):
        """From the gradient, which is linear in the weights."""
        g = flat(bench.gradient(self.network, SQUARED_ERROR, self.batch))
        columns = []
        for p in range(self.network.size):
            unit = (np.arange(self.network.size) == p).astype(float)
            moved = self.network.with_parameters(self.shaped(self.flat_weights() + unit))
            columns.append(flat(bench.gradient(moved, SQUARED_ERROR, self.batch)) - g)
        return np.array(columns), g

    def flat_weights(self):
        return flat(self.network.parameters)

    def shaped(self, vector):
        shaped, start = {}, 0
        for name, array in self.network.parameters.items():
            shaped[name] = vector[start : start + array.size].reshape(array.shape)
            start += array.size
        return shaped

    def setting(self, rule):
        return prepare(rule, self.network, SQUARED_ERROR, self.batch, None, 0)

    def found(self, rule, **options):
        frame = bench.progress(rule, self.network, SQUARED_ERROR, self.batch, **options)
        return frame.set_index("quantity")

    def test_second_difference_is_the_curvature_along_a_draw(self):
        h, _ = self.hessian()
        draws = bench.estimates(self.wp, self.network, SQUARED_ERROR, self.batch, 20)
        rows = rows_of(draws)
        expected = np.einsum("kp,pq,kq->k", rows, h, rows)
        np.testing.assert_allclose(curvature(self.setting(self.wp), draws), expected, rtol=1e-6)

    def test_second_difference_along_nothing_is_nothing(self):
        draws = {name: np.zeros((2, *a.shape)) for name, a in self.network.parameters.items()}
        np.testing.assert_array_equal(curvature(self.setting(self.wp), draws), 0)

    def test_decrease_is_that_of_the_loss(self):
        draws = bench.estimates(self.wp, self.network, SQUARED_ERROR, self.batch, 3)
        steps = np.array([0.1, 0.2, 0.3])
        found = decrease(self.setting(self.wp), draws, steps)
        before = bench.loss(self.network, SQUARED_ERROR, self.batch)
        for k, step in enumerate(steps):
            moved = {n: w - step * draws[n][k] for n, w in self.network.parameters.items()}
            after = bench.loss(self.network.with_parameters(moved), SQUARED_ERROR, self.batch)
            assert found[k] == pytest.approx(before - after, rel=1e-12)

    def test_decrease_is_unknown_where_activity_does_not_settle(self):
        """Of a step on trial: a network that itself settles is measured all the same."""
        network = bench.make("architecture", "hopfield", sizes=[4, 6, 3], activation="relu", seed=0)
        batch = bench.Batch(np.ones((2, 4)), np.array([0, 2]))
        rule = bench.make("rule", "equilibrium_propagation")
        setting = prepare(rule, network, CROSS_ENTROPY, batch, None, 0)
        draws = {name: -np.abs(a)[None] for name, a in network.parameters.items()}
        assert np.isfinite(decrease(setting, draws, 0.0)).all()
        assert np.isnan(decrease(setting, draws, 1e3)).all()
        long = {name: 1e6 * a for name, a in draws.items()}
        assert np.isfinite(curvature(setting, long)).all()

    def test_decrease_of_weight_perturbation_at_its_best_step_follows_the_law(self, record_figure):
        """E[estimate^T H estimate] = |g|^2 tr H + 2 g^T H g for gaussian noise."""
        h, g = self.hessian()
        energy = g @ g * np.trace(h) + 2 * g @ h @ g
        best, expected = g @ g / energy, (g @ g) ** 2 / (2 * energy)
        draws = bench.estimates(self.wp, self.network, SQUARED_ERROR, self.batch, 20_000)
        realised = decrease(self.setting(self.wp), draws, best)
        error = realised.std(ddof=1) / np.sqrt(realised.size)
        record_figure(
            "decrease of weight perturbation at its best step against theory, standard errors",
            abs(realised.mean() - expected) / error,
            "below 4",
        )
        assert abs(realised.mean() - expected) < 4 * error

        found = self.found(self.wp, samples=64)
        share = expected / ((g @ g) ** 2 / (2 * g @ h @ g))
        for name, value in (("best_step", best), ("predicted_progress", share)):
            row = found.loc[name]
            error = standard_error(row["low"], row["high"], 64)
            assert abs(row["value"] - value) < 4 * error, name
            assert error < 0.5 * value
        # On a quadratic the prediction from the draws is what the draws give.
        assert found["value"]["realised_progress"] == pytest.approx(
            found["value"]["predicted_progress"], rel=1e-6
        )
        assert set(found["method"]) == {"sampled"}
        assert set(found["redrawn"]) == {"rule"}
        assert set(found["samples"]) == {64}

    def test_of_the_gradient_is_exact(self):
        h, g = self.hessian()
        found = self.found(BACKPROP)
        best, decreased = g @ g / (g @ h @ g), (g @ g) ** 2 / (2 * g @ h @ g)
        assert found["value"]["best_step"] == pytest.approx(best, rel=1e-6)
        assert found["value"]["predicted_progress"] == 1
        assert found["value"]["realised_progress"] == 1
        assert found["value"]["realised_decrease"] == pytest.approx(decreased, rel=1e-6)
        np.testing.assert_array_equal(found["low"], found["value"])
        np.testing.assert_array_equal(found["high"], found["value"])
        assert set(found["method"]) == {"exact"}

    def test_uphill_there_is_no_step_to_take(self):
        found = self.found(Scaled(-1.0))["value"]
        assert (found == 0).all()

    def test_without_positive_curvature_there_is_no_best_step(self):
        frame = bench.progress(BACKPROP, self.network, Concave(), self.batch)
        assert frame["value"].isna().all()

    def test_sampled_actions_are_judged_by_their_exact_mean(self):
        rule, task = bench.make("rule", "attention_gated"), bench.make("task", "digits")
        network = bench.make("architecture", "mlp", sizes=[64, 4, 10])
        batch = task.batch(8)
        found = bench.progress(rule, network, CROSS_ENTROPY, batch).set_index("quantity")["value"]
        setting = prepare(rule, network, CROSS_ENTROPY, batch, None, 0)
        g = {name: a[None] for name, a in bench.gradient(network, CROSS_ENTROPY, batch).items()}
        along_g = curvature(setting, g)[0]
        along = curvature(setting, bench.estimates(rule, network, CROSS_ENTROPY, batch, 64))
        # Its mean is the gradient, so that slopes are alike and only curvatures are drawn.
        assert found["predicted_progress"] == pytest.approx(along_g / along.mean(), rel=1e-10)

    def test_deviation_from_first_order_shrinks_with_slope_one(self, record_figure):
        rule, network = bench.make("rule", "node_perturbation"), mlp(6, 6)
        setting = prepare(rule, network, SQUARED_ERROR, self.batch, None, 0)
        draws = bench.estimates(rule, network, SQUARED_ERROR, self.batch, 8)
        linear = rows_of(draws) @ flat(bench.gradient(network, SQUARED_ERROR, self.batch))
        steps = np.geomspace(1e-6, 1e-5, 5)
        deviations = [
            np.abs(decrease(setting, draws, step) / (step * linear) - 1).mean() for step in steps
        ]
        slope = np.polyfit(np.log(steps), np.log(deviations), 1)[0]
        record_figure("slope of the deviation from first order in the step", slope, "1 +- 0.05")
        assert slope == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize("samples", [1, 65])
    def test_bad_options_are_refused(self, samples):
        with pytest.raises(InputError, match=f"samples: {samples} is not"):
            self.found(BACKPROP, samples=samples)

"""The variance budget: feedback, data and noise of the rule."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring.exact import is_exact
from plausibench.bench.measuring.variance_budget import budget_rows
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import generator, stream
from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard
from training_cells import (
    BACKPROP,
    CROSS_ENTROPY,
    SQUARED_ERROR,
    TASK,
    card,
    flat,
    mlp,
    rows_of,
    standard_error,
)


@dataclass(frozen=True)
class Synthetic(Rule):
    """Reference plus bias plus effects of feedback, batch and sample with known variances."""

    feedback: float = 0.0
    data: float = 0.0
    within: float = 0.0
    bias: float = 0.0
    card: ClassVar[RuleCard] = card("feedback", "rule")

    def randomness(self):
        return frozenset({"rule"} | ({"feedback"} if self.feedback else set()))

    def initial_state(self, network, seed):
        return {
            name: generator(seed, "feedback", name).standard_normal(array.shape)
            for name, array in network.parameters.items()
        }

    def reference(self, network, objective, batch, clean):
        return {name: np.ones_like(array) for name, array in network.parameters.items()}

    def estimate(self, network, objective, batch, clean, state, noise):
        drawn = noise.parameters(network.parameters)
        keys = tuple(int(key) for key in batch.keys)
        return {
            name: Dense(
                1
                + self.bias
                + np.sqrt(self.feedback) * state[name]
                + np.sqrt(self.data) * generator(0, name, keys).standard_normal(array.shape)
                + np.sqrt(self.within) * drawn[name]
            )
            for name, array in network.parameters.items()
        }


def values(rows):
    return {row["quantity"]: row["value"] for row in rows}


class TestBudget:
    network = bench.make("architecture", "linear", sizes=[5, 3])
    design: ClassVar = {"feedbacks": 4, "batches": 3, "samples": 5, "batch_size": 8}

    @pytest.mark.parametrize("feedback", [0.7, 0.0])
    def test_is_unbiased(self, feedback, record_figure):
        """Of 12 values one lies beyond 4 standard errors in 1 of 1300 sets of seeds."""
        rule = Synthetic(feedback=feedback, data=0.4, within=1.5, bias=0.3)
        found = [
            values(budget_rows(rule, TASK, self.network, SQUARED_ERROR, **self.design, seed=seed))
            for seed in range(150)
        ]
        expected = {
            "variance_feedback": feedback,
            "variance_data": 0.4,
            "variance_within": 1.5,
            "variance_total": feedback + 0.4 + 1.5,
            "marginal_bias_squared": 0.09,
            "conditional_bias_squared": 0.09 + feedback,
        }
        worst = 0.0
        for name, value in expected.items():
            listed = np.array([one[name] for one in found])
            error = listed.std(ddof=1) / np.sqrt(len(listed))
            if error == 0:
                assert (listed == value).all()
                continue
            worst = max(worst, abs(listed.mean() - value) / error)
        record_figure("variance budget against known components, standard errors", worst, "below 4")
        assert worst < 4

    def test_agrees_with_a_nested_analysis_of_variance(self):
        rule = Synthetic(feedback=0.7, data=0.4, within=1.5, bias=0.3)
        a, b, c = 4, 3, 5
        y = np.empty((a, b, c, self.network.size))
        for i in range(a):
            state = rule.initial_state(self.network, stream(9, "redraw", i))
            for j in range(b):
                own = stream(9, "budget", i, j)
                drawn = bench.estimates(
                    rule,
                    self.network,
                    SQUARED_ERROR,
                    TASK.batch(8, seed=own),
                    samples=c,
                    seed=own,
                    state=state,
                )
                y[i, j] = rows_of(drawn)
        cells, units, mean = y.mean(axis=2), y.mean(axis=(1, 2)), y.mean(axis=(0, 1, 2))
        inner = ((y - cells[:, :, None]) ** 2).sum() / (a * b * (c - 1))
        middle = c * ((cells - units[:, None]) ** 2).sum() / (a * (b - 1))
        outer = b * c * ((units - mean) ** 2).sum() / (a - 1)
        g2 = self.network.size
        expected = {
            "variance_within": inner,
            "variance_data": (middle - inner) / c,
            "variance_feedback": (outer - middle) / (b * c),
            "marginal_bias_squared": ((mean - 1) ** 2).sum() - outer / (a * b * c),
            "conditional_bias_squared": ((units - 1) ** 2).sum() / a - middle / (b * c),
        }
        found = values(budget_rows(rule, TASK, self.network, SQUARED_ERROR, **self.design, seed=9))
        for name, value in expected.items():
            assert found[name] == pytest.approx(value / g2, rel=1e-10), name

    def test_of_feedback_alignment_has_nothing_within(self):
        rule = bench.make("rule", "feedback_alignment")
        found = bench.budget(rule, TASK, mlp(6), SQUARED_ERROR, batch_size=8)
        named = found.set_index("quantity")["value"]
        assert named["variance_within"] == 0
        assert named["variance_feedback"] > 0
        assert named["variance_data"] > 0
        # Over feedback, the mean squared conditional bias is marginal bias plus variance.
        assert named["conditional_bias_squared"] == pytest.approx(
            named["marginal_bias_squared"] + named["variance_feedback"], rel=1e-10
        )
        assert set(found["redrawn"]) == {"data+feedback"}
        assert set(found["samples"]) == {80}

    def test_of_the_gradient_is_that_of_batches_without_replacement(self):
        network, size = mlp(6), 40
        found = bench.budget(BACKPROP, TASK, network, SQUARED_ERROR, batch_size=size)
        row = found.set_index("quantity").loc["variance_data"]
        full = TASK.full()
        each = np.array(
            [flat(bench.gradient(network, SQUARED_ERROR, full.take([b]))) for b in range(full.size)]
        )
        g = each.mean(axis=0)
        spread = ((each - g) ** 2).sum(axis=1).mean()
        expected = spread / size * (full.size - size) / (full.size - 1) / (g @ g)
        assert abs(row["value"] - expected) < 4 * standard_error(row["low"], row["high"], 20)
        zero = found.set_index("quantity")["value"]
        assert zero["variance_feedback"] == zero["variance_within"] == 0
        assert set(found["redrawn"]) == {"data"}

    def test_of_sampled_actions_uses_their_exact_variance(self):
        rule, task = bench.make("rule", "attention_gated"), bench.make("task", "digits")
        network = bench.make("architecture", "mlp", sizes=[64, 4, 10])
        found = values(
            budget_rows(rule, task, network, CROSS_ENTROPY, feedbacks=3, batches=2, batch_size=8)
        )
        variances = []
        for number in range(6):
            batch = task.batch(8, seed=stream(0, "budget", number))
            measured = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
            variances.append(measured.value("absolute_variance"))
        g = flat(bench.gradient(network, CROSS_ENTROPY, task.full()))
        assert found["variance_within"] == pytest.approx(np.mean(variances) / (g @ g), rel=1e-12)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"feedbacks": 2}, "feedbacks: 2 is not"),
            ({"batches": 1}, "batches: 1 is not"),
            ({"samples": 1}, "samples: 1 is not"),
            ({"batch_size": 61}, "at most 60"),
        ],
    )
    def test_bad_options_are_refused(self, options, said):
        with pytest.raises(InputError) as caught:
            bench.budget(BACKPROP, TASK, mlp(6), SQUARED_ERROR, **options)
        assert said in str(caught.value)


def test_actions_are_not_enumerated_where_other_noise_is_redrawn_too():
    class Noisy(type(bench.make("rule", "attention_gated"))):
        def randomness(self):
            return frozenset({"action", "rule"})

    assert is_exact(Noisy(), frozenset({"action"}))
    assert is_exact(Noisy(), frozenset({"feedback"}))
    assert not is_exact(Noisy(), frozenset({"rule"}))
    assert not is_exact(Noisy(), frozenset({"action", "rule"}))

"""Realised progress: the best step along an estimate beside the best along the gradient."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from naive import realised_progress
from plausibench import bench
from plausibench.bench.measuring.step import Steps, best_step, realised, training_sample
from plausibench.bench.studies.benchmark import cell
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units
from plausibench.kernels.errors import InputError
from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard

SQUARED_ERROR = bench.make("objective", "mean_squared_error")
CROSS_ENTROPY = bench.make("objective", "cross_entropy")
DIGITS = bench.make("task", "digits")
MLP = bench.make("architecture", "mlp", sizes=[64, 12, 10], activation="tanh", seed=3)


@dataclass(frozen=True)
class Tilted(Rule):
    """The gradient, and beside it a direction of its own and noise."""

    aside: float = 0.5
    noise: float = 0.0

    card: ClassVar[RuleCard] = RuleCard(
        summary="the gradient with what is none of it",
        equation="g + aside u + noise xi",
        randomness=frozenset({"rule"}),
        unbiased=False,
        exact_when="both are 0",
        variance_law="noise^2 for each weight",
        synapse_knows="all",
        cites="none",
    )

    def randomness(self):
        return frozenset({"rule"}) if self.noise else frozenset()

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = network.gradient(objective, batch, clean)
        drawn = noise.parameters(exact)
        return {
            name: Dense(g + self.aside * np.cos(np.arange(g.size)).reshape(g.shape) + added)
            for name, g in exact.items()
            for added in [self.noise * drawn[name] if self.noise else 0.0]
        }


def values(rule, network, objective, batch, **options):
    return bench.progress(rule, network, objective, batch, **options).set_index("quantity")["value"]


class TestWhereCurvatureIsAlikeInAllDirections:
    """A linear layer, whose inputs are orthogonal to each other and to the constant."""

    network = bench.make("architecture", "linear", sizes=[7, 3], bias=True, seed=2)
    signs = np.array([[(-1) ** bin(a & b).count("1") for a in range(8)] for b in range(8)], float)
    batch = bench.Batch(signs[:, 1:], np.random.default_rng(0).standard_normal((8, 3)))

    @pytest.mark.parametrize(
        "rule",
        [
            Tilted(0.0),
            Tilted(0.05),
            Tilted(0.5),
            Tilted(0.0, 0.1),
            Tilted(0.3, 0.3),
            bench.make("rule", "weight_perturbation"),
        ],
        ids=str,
    )
    def test_it_is_the_progress_that_is_measured(self, rule, record_figure):
        samples = 64
        found = values(rule, self.network, SQUARED_ERROR, self.batch, samples=samples)
        cell = (rule, self.network, SQUARED_ERROR, self.batch, samples)
        measured = bench.measure(*cell, method="sampled")  # of the same draws alone
        expected = measured.value("progress")
        for quantity in ("realised_progress", "predicted_progress"):
            difference = abs(found[quantity] - expected)
            record_figure(f"{quantity} against rho squared where H = c I", difference, "1e-6")
            assert difference < 1e-6
        assert 0 < expected <= 1


@pytest.mark.parametrize("objective", [CROSS_ENTROPY, SQUARED_ERROR], ids=["ce", "mse"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_a_multiple_of_the_gradient_realises_all(objective, scale):
    @dataclass(frozen=True)
    class Multiple(Tilted):
        def estimate(self, network, objective, batch, clean, state, noise):
            exact = network.gradient(objective, batch, clean)
            return {name: Dense(scale * g) for name, g in exact.items()}

    batch = DIGITS.batch(16)
    if objective is SQUARED_ERROR:
        batch = bench.Batch(batch.inputs, np.eye(10)[batch.targets])
    found = values(Multiple(), MLP, objective, batch)
    # Differences of second order lose half of the digits.
    assert found["realised_progress"] == pytest.approx(1, abs=1e-6)
    assert found["predicted_progress"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["feedback_alignment", "node_perturbation", "weight_perturbation"])
def test_it_is_that_of_loops_over_steps(name):
    """The naive twin tries 400 steps a factor 1.011 apart: off by less than half its square."""
    rule = bench.make("rule", name)
    network = bench.make("architecture", "mlp", sizes=[5, 4, 3], activation="tanh", seed=1)
    draw = np.random.default_rng(4)
    batch = bench.Batch(draw.standard_normal((6, 5)), draw.integers(0, 3, 6))
    frame = bench.progress(rule, network, CROSS_ENTROPY, batch, samples=6)
    found = frame.set_index("quantity")["value"]
    drawn = bench.estimates(rule, network, CROSS_ENTROPY, batch, frame["samples"].iloc[0])
    g = bench.gradient(network, CROSS_ENTROPY, batch)
    expected = realised_progress(
        drawn,
        g,
        network.parameters,
        lambda weights: bench.loss(network.with_parameters(weights), CROSS_ENTROPY, batch),
    )
    assert found["realised_progress"] == pytest.approx(expected, rel=2e-4)
    assert found["realised_progress"] > 0


def test_intervals_cover(record_figure):
    """Weight perturbation in a quadratic, whose realised progress is known.

    E[estimate^T H estimate] = |g|^2 tr H + 2 g^T H g. Of 400 intervals 95 % are to cover; 90 % or
    less would be so by chance once in 10 000 times.
    """
    draw = np.random.default_rng(0)
    root, g = draw.standard_normal((40, 40)), draw.standard_normal(40)
    hessian = root @ root.T
    of_g = g @ hessian @ g

    def steps(rows):
        curved = np.einsum("kp,pq,kq->k", rows, hessian, rows)
        return Steps(rows @ g, curved, lambda step: step * (rows @ g) - step**2 * curved / 2, 1.0)

    expected = of_g / (g @ g * np.trace(hessian) + 2 * of_g)
    covered = 0
    for _ in range(400):
        noise = draw.standard_normal((64, 40))
        found = realised(steps((noise @ g)[:, None] * noise), steps(g[None]))
        _, low, high = found["realised_progress"]
        covered += low <= expected <= high
    record_figure("intervals of realised progress that cover", covered / 400, "above 0.90")
    assert covered > 0.90 * 400


class TestLineSearch:
    @staticmethod
    def steps(decrease, curvature=1.0):
        return Steps(
            np.array([1.0]), np.array([curvature]), lambda step: np.array([decrease(step)]), 1e-3
        )

    @pytest.mark.parametrize("curvature", [1e-4, 1.0, 1e4, -1.0])
    def test_it_ends_at_the_best_step_wherever_it_begins(self, curvature):
        step, decrease = best_step(self.steps(lambda x: x * np.exp(-x), curvature), 1.0)
        assert step == pytest.approx(1, abs=5e-3)
        assert decrease == pytest.approx(np.exp(-1), rel=1e-5)

    def test_uphill_it_takes_none(self):
        assert best_step(self.steps(lambda x: x), -1.0) == (0, 0)

    def test_without_an_end_there_is_no_best(self):
        assert np.isnan(best_step(self.steps(lambda x: x), 1.0)).all()

    def test_of_a_loss_that_no_step_lowers(self):
        assert best_step(self.steps(lambda x: -1.0), 1.0) == (0, 0)

    def test_steps_that_do_not_settle_are_none(self):
        found = best_step(self.steps(lambda x: x if x < 0.01 else np.nan), 1.0)
        assert 0.005 < found[0] < 0.01
        assert found[1] == found[0]


def test_measuring_can_take_steps_too():
    batch, rule = DIGITS.batch(16), bench.make("rule", "node_perturbation")
    plain = bench.measure(rule, MLP, CROSS_ENTROPY, batch, 128)
    found = bench.measure(rule, MLP, CROSS_ENTROPY, batch, 128, realised=True)
    steps = values(rule, MLP, CROSS_ENTROPY, batch)
    pd.testing.assert_frame_equal(found.frame[:-2], plain.frame)
    for quantity in ("realised_progress", "predicted_progress"):
        assert found.value(quantity) == steps[quantity]
        with pytest.raises(InputError, match="quantity"):
            plain.value(quantity)
    with pytest.raises(InputError, match="realised: 1 is not"):
        bench.measure(rule, MLP, CROSS_ENTROPY, batch, realised=1)


def test_the_training_set_is_named_apart():
    rule, batch = bench.make("rule", "node_perturbation"), DIGITS.batch(16)
    training = training_sample(DIGITS)
    frame = bench.progress(rule, MLP, CROSS_ENTROPY, batch, training=training)
    own = bench.progress(rule, MLP, CROSS_ENTROPY, training, samples=16)
    named = frame[frame["quantity"].str.endswith("_training")]
    assert list(named["value"]) == list(own["value"])
    assert set(named["samples"]) == {16}
    assert set(frame["samples"]) == {16, 64}
    assert frame["quantity"].is_unique


def test_the_sample_of_a_large_training_set_is_fixed():
    small = bench.make("task", "digits")
    assert training_sample(small) is small.train
    large = bench.make("task", "teacher_student", inputs=3, outputs=2, examples=6000)
    found = training_sample(large)
    assert found.size == 2048
    assert np.unique(found.keys).size == 2048
    np.testing.assert_array_equal(found.inputs, training_sample(large).inputs)


@pytest.mark.parametrize("training_set", [False, True])
def test_the_benchmark_measures_it_on_the_training_set_if_asked(training_set):
    spec = Spec(
        rules=("backprop",), hidden=(4,), checkpoints=(0,), seeds=1, training_set=training_set
    )
    (own,) = (unit for unit in units(spec) if unit.protocol == "own")
    rows = [row for row in cell.measured(own, spec) if row["kind"] == "progress"]
    found = {row["quantity"]: row["value"] for row in rows}
    assert found["realised_progress"] == 1
    assert found.get("realised_progress_training") == (1 if training_set else None)

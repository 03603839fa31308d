"""Training, and what is measured along it: averaging curve, variance budget, progress."""

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.measuring.exact import is_exact
from plausibench.bench.measuring.statistics import student_quantile
from plausibench.bench.measuring.step import curvature, decrease
from plausibench.bench.measuring.variance_budget import budget_rows
from plausibench.bench.training.optimisers import Adam, Sgd, make_optimiser
from plausibench.bench.training.training import alignment, evaluate, trajectory
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
TASK = bench.make("task", "teacher_student", inputs=5, outputs=3, examples=60)
BACKPROP = bench.make("rule", "backprop")


def mlp(*hidden, seed=0, **options):
    sizes = [TASK.inputs_size, *hidden, TASK.outputs_size]
    return bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)


def card(*randomness):
    return RuleCard(
        summary="",
        equation="",
        randomness=frozenset(randomness),
        unbiased=False,
        exact_when="",
        variance_law="",
        synapse_knows="",
        cites="",
    )


def flat(arrays):
    """Parameters end to end; draws ``(S, *shape)`` as rows if the arrays have one more axis."""
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


def rows_of(draws):
    return np.concatenate([array.reshape(len(array), -1) for array in draws.values()], axis=1)


def standard_error(low, high, groups):
    """Of a value with an interval by Student's t over so many groups."""
    return (high - low) / (2 * student_quantile(0.95, groups - 1))


class TestOptimisers:
    gradients = np.random.default_rng(0).standard_normal((20, 7))

    def path(self, optimiser):
        """Parameters after each step, from two arrays that start at 0."""
        weights, memory, found = {"a": np.zeros((2, 2)), "b": np.zeros(3)}, {}, []
        for g in self.gradients:
            estimate = {"a": g[:4].reshape(2, 2), "b": g[4:]}
            change, memory = optimiser.change(estimate, memory)
            weights = {name: weights[name] + change[name] for name in weights}
            found.append(flat(weights))
        return np.array(found)

    def test_sgd_agrees_with_its_naive_twin(self):
        found = self.path(Sgd(0.3))
        for coordinate in range(7):
            w = 0.0
            for step, g in enumerate(self.gradients[:, coordinate]):
                w -= 0.3 * g
                assert found[step, coordinate] == pytest.approx(w, rel=1e-13)

    def test_adam_agrees_with_its_naive_twin(self):
        found = self.path(Adam(0.1, first=0.8, second=0.95, epsilon=1e-3))
        for coordinate in range(7):
            w = m = v = 0.0
            for step, g in enumerate(self.gradients[:, coordinate]):
                m = 0.8 * m + 0.2 * g
                v = 0.95 * v + 0.05 * g**2
                unbiased = m / (1 - 0.8 ** (step + 1)), v / (1 - 0.95 ** (step + 1))
                w -= 0.1 * unbiased[0] / (unbiased[1] ** 0.5 + 1e-3)
                assert found[step, coordinate] == pytest.approx(w, rel=1e-12)

    def test_first_step_of_adam_is_the_learning_rate_times_the_sign(self):
        found = self.path(Adam(0.1))[0]
        np.testing.assert_allclose(found, -0.1 * np.sign(self.gradients[0]), rtol=1e-6)

    @pytest.mark.parametrize("optimiser", [Sgd(0.1), Adam(0.1)])
    def test_memory_given_is_not_changed(self, optimiser):
        estimate = {"a": np.ones(3)}
        _, memory = optimiser.change(estimate, {})
        before = {name: {key: a.copy() for key, a in part.items()} for name, part in memory.items()}
        optimiser.change(estimate, memory)
        for name, part in before.items():
            for key, array in part.items():
                np.testing.assert_array_equal(memory[name][key], array)

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: make_optimiser("adma", 0.1), "did you mean 'adam'?"),
            (lambda: make_optimiser("sgd", 0), "learning_rate: 0 is not"),
            (lambda: Adam(0.1, second=-0.1), "second: -0.1 is not"),
        ],
    )
    def test_bad_options_are_refused(self, make, said):
        with pytest.raises(InputError) as caught:
            make()
        assert said in str(caught.value)


def course(rule, network, checkpoints, *, task=TASK, objective=SQUARED_ERROR, **options):
    """Checkpoints of a rule, or of backpropagation that a rule follows."""
    trainer = options.get("trainer", rule)
    optimise = options.get("optimise", Sgd(0.1))
    return list(trajectory(trainer, rule, network, objective, task, optimise, checkpoints, 8, 3))


class TestTrajectory:
    def test_of_backpropagation_is_gradient_descent(self):
        network = mlp(6)
        *_, last = course(BACKPROP, network, [0, 4])
        w = network
        for batch in islice(TASK.batches(8, seed=3), 4):
            g = bench.gradient(w, SQUARED_ERROR, batch)
            w = w.with_parameters({name: w.parameters[name] - 0.1 * g[name] for name in g})
        for name, weights in w.parameters.items():
            np.testing.assert_allclose(last.network.parameters[name], weights, rtol=1e-13)

    def test_every_step_has_noise_of_its_own(self):
        rule, network = bench.make("rule", "weight_perturbation"), mlp(6)
        *_, last = course(rule, network, [3], optimise=Sgd(0.01))
        w = network
        for step, batch in enumerate(islice(TASK.batches(8, seed=3), 3)):
            draws = bench.estimates(
                rule, w, SQUARED_ERROR, batch, samples=step + 1, seed=stream(3, "training")
            )
            moved = {name: w.parameters[name] - 0.01 * draws[name][step] for name in draws}
            w = w.with_parameters(moved)
        for name, weights in w.parameters.items():
            np.testing.assert_allclose(last.network.parameters[name], weights, rtol=1e-12)

    @pytest.mark.parametrize("name", ["backprop", "node_perturbation", "feedback_alignment"])
    def test_a_checkpoint_does_not_depend_on_the_others(self, name):
        rule, network = bench.make("rule", name), mlp(6)
        among, alone = course(rule, network, [0, 2, 7, 9]), course(rule, network, [7])
        assert [checkpoint.step for checkpoint in among] == [0, 2, 7, 9]
        for weights, same in zip(
            among[2].network.parameters.values(),
            alone[0].network.parameters.values(),
            strict=True,
        ):
            np.testing.assert_array_equal(weights, same)

    def test_starts_at_the_weights_given_and_leaves_them_alone(self):
        network = mlp(6)
        before = {name: weights.copy() for name, weights in network.parameters.items()}
        first, last = course(BACKPROP, network, [0, 5])
        for name, weights in before.items():
            np.testing.assert_array_equal(network.parameters[name], weights)
            np.testing.assert_array_equal(first.network.parameters[name], weights)
            assert not np.array_equal(last.network.parameters[name], weights)

    def test_a_rule_that_follows_does_not_change_the_weights(self):
        rule, network = bench.make("rule", "feedback_alignment"), mlp(6)
        follows = course(rule, network, [0, 6], trainer=BACKPROP)
        alone = course(BACKPROP, network, [0, 6])
        own = course(rule, network, [0, 6])
        for name, weights in alone[1].network.parameters.items():
            np.testing.assert_array_equal(follows[1].network.parameters[name], weights)
        weights = own[1].network.parameters["layer1.weights"]
        assert not np.array_equal(alone[1].network.parameters["layer1.weights"], weights)

    def test_fixed_feedback_stays_as_it_was_drawn(self):
        rule, network = bench.make("rule", "feedback_alignment"), mlp(6)
        drawn = bench.initial_state(rule, network, seed=3)
        for checkpoint in course(rule, network, [0, 6]):
            for name, matrix in drawn.items():
                np.testing.assert_array_equal(checkpoint.state[name], matrix)

    @pytest.mark.parametrize("trainer", ["backprop", "dendritic_error"])
    def test_state_that_tracks_the_weights_follows_them(self, trainer):
        rule = bench.make("rule", "dendritic_error")
        network = bench.make("architecture", "dendritic", sizes=[5, 4, 3])
        options = {"trainer": bench.make("rule", trainer), "optimise": Sgd(0.02)}
        first, last = course(rule, network, [0, 5], **options)
        expected = bench.initial_state(rule, last.network)
        assert expected.keys() == last.state.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(last.state[name], array)
            assert not np.array_equal(first.state[name], array)

    def test_measuring_at_a_checkpoint_does_not_change_the_rest(self):
        rule, network = bench.make("rule", "node_perturbation"), mlp(6)
        arguments = (rule, rule, network, SQUARED_ERROR, TASK, Sgd(0.01), [0, 3, 6], 8, 3)
        for checkpoint in trajectory(*arguments):
            batch = TASK.batch(8)
            bench.measure(
                rule, checkpoint.network, SQUARED_ERROR, batch, 16, state=checkpoint.state
            )
        undisturbed = course(rule, network, [6], optimise=Sgd(0.01))[0]
        for name, weights in undisturbed.network.parameters.items():
            np.testing.assert_array_equal(checkpoint.network.parameters[name], weights)


class TestEvaluate:
    def test_agrees_with_the_definitions(self):
        task = bench.make("task", "digits")
        network = bench.make("architecture", "mlp", sizes=[64, 8, 10])
        found = evaluate(network, CROSS_ENTROPY, task)
        assert found["train_loss"] == bench.loss(network, CROSS_ENTROPY, task.train)
        assert found["test_loss"] == bench.loss(network, CROSS_ENTROPY, task.test)
        answers = network.forward(task.test.inputs).output.argmax(axis=1)
        assert found["test_accuracy"] == np.mean(answers == task.test.targets)

    def test_of_a_regression_has_no_accuracy(self):
        assert set(evaluate(mlp(6), SQUARED_ERROR, TASK)) == {"train_loss", "test_loss"}


class TestAlignment:
    batch = TASK.batch(8, seed=1)

    def aligned(self, rule, state=None):
        network = mlp(6)
        state = bench.initial_state(rule, network) if state is None else state
        return alignment(rule, network, SQUARED_ERROR, self.batch, state, 0)

    def test_of_the_gradient_is_one(self):
        assert self.aligned(BACKPROP) == pytest.approx(1, abs=1e-14)

    def test_is_the_cosine_of_one_estimate(self):
        rule, network = bench.make("rule", "feedback_alignment"), mlp(6)
        estimate = bench.estimates(rule, network, SQUARED_ERROR, self.batch, samples=1)
        a, g = flat(estimate), flat(bench.gradient(network, SQUARED_ERROR, self.batch))
        cosine = a @ g / np.sqrt((a @ a) * (g @ g))
        assert self.aligned(rule) == pytest.approx(cosine, rel=1e-13)
        assert abs(cosine) < 0.99

    def test_of_nothing_is_unknown(self):
        assert np.isnan(self.aligned(Scaled(0.0)))


@dataclass(frozen=True)
class Scaled(Rule):
    """The gradient times a factor."""

    factor: float
    card: ClassVar[RuleCard] = card()

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = bench.gradient(network, objective, batch)
        return {name: Dense(self.factor * array) for name, array in exact.items()}


class TestTrain:
    def test_backpropagation_learns_the_digits(self, record_figure):
        task = bench.make("task", "digits")
        network = bench.make("architecture", "mlp", sizes=[64, 16, 10])
        trained = bench.train(BACKPROP, task, network, CROSS_ENTROPY, steps=300, learning_rate=0.5)
        curve = trained.frame.pivot_table(index="step", columns="quantity", values="value")
        assert curve.index.tolist() == [0, 100, 200, 300]
        record_figure(
            "test accuracy of backpropagation on digits, 16 hidden units, 300 steps",
            curve["test_accuracy"][300],
            "above 0.9",
        )
        assert curve["test_accuracy"][300] > 0.9
        assert curve["test_accuracy"][0] < 0.3
        assert (curve["train_loss"].diff().dropna() < 0).all()
        np.testing.assert_allclose(curve["alignment"], 1, atol=1e-12)
        assert trained.diverged == ""

    @pytest.mark.parametrize("optimiser", ["sgd", "adam"])
    def test_gives_the_checkpoints_of_the_trajectory(self, optimiser):
        rule, network = bench.make("rule", "feedback_alignment"), mlp(6)
        options = {"steps": 7, "batch_size": 8, "seed": 3, "evaluate_every": 3}
        trained = bench.train(
            rule,
            TASK,
            network,
            SQUARED_ERROR,
            optimiser=optimiser,
            learning_rate=0.05,
            **options,
        )
        assert sorted({row["step"] for row in trained.rows}) == [0, 3, 6, 7]
        optimise = make_optimiser(optimiser, 0.05)
        (last,) = course(rule, network, [7], optimise=optimise)
        for name, weights in last.network.parameters.items():
            np.testing.assert_array_equal(trained.network.parameters[name], weights)
        for name, matrix in last.state.items():
            np.testing.assert_array_equal(trained.state[name], matrix)
        found = {row["quantity"]: row["value"] for row in trained.rows if row["step"] == 7}
        assert found["train_loss"] == evaluate(last.network, SQUARED_ERROR, TASK)["train_loss"]

    def test_is_in_float64(self):
        narrow = mlp(6).astype("float32")
        rule = bench.make("rule", "node_perturbation")
        options = {"steps": 3, "batch_size": 8, "learning_rate": 0.01}
        one, other = (
            bench.train(rule, TASK, network, SQUARED_ERROR, **options)
            for network in (narrow, narrow.astype("float64"))
        )
        assert one.rows == other.rows
        assert one.network.dtype == np.float64

    def test_of_no_steps_is_evaluated_once(self):
        trained = bench.train(BACKPROP, TASK, mlp(6), SQUARED_ERROR, steps=0)
        assert {row["step"] for row in trained.rows} == {0}

    def test_keeps_the_curve_up_to_divergence(self):
        network = bench.make("architecture", "linear", sizes=[5, 6, 3])
        trained = bench.train(
            BACKPROP, TASK, network, SQUARED_ERROR, learning_rate=1e6, evaluate_every=1
        )
        assert "not finite" in trained.diverged
        steps = [row["step"] for row in trained.rows if row["quantity"] == "train_loss"]
        assert steps == list(range(len(steps)))
        assert 2 <= len(steps) < 20
        assert all(np.isfinite(w).all() for w in trained.network.parameters.values())

    def test_weights_that_are_not_finite_are_divergence(self):
        trained = bench.train(Scaled(float("nan")), TASK, mlp(6), SQUARED_ERROR, steps=5)
        assert trained.diverged == "the weights are not finite after 1 training steps"
        assert {row["step"] for row in trained.rows} == {0}

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"steps": -1}, "steps: -1 is not"),
            ({"evaluate_every": 0}, "evaluate_every: 0 is not"),
            ({"batch_size": 0}, "size: 0 is not"),
            ({"batch_size": 61}, "at most 60"),
            ({"optimiser": "sdg"}, "did you mean 'sgd'?"),
            ({"learning_rate": -1}, "learning_rate: -1 is not"),
            ({"seed": "a"}, "seed: 'a' is not"),
        ],
    )
    def test_bad_options_are_refused(self, options, said):
        with pytest.raises(InputError) as caught:
            bench.train(BACKPROP, TASK, mlp(6), SQUARED_ERROR, **options)
        assert said in str(caught.value)

    def test_parts_that_do_not_fit_are_refused(self):
        with pytest.raises(InputError, match="apical dendrites"):
            bench.train(bench.make("rule", "dendritic_error"), TASK, mlp(6), SQUARED_ERROR)
        with pytest.raises(InputError, match="does not fit a network of 5"):
            bench.train(BACKPROP, bench.make("task", "digits"), mlp(6), SQUARED_ERROR)

    def test_estimates_of_the_wrong_shape_are_refused(self):
        @dataclass(frozen=True)
        class Wrong(Rule):
            card: ClassVar[RuleCard] = card()

            def estimate(self, network, objective, batch, clean, state, noise):
                return {p.name: Dense(np.zeros(2)) for p in network.projections}

        with pytest.raises(InputError, match=r"Wrong.estimate: layer1.weights has shape \(2,\)"):
            bench.train(Wrong(), TASK, mlp(6), SQUARED_ERROR)


class TestAveraging:
    network, batch = mlp(6), TASK.batch(8, seed=1)

    def curve(self, name, **options):
        rule = bench.make("rule", name)
        return bench.averaging_curve(rule, self.network, SQUARED_ERROR, self.batch, **options)

    @pytest.mark.parametrize("samples", [1, 5, 16, 50, 64])
    def test_agrees_with_means_of_the_draws(self, samples):
        found = self.curve("node_perturbation", samples=samples, seed=4)
        rule = bench.make("rule", "node_perturbation")
        draws = rows_of(
            bench.estimates(rule, self.network, SQUARED_ERROR, self.batch, samples, seed=4)
        )
        g = flat(bench.gradient(self.network, SQUARED_ERROR, self.batch))
        assert found["averaged"].tolist() == [2**k for k in range(samples.bit_length())]
        for row in found.itertuples():
            runs = samples // row.averaged
            means = draws[: runs * row.averaged].reshape(runs, row.averaged, -1).mean(axis=1)
            cosines = means @ g / np.linalg.norm(means, axis=1) / np.linalg.norm(g)
            assert row.runs == runs
            assert row.cosine == pytest.approx(cosines.mean(), rel=1e-12)
            if runs < 4:
                assert np.isnan(row.low)
                assert np.isnan(row.high)
                continue
            half = student_quantile(0.95, runs - 1) * cosines.std(ddof=1) / runs**0.5
            assert row.high - row.cosine == pytest.approx(half, rel=1e-9)
            assert row.cosine - row.low == pytest.approx(half, rel=1e-9)

    def test_noise_averages_out(self):
        found = self.curve("node_perturbation", samples=1024)["cosine"].to_numpy()
        assert (np.diff(found) > 0).all()
        # Of an unbiased rule the mean of K has the cosine 1 / sqrt(1 + V / K).
        rule = bench.make("rule", "node_perturbation")
        variance = bench.measure(rule, self.network, SQUARED_ERROR, self.batch, 4000).value(
            "variance"
        )
        assert found[-1] == pytest.approx(1 / np.sqrt(1 + variance / 1024), abs=0.02)

    def test_bias_does_not(self):
        found = self.curve("feedback_alignment", samples=512, redraw={"feedback"})
        marginal = bench.measure(
            bench.make("rule", "feedback_alignment"),
            self.network,
            SQUARED_ERROR,
            self.batch,
            4000,
            redraw={"feedback"},
        )
        plateau = 1 - marginal.value("direction_bias")
        assert plateau < 0.95
        assert found["cosine"].iloc[-1] == pytest.approx(plateau, abs=0.02)
        assert found["cosine"].iloc[0] < found["cosine"].iloc[-1]
        assert set(found["redrawn"]) == {"feedback"}

    def test_of_a_deterministic_rule_is_one_point(self):
        found = self.curve("feedback_alignment", samples=512)
        assert found["averaged"].tolist() == [1]
        assert found["cosine"][0] < 0.95
        assert found["redrawn"][0] == "nothing"

    def test_bad_options_are_refused(self):
        with pytest.raises(InputError, match="samples: 0 is not"):
            self.curve("backprop", samples=0)


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
        for name, value in (("best_step", best), ("predicted_decrease", expected)):
            row = found.loc[name]
            error = standard_error(row["low"], row["high"], 64)
            assert abs(row["value"] - value) < 4 * error, name
            assert error < 0.5 * value
        # On a quadratic the prediction from the draws is what the draws give.
        assert found["value"]["realised_decrease"] == pytest.approx(
            found["value"]["predicted_decrease"], rel=1e-6
        )
        assert found["value"]["linear_decrease"] == pytest.approx(
            2 * found["value"]["predicted_decrease"], rel=1e-12
        )
        assert set(found["method"]) == {"sampled"}
        assert set(found["redrawn"]) == {"rule"}
        assert set(found["samples"]) == {64}

    def test_of_the_gradient_is_exact(self):
        h, g = self.hessian()
        found = self.found(BACKPROP)
        best, decreased = g @ g / (g @ h @ g), (g @ g) ** 2 / (2 * g @ h @ g)
        assert found["value"]["best_step"] == pytest.approx(best, rel=1e-6)
        assert found["value"]["predicted_decrease"] == pytest.approx(decreased, rel=1e-6)
        assert found["value"]["realised_decrease"] == pytest.approx(decreased, rel=1e-6)
        assert found["value"]["linear_decrease"] == pytest.approx(2 * decreased, rel=1e-6)
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
        g = flat(bench.gradient(network, CROSS_ENTROPY, batch))
        assert found["predicted_decrease"] == pytest.approx(
            0.5 * found["best_step"] * (g @ g), rel=1e-10
        )

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

"""Training: trajectories, evaluation, alignment, learning curves."""

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.training.optimisers import Sgd, make_optimiser
from plausibench.bench.training.training import alignment, evaluate, trajectory
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import stream
from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard
from training_cells import BACKPROP, CROSS_ENTROPY, SQUARED_ERROR, TASK, Scaled, card, flat, mlp


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

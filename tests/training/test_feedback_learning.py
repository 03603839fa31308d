"""Rules learn their feedback with the weights held, and with weights that decay."""

import numpy as np
import pytest

from feedback_cells import SQUARED_ERROR, mlp
from plausibench import bench
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.kernels.errors import InputError


class TestBenchAdvance:
    """`bench.advance` lets a rule learn its feedback with the weights held."""

    task = bench.make("task", "teacher_student")

    def network(self, **options):
        batch = self.task.batch(2, seed=0)
        outputs = batch.targets.shape[1] if batch.targets.ndim == 2 else 10
        return mlp([batch.inputs.shape[1], 8, outputs], **options)

    def test_it_is_advance_on_the_batches_of_the_task(self):
        seen = []

        class Watching(type(bench.make("rule", "kolen_pollack"))):
            def initial_state(self, network, seed):
                return {"count": np.zeros(1)}

            def advance(self, state, step):
                seen.append(step)
                return {"count": state["count"] + 1}

        network, start = self.network(), {"count": np.zeros(1)}
        before = {name: array.copy() for name, array in network.parameters.items()}
        state = bench.advance(
            Watching(),
            self.task,
            network,
            SQUARED_ERROR,
            steps=3,
            batch_size=5,
            state=start,
            seed=4,
        )
        assert state["count"] == 3
        assert start["count"] == 0
        batches = self.task.batches(5, seed=4)
        for step in seen:
            batch = next(batches)
            np.testing.assert_array_equal(step.batch.inputs, batch.inputs)
            np.testing.assert_array_equal(step.batch.targets, batch.targets)
            np.testing.assert_array_equal(step.clean.output, network.forward(batch.inputs).output)
            assert step.decay == 0
            assert all((array == 0).all() for array in step.applied.values())
            assert step.network.parameters.keys() == before.keys()
        for name, array in network.parameters.items():
            np.testing.assert_array_equal(array, before[name])
        noises = [step.noise.examples({"x": np.empty((5, 1))})["x"] for step in seen]
        assert len({array.tobytes() for array in noises}) == 3

    def test_a_longer_run_extends_a_shorter_one_only_from_the_start(self):
        rule, network = bench.make("rule", "weight_mirror"), self.network()
        run = [
            bench.advance(rule, self.task, network, SQUARED_ERROR, steps=steps, seed=2)
            for steps in (0, 2, 2, 3)
        ]
        first = rule.initial_state(network, 2)
        for name in first:
            np.testing.assert_array_equal(run[0][name], first[name])
            np.testing.assert_array_equal(run[1][name], run[2][name])
            assert (run[2][name] != run[3][name]).all()

    @pytest.mark.parametrize("name", ["weight_mirror", "learned_feedback"])
    def test_the_bias_that_is_measured_falls(self, name, record_figure):
        rule, network = bench.make("rule", name), self.network(activation="identity")
        batch = self.task.batch(16, seed=1)
        before = bench.measure(rule, network, SQUARED_ERROR, batch).value("bias_squared")
        state = bench.advance(rule, self.task, network, SQUARED_ERROR, steps=300)
        found = bench.measure(rule, network, SQUARED_ERROR, batch, state=state)
        after = found.value("bias_squared")
        record_figure(
            f"{name}: relative bias^2 after 300 steps over before", after / before, "< 0.1"
        )
        assert after < 0.1 * before

    def test_kolen_pollack_learns_nothing_from_held_weights(self):
        rule, network = bench.make("rule", "kolen_pollack"), self.network()
        first = rule.initial_state(network, 0)
        state = bench.advance(rule, self.task, network, SQUARED_ERROR, steps=5)
        for name in first:
            np.testing.assert_array_equal(state[name], first[name])

    @pytest.mark.parametrize("steps", [-1, 1.5, True])
    def test_refuses_steps(self, steps):
        with pytest.raises(InputError, match="steps"):
            bench.advance(
                bench.make("rule", "kolen_pollack"),
                self.task,
                self.network(),
                SQUARED_ERROR,
                steps=steps,
            )

    def test_refuses_a_network_that_does_not_fit(self):
        with pytest.raises(InputError, match="inputs"):
            bench.advance(
                bench.make("rule", "kolen_pollack"), self.task, mlp([2, 3, 1]), SQUARED_ERROR
            )


class TestWeightDecay:
    @pytest.mark.parametrize("name", ["sgd", "adam"])
    def test_decay_is_apart_from_the_change(self, name):
        plain, decaying = make_optimiser(name, 0.2), make_optimiser(name, 0.2, 0.3)
        assert plain.decay == 0
        assert decaying.decay == pytest.approx(0.06, rel=1e-15)
        estimate = {"w": np.array([1.0, -2.0])}
        one, two = plain.change(estimate, {})[0], decaying.change(estimate, {})[0]
        np.testing.assert_array_equal(one["w"], two["w"])

    @pytest.mark.parametrize("name", ["sgd", "adam"])
    @pytest.mark.parametrize("decay", [-0.1, 5.0, float("nan"), True])
    def test_refused_where_a_step_would_lose_a_whole_weight(self, name, decay):
        with pytest.raises(InputError, match="weight_decay"):
            make_optimiser(name, 0.2, decay)

    def test_the_spec_refuses_by_its_highest_rate(self):
        assert Spec(weight_decay=9.0).weight_decay == 9.0
        with pytest.raises(InputError, match="weight_decay"):
            Spec(weight_decay=9.0, learning_rates={"backprop": 0.2})
        with pytest.raises(InputError, match="weight_decay"):
            Spec(weight_decay=-1.0)
        assert Spec(weight_decay=0.25).as_dict()["weight_decay"] == 0.25

    def test_one_step_of_training(self):
        task, network = TestBenchAdvance.task, TestBenchAdvance().network()
        rule = bench.make("rule", "backprop")
        options = {"steps": 1, "learning_rate": 0.1, "seed": 3, "batch_size": 8}
        found = bench.train(rule, task, network, SQUARED_ERROR, weight_decay=0.5, **options)
        batch = next(task.batches(8, seed=3))
        exact = bench.gradient(network, SQUARED_ERROR, batch)
        for name, w in network.parameters.items():
            wanted = w - 0.1 * 0.5 * w - 0.1 * exact[name]
            np.testing.assert_allclose(found.network.parameters[name], wanted, rtol=1e-13)

    @pytest.mark.parametrize("optimiser", ["sgd", "adam"])
    def test_kolen_pollack_in_training(self, optimiser, record_figure):
        """|B - W^T| is (1 - decay)^200 of what it was, whatever the optimiser."""
        task, network = TestBenchAdvance.task, TestBenchAdvance().network()
        rule = bench.make("rule", "kolen_pollack")
        options = {"optimiser": optimiser, "learning_rate": 0.01, "steps": 200, "batch_size": 8}
        found = bench.train(rule, task, network, SQUARED_ERROR, weight_decay=1.0, **options)
        plain = bench.train(rule, task, network, SQUARED_ERROR, **options)
        first = rule.initial_state(network, 0)

        def distance(state, network):
            return np.linalg.norm(state["layer2.weights"] - network.parameters["layer2.weights"].T)

        start = distance(first, network)
        ratio = distance(found.state, found.network) / start / 0.99**200
        record_figure(f"Kolen-Pollack with {optimiser}, 200 steps", ratio, "1 +- 1e-12")
        assert abs(ratio - 1) < 1e-12
        assert distance(plain.state, plain.network) == pytest.approx(start, rel=1e-12)

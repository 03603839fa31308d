"""KeRNL: twins of estimate and learning, an independent version, what it learns."""

import numpy as np
from hypothesis import settings

import naive_stack
import naive_time
from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Step
from time_cells import (
    OBJECTIVE,
    agree,
    arrays,
    cell,
    cells,
    deep,
    rate_rnn,
    sequences,
    summed,
    summed_by_trial,
)

RULE = bench.make("rule", "kernl")


def some_state(network, seed=0):
    """A state that is not the first one."""
    random = np.random.default_rng(seed)
    first = bench.initial_state(RULE, network)
    return {
        name: random.uniform(0.2, 0.9, a.shape)
        if a.ndim == 1
        else a + 0.3 * random.standard_normal(a.shape)
        for name, a in first.items()
    }


class TestTwins:
    @cells
    @settings(max_examples=15, deadline=None)
    def test_one_layer(self, **drawn):
        network, batch = cell(**drawn)
        state = some_state(network)
        beta, kappa = state["layer1.layer1"], state["layer1.decay"]

        def twin(x, errors, _):
            k, activation = drawn["leak"], drawn["activation"]
            return naive_time.kernl(arrays(network), x, errors, beta, kappa, k, activation)

        agree(RULE, network, batch, summed(network, batch, twin), state)

    @cells
    @settings(max_examples=15, deadline=None)
    def test_a_step_of_learning(self, **drawn):
        network, batch = cell(**drawn)
        state = some_state(network)
        beta, kappa = state["layer1.layer1"], state["layer1.decay"]
        clean = network.forward(batch.inputs)
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        xi = noise.examples({"feedback.layer1": clean.drive["layer1"]})["feedback.layer1"][0]
        held = {name: np.zeros_like(array) for name, array in network.parameters.items()}
        step = Step(network, OBJECTIVE, batch, clean, held, 0.0, noise)
        after = RULE.advance(state, step)
        k, activation, total = drawn["leak"], drawn["activation"], 0
        by_beta, by_kappa = np.zeros_like(beta), np.zeros_like(kappa)
        for b, x in enumerate(batch.inputs):
            given = (x, xi[b :: batch.size], RULE.sigma, beta, kappa, k, activation)
            one, other = naive_time.kernl_step(arrays(network), *given)
            by_beta, by_kappa, total = by_beta + one, by_kappa + other, total + len(x)
        share = RULE.rate / total
        # Differences of rates over sigma leave a relative rounding of 1e-13.
        np.testing.assert_allclose(after["layer1.layer1"], beta - share * by_beta, atol=1e-11)
        expected = (kappa - share * by_kappa).clip(0, 1)
        np.testing.assert_allclose(after["layer1.decay"], expected, atol=1e-11)

    def test_a_stack_by_explicit_jacobians(self):
        network, batch = deep()
        state = some_state(network)
        beta = np.hstack([state["layer2.layer1"], state["layer2.layer2"]])
        kappa = np.hstack([state["layer1.decay"], state["layer2.decay"]])
        drawn = bench.estimates(RULE, network, OBJECTIVE, batch, samples=1, state=state)

        def twin(x, errors, _):
            at = naive_stack.stack(network, x, errors, 0.3)
            return naive_stack.kernl(network, at, beta, kappa)

        for name, array in summed_by_trial(network, batch, twin).items():
            np.testing.assert_allclose(drawn[name][0], array, rtol=1e-9, atol=1e-13)


class TestLearning:
    def test_predicts_the_rates_better(self):
        """With the weights held, what noise does to the rates is foretold ever better."""
        network = rate_rnn((3, 5, 2), leak=0.3)
        batch = sequences(network, 16, 10, targets="values")
        clean = network.forward(batch.inputs)
        held = {name: np.zeros_like(array) for name, array in network.parameters.items()}

        def unforeseen(state):
            """Mean squared error of what fresh noise does, of 200 draws."""
            total = 0.0
            for number in range(10_000, 10_200):
                noise = Noise(0, np.array([number]), batch.keys, np.dtype(float))
                xi = noise.examples({"layer1": clean.drive["layer1"]})["layer1"][0]
                moved = network.tangent(clean, drive={"layer1": xi}).activity["layer1"]
                trace, kept = np.zeros_like(xi), 0.0
                slope = 0.3 * clean.traces["layer1"]["slope"]
                for t in range(10):
                    here = slice(16 * t, 16 * (t + 1))
                    kept = state["layer1.decay"] * kept + slope[here] * xi[here]
                    trace[here] = kept
                total += ((trace @ state["layer1.layer1"].T - moved) ** 2).mean()
            return total / 200

        state = first = bench.initial_state(RULE, network)
        for number in range(600):
            noise = Noise(0, np.array([number]), batch.keys, np.dtype(float))
            state = RULE.advance(state, Step(network, OBJECTIVE, batch, clean, held, 0.0, noise))
        assert unforeseen(state) < 0.6 * unforeseen(first)

    def test_first_is_the_neuron_s_own_leak(self):
        """Then it is RFLO with the transposed readout."""
        network = rate_rnn()
        batch = sequences(network, targets="values")
        rflo = bench.make("rule", "rflo", feedback="symmetric")
        one, other = (
            bench.estimates(rule, network, OBJECTIVE, batch, samples=1) for rule in (RULE, rflo)
        )
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], rtol=1e-10, atol=1e-14)


def test_refusals():
    goal = bench.make("objective", "cross_entropy")
    assert "leaking rates" in RULE.refusal(rate_rnn(leaking="potential"), goal)

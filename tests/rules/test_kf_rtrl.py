"""Kronecker-factored real-time recurrent learning: twins, an independent version, its variance."""

import numpy as np
from hypothesis import settings

import naive_stack
import naive_time
from plausibench import bench
from plausibench.rules.noise import Noise
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

RULE = bench.make("rule", "kf_rtrl")


def signs_of(network, batch, sample=0):
    """A sign for each layer, step and trial (T, B)."""
    noise = Noise(0, np.array([sample]), batch.keys, np.dtype(float))
    steps = batch.inputs.shape[1]
    shape = {p.name: np.zeros((steps * batch.size, 1)) for p in network.hidden}
    drawn = noise.examples(shape, "rademacher")
    return {name: each[0, :, 0].reshape(steps, -1) for name, each in drawn.items()}


class TestTwins:
    @cells
    @settings(max_examples=15, deadline=None)
    def test_one_layer(self, **drawn):
        network, batch = cell(**drawn)
        signs = signs_of(network, batch)["layer1"]

        def twin(x, errors, b):
            k, activation = drawn["leak"], drawn["activation"]
            given = (arrays(network), x, errors, signs[:, b], k, activation, RULE.epsilon)
            return naive_time.kf_rtrl(*given)

        agree(RULE, network, batch, summed(network, batch, twin))

    def test_a_stack_by_explicit_jacobians(self):
        network, batch = deep()
        drawn = bench.estimates(RULE, network, OBJECTIVE, batch, samples=3)
        for sample in range(3):
            signs = signs_of(network, batch, sample)

            def twin(x, errors, b, signs=signs):
                at = naive_stack.stack(network, x, errors, 0.3)
                own = {name: each[:, b] for name, each in signs.items()}
                return naive_stack.kf_rtrl(network, at, own, RULE.epsilon)

            for name, array in summed_by_trial(network, batch, twin).items():
                np.testing.assert_allclose(drawn[name][sample], array, rtol=1e-9, atol=1e-13)


class TestVariance:
    def test_of_two_steps_is_that_of_one_sign(self):
        """Two steps leave g plus or minus one array, which both draws of a trial show."""
        network = rate_rnn((2, 3, 2), leak=0.5)
        batch = sequences(network, 1, 2, targets="values")
        draws = bench.estimates(RULE, network, OBJECTIVE, batch, samples=40)
        exact = bench.gradient(network, OBJECTIVE, batch)
        for name in ("layer1.weights", "layer1.recurrent", "layer1.bias"):
            off = draws[name] - exact[name]
            scale = abs(off).max()
            assert scale > 1e-6
            # All 40 signs alike would be chance of 2^-39.
            side = np.sign((off * off[0]).sum(axis=tuple(range(1, off.ndim))))
            assert {-1.0, 1.0} == set(side)
            np.testing.assert_allclose(
                off, np.multiply.outer(side, off[0]), rtol=0, atol=1e-5 * scale
            )

    def test_is_far_below_that_of_rank_one(self, record_figure):
        """In the setting of the prototype: 6 tanh units that forget, 8 steps, 6000 draws."""
        network = rate_rnn((3, 6, 2), leak=1.0, recurrence=0.8)
        batch = sequences(network, 1, 8, targets="values")
        found = {}
        for name in ("kf_rtrl", "uoro"):
            rule = bench.make("rule", name)
            at = bench.measure(rule, network, OBJECTIVE, batch, samples=6000)
            found[name] = at.value("variance")
            record_figure(f"{name}, 6 tanh units, 8 steps: variance", found[name], None)
        assert found["kf_rtrl"] < 0.25 * found["uoro"]


def test_refusals():
    goal = bench.make("objective", "cross_entropy")
    assert "leaking rates" in RULE.refusal(rate_rnn(leaking="potential"), goal)
    modes = bench.make("architecture", "mode_rnn", sizes=[3, 5, 2], modes=2)
    assert "a weight of their own" in RULE.refusal(modes, goal)

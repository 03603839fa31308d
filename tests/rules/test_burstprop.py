"""Burstprop: its twin, the numbers of its paper, and refusals."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_dendrites
from dendritic_cells import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    activations,
    assert_twin,
    bench_step,
    nudgings,
    scales,
    shapes,
    situation,
    whole_error,
)
from plausibench import bench
from plausibench.rules.burstprop import Burstprop
from plausibench.rules.logistic import logistic
from plausibench.rules.theory import Situation

SIGMOID = {"activation": "sigmoid", "output": "sigmoid"}


class TestBurstpropOfThePaper:
    """Sigmoid units and squared error, as in the reference's numbers."""

    def at(self, nudging):
        rule = Burstprop(nudging=nudging)
        return situation(rule, sizes=[6, 5, 4, 3], **SIGMOID)

    def test_error_at_a_tenth(self, record_figure):
        error = whole_error(self.at(0.1), Situation.reference)
        record_figure("burstprop at a tenth of the error", error, "1e-6")
        assert error <= 1e-6

    def test_raw_update_has_the_declared_scale_per_layer(self):
        at = self.at(1e-3)
        raw = replace(at, rule=replace(at.rule, scale="none")).draws()
        for name, exact in at.reference().items():
            above = 3 - int(name[5])
            ratio = raw[name][0] / (exact * 1e-3 * 0.2 * 0.25**above)
            np.testing.assert_allclose(ratio, 1, atol=1e-6)

    def test_output_is_the_papers_burst_probability(self):
        at = self.at(1.0)
        clean = at.network.forward(at.batch.inputs)
        e, y = clean.output, np.eye(3)[at.batch.targets]
        taught = 0.2 * (1 + (y - e) * (1 - e)) * e
        expected = -(taught - 0.2 * e).T @ clean.activity["layer2"] / at.batch.size / 0.2
        np.testing.assert_allclose(at.draws()["layer3.weights"][0], expected, rtol=1e-12)

    def test_without_inhibition_the_gain_is_that_of_p(self):
        """One hidden layer, small error: 4 p (1 - p) times the gradient, unit by unit."""
        rule = Burstprop(nudging=1e-6, inhibition="none")
        at = situation(rule, sizes=[6, 5, 3], **SIGMOID)
        one = replace(at, batch=at.batch.take([0]))
        clean = one.network.forward(one.batch.inputs)
        bursts = 0.2 * clean.output @ one.state["layer2.weights"].T
        p = logistic((1 - clean.activity["layer1"]) * bursts)
        found, exact = one.draws()["layer1.bias"][0], one.reference()["layer1.bias"]
        np.testing.assert_allclose(found / exact, (4 * p * (1 - p))[0], rtol=1e-5)
        assert (p > 0.5).any() or (p < 0.5).any()


@settings(max_examples=40)
@given(
    shapes,
    activations,
    st.integers(0, 1000),
    nudgings,
    scales,
    st.sampled_from(["symmetric", "random"]),
    st.sampled_from(["ideal", "none"]),
)
def test_burstprop_against_its_naive_twin(
    sizes, activation, seed, nudging, scale, feedback, inhibition
):
    rule = Burstprop(0.3, nudging, feedback, inhibition, scale)
    output = "sigmoid" if inhibition == "none" else "identity"
    at = situation(
        rule,
        [SQUARED_ERROR, CROSS_ENTROPY][seed % 2],
        seed=seed,
        sizes=sizes,
        activation=activation,
        output=output,
        bias=seed % 3 > 0,
    )
    assert_twin(at, naive_dendrites.burstprop)


def test_burstprop_says_where_there_are_no_events():
    linear = bench.make("architecture", "linear", sizes=[4, 3, 2])
    assert "layer1 has none" in Burstprop().unsupported(linear, SQUARED_ERROR)
    mlp = bench.make("architecture", "mlp", sizes=[4, 3, 2])
    assert Burstprop().unsupported(mlp, SQUARED_ERROR) is None
    assert "layer2 has none" in Burstprop(inhibition="none").unsupported(mlp, SQUARED_ERROR)


def test_symmetric_feedback_follows_the_weights():
    at = situation(Burstprop(), sizes=[5, 4, 3])
    moved = at.network.with_parameters({k: 2 * v for k, v in at.network.parameters.items()})
    step = bench_step(moved, at)
    advanced = at.rule.advance(at.state, step)
    np.testing.assert_array_equal(advanced["layer2.weights"], moved.parameters["layer2.weights"].T)
    fixed = Burstprop(feedback="random")
    state = fixed.initial_state(at.network, 0)
    assert fixed.advance(state, step)["layer2.weights"] is state["layer2.weights"]

"""Feedback learned by regression on noise: its twin, and what is learned."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    NETWORKS,
    activations,
    assert_close,
    cell,
    classes,
    errors,
    held,
    objectives,
    seeds,
    situation,
    stacked,
)
from plausibench import bench
from plausibench.rules.noise import Noise
from plausibench.rules.theory import Situation


@settings(max_examples=15)
@given(st.lists(st.integers(1, 5), min_size=3, max_size=4), activations, objectives, seeds)
def test_twin_of_the_regression(sizes, activation, objective, seed):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make("rule", "learned_feedback", sigma=0.1, ridge=0.5)
    state = first = rule.initial_state(network, seed)
    batches, xis = [], []
    for step in range(3):
        batch = classes(sizes[0], sizes[-1], examples=2 + step, seed=seed + step)
        noise = Noise(seed, np.array([step]), batch.keys, np.dtype(float))
        activity = network.forward(batch.inputs).activity
        streams = {f"feedback.{p.name}": activity[p.name] for p in network.hidden}
        numbers = noise.examples(streams)
        batches.append(batch)
        xis.append([numbers[f"feedback.{p.name}"][0] for p in network.hidden])
        state = rule.advance(state, held(network, batch, noise, objective))
    twin = naive_feedback.regression(
        network, objective, batches, xis, stacked(network, first), 0.1, 0.5
    )
    names = [p.name for p in network.returning]
    assert_close(state, dict(zip(names, twin, strict=True)), 1e-8)


class TestLearnedFeedback:
    def test_becomes_backpropagation_in_a_deep_network(self, record_figure):
        at = situation("learned_feedback[sigma=0.001]", *NETWORKS["tanh"])
        rows = np.arange(400) % at.batch.size
        many = bench.Batch(at.batch.inputs[rows], at.batch.targets[rows], np.arange(400))
        state = at.state
        for number in range(300):
            noise = Noise(0, np.array([number]), many.keys, np.dtype(float))
            state = at.rule.advance(state, held(at.network, many, noise))
        before, after = (
            errors(replace(at, state=s), Situation.reference)[1] for s in (at.state, state)
        )
        record_figure("learned feedback, 120 000 examples, error of the estimate", after, "< 0.05")
        assert before > 0.1
        assert after < 0.05

"""Three-factor learning: its twin, its variance and its baselines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_feedback
from feedback_cells import (
    CROSS_ENTROPY,
    NETWORKS,
    activations,
    assert_close,
    cell,
    drawn,
    held,
    numpy_noise,
    objectives,
    seeds,
    shapes,
    situation,
)
from plausibench import bench


@settings(max_examples=30)
@given(
    shapes,
    activations,
    objectives,
    seeds,
    st.integers(0, 3),
    st.floats(0.2, 1),
    st.sampled_from(["gaussian", "rademacher"]),
    st.sampled_from(["clean", "running"]),
)
def test_twin(sizes, activation, objective, seed, delay, decay, noise, baseline):
    network, batch = cell(sizes, activation, seed)
    rule = bench.make(
        "rule",
        "three_factor",
        sigma=0.1,
        noise=noise,
        delay=delay,
        decay=decay,
        baseline=baseline,
    )
    state = {"baseline": np.array([0.7])} if baseline == "running" else {}
    xi = numpy_noise(batch, seed).examples(network.forward(batch.inputs).drive, noise)
    for k, one in enumerate(drawn(rule, network, objective, batch, seed, state)):
        twin = naive_feedback.three_factor(
            network,
            objective,
            batch,
            {name: array[k] for name, array in xi.items()},
            rule,
            0.7 if baseline == "running" else None,
        )
        assert_close(one, twin)


class TestThreeFactor:
    @pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
    @pytest.mark.parametrize(("delay", "decay"), [(0, 0.6), (1, 0.5), (3, 0.8), (20, 1.0)])
    def test_each_layer_has_the_closed_variance(self, noise, delay, decay):
        selector = f"three_factor[noise={noise},delay={delay},decay={decay}]"
        at = situation(selector, *NETWORKS["tanh"])
        clean = at.network.forward(at.batch.inputs)
        law = at.rule.closed_form(at.network, at.objective, at.batch, clean, frozenset({"rule"}))
        for name, array in at.draws(20_000).items():
            assert array.var(axis=0, ddof=1).sum() == pytest.approx(law.variance[name], rel=0.05)

    @pytest.mark.parametrize(("delay", "decay"), [(0, 0.0), (2, 0.7), (20, 1.0)])
    def test_trials_of_a_batch_leave_each_other_nothing(self, delay, decay):
        """The estimate of a batch is the mean of those of its trials alone."""
        at = situation(f"three_factor[delay={delay},decay={decay}]", *NETWORKS["tanh"])
        alone = [replace(at, batch=at.batch.take([row])).draws(3) for row in range(at.batch.size)]
        for name, array in at.draws(3).items():
            mean = np.mean([found[name] for found in alone], axis=0)
            scale = np.abs(array).max()
            np.testing.assert_allclose(array, mean, rtol=1e-9, atol=1e-9 * scale)

    def test_a_wrong_baseline_costs_its_square(self, record_figure):
        """One example: (F - baseline)^2 N |a|^2 / sigma^2 more in each layer."""
        at = situation("three_factor[baseline=running,sigma=0.05,delay=0]", *NETWORKS["tanh"])
        at = replace(at, batch=at.batch.take([0]), state={"baseline": np.zeros(1)})
        clean = at.network.forward(at.batch.inputs)
        loss = at.objective.losses(clean.output, at.batch.targets)[0]
        true = replace(at, rule=replace(at.rule, baseline="clean"))
        with_clean, with_none = true.draws(20_000), at.draws(20_000)
        for p in at.network.projections:
            pre = p.synapse.pre_gram(clean.presynaptic(p))[0, 0]
            more = with_none[p.name].var(axis=0).sum() - with_clean[p.name].var(axis=0).sum()
            law = loss**2 * p.synapse.factors[0] * pre / at.rule.sigma**2
            record_figure(f"three_factor: cost of baseline 0, {p.name}", more / law, "1 +- 0.05")
            assert more == pytest.approx(law, rel=0.05)

    def test_the_running_baseline_follows_the_loss(self):
        at = situation("three_factor[baseline=running,rate=0.25]", *NETWORKS["tanh"])
        step = held(at.network, at.batch, numpy_noise(at.batch, 0, 1))
        loss = bench.loss(at.network, CROSS_ENTROPY, at.batch)
        state = at.state
        for number in range(1, 4):
            state = at.rule.advance(state, step)
            assert state["baseline"][0] == pytest.approx(loss * (1 - 0.75**number), rel=1e-12)
        assert at.state["baseline"][0] == 0

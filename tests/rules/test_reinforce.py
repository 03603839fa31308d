"""REINFORCE: its twin, its mean and variance, and baselines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_perturbation as twin
from perturbation_cells import (
    CROSS_ENTROPY,
    EXPECTED_REWARD,
    OBJECTIVES,
    assert_twins,
    cell,
    deep,
    drawn,
    noise_of,
    seeds,
    step_of,
)
from plausibench import bench
from plausibench.architectures.network import Network
from plausibench.objectives.objective import softmax
from plausibench.rules.noise import Noise


@settings(max_examples=25)
@given(
    deep,
    seeds,
    st.sampled_from([*OBJECTIVES]),
    st.sampled_from(["bernoulli", "gaussian"]),
    st.sampled_from(["none", "clean", "running"]),
)
def test_twin(sizes, seed, goal, units, baseline):
    sigma = None if units == "bernoulli" else 0.3
    options = {} if sigma is None else {"sigma": sigma}
    network, batch = cell(
        sizes, seed, "stochastic_mlp", units=units, bias=bool(seed % 2), **options
    )
    rule = bench.make("rule", "reinforce", baseline=baseline)
    state = {"baseline": np.array(0.7)} if baseline == "running" else {}
    clean = network.forward(batch.inputs)
    base = {
        "none": np.zeros(batch.size),
        "clean": -naive.batch_losses(goal, clean.output, batch.targets),
        "running": np.full(batch.size, 0.7),
    }[baseline]
    noise = noise_of(batch, seed)
    hidden = {p.name: clean.drive[p.name] for p in network.hidden}
    draws = noise.spikes(hidden, network.law)
    ours = drawn(rule, network, OBJECTIVES[goal], batch, seed, state)
    outputs = np.array(
        [
            [
                twin.sampled(network, x, [d[k, b] for d in draws.values()], sigma)[0][-1]
                for b, x in enumerate(batch.inputs)
            ]
            for k in range(2)
        ]
    )
    actions = noise.actions(softmax(outputs))
    for k in range(2):
        own = [array[k] for array in draws.values()]
        chosen = actions[k] if goal == "expected_reward" else None
        expected = twin.reinforce(network, goal, batch, own, base, sigma, chosen)
        assert_twins(ours[k], expected)


@pytest.mark.parametrize("goal", [*OBJECTIVES])
@pytest.mark.parametrize("baseline", ["none", "clean"])
def test_its_mean_is_the_gradient(goal, baseline, record_figure):
    network, batch = cell((3, 4, 2, 3), 5, "stochastic_mlp")
    rule = bench.make("rule", "reinforce", baseline=baseline)
    found = bench.measure(rule, network, OBJECTIVES[goal], batch, method="exact")
    bias = found.value("bias_squared")
    record_figure(f"reinforce {goal} {baseline}: enumerated bias^2", bias, "1e-24")
    assert bias <= 1e-24


@pytest.mark.parametrize("rule", ["reinforce", "straight_through"])
@pytest.mark.parametrize("goal", ["cross_entropy", "expected_reward"])
def test_enumerated_moments_are_those_of_draws(rule, goal, record_figure):
    network, batch = cell((3, 4, 2, 3), 5, "stochastic_mlp")
    arguments = bench.make("rule", rule), network, OBJECTIVES[goal], batch
    exact = bench.measure(*arguments, method="exact")
    sampled = bench.measure(*arguments, samples=20_000, method="sampled")
    ratio = sampled.value("absolute_variance") / exact.value("absolute_variance")
    record_figure(f"{rule} {goal}: variance / enumerated", ratio, "within 5 %")
    assert ratio == pytest.approx(1, rel=0.05)
    assert exact.frame.method.eq("closed form").all()


def test_action_alone_is_enumerated_on_a_deterministic_network():
    network, batch = cell((3, 4, 3), 5)
    rule = bench.make("rule", "reinforce", baseline="none")
    exact = bench.measure(rule, network, EXPECTED_REWARD, batch, method="exact")
    assert exact.value("bias_squared") <= 1e-24
    sampled = bench.measure(rule, network, EXPECTED_REWARD, batch, samples=20_000)
    ratio = sampled.value("absolute_variance") / exact.value("absolute_variance")
    assert ratio == pytest.approx(1, rel=0.05)


class Exploring(Noise):
    """Gaussian units see the noise of node perturbation."""

    def spikes(self, arrays, law="uniform"):
        assert law == "gaussian"
        return self.examples(arrays)


def test_gaussian_reinforce_is_node_perturbation(record_figure):
    """The same noise, baseline of the clean pass, presynaptic activity with noise: same arrays."""
    sigma = 0.05
    network, batch = cell((4, 5, 3, 2), 2, "stochastic_mlp", units="gaussian", sigma=sigma)
    noise = Exploring(1, np.arange(3), batch.keys, np.dtype(float))
    clean = network.forward(batch.inputs)
    rule = bench.make("rule", "reinforce")
    ours = rule.estimate(network, CROSS_ENTROPY, batch, clean, {}, noise)
    xi = noise.examples({p.name: clean.drive[p.name] for p in network.hidden})
    noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=sigma, clean=clean)
    before = CROSS_ENTROPY.losses(clean.output, batch.targets)
    change = (CROSS_ENTROPY.losses(noisy.output, batch.targets) - before) / sigma
    worst = 0.0
    for p in network.projections:
        if p.target in xi:
            post = change[..., None] * xi[p.target] / batch.size
            expected = p.synapse.outer(post, noisy.presynaptic(p))
            found = p.synapse.outer(ours[p.name].post, ours[p.name].pre)
            worst = max(worst, np.abs(found - expected).max() / np.abs(expected).max())
    record_figure("gaussian REINFORCE against node perturbation, same noise", worst, "1e-12")
    assert worst <= 1e-12


def test_where_nothing_is_drawn_it_is_refused():
    network, batch = cell((3, 4, 2), 1)
    refusals = {"reinforce": "stochastic_mlp", "straight_through": "for stochastic networks"}
    for name, said in refusals.items():
        with pytest.raises(bench.InputError, match=said):
            bench.estimates(bench.make("rule", name), network, CROSS_ENTROPY, batch)
    assert type(network) is Network


def test_running_baseline_has_no_closed_form():
    network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
    rule = bench.make("rule", "reinforce", baseline="running")
    with pytest.raises(bench.InputError, match="exact"):
        bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")


def test_running_baseline_follows_the_reward():
    network, batch = cell((3, 4, 2), 1, "stochastic_mlp")
    rule = bench.make("rule", "reinforce", baseline="running", rate=0.25)
    state = rule.initial_state(network, 0)
    step = step_of(network, batch)
    reward = -np.mean(naive.batch_losses("cross_entropy", step.clean.output, batch.targets))
    for number in range(1, 4):
        state = rule.advance(state, step)
        assert state["baseline"] == pytest.approx(reward * (1 - 0.75**number))

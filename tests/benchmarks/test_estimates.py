"""Estimates per second: the engine against the naive twin, each rule on the default network.

``make performance`` times them; the ordinary tests run each once, and check that both compute
the same statistics before anything is timed.
"""

from functools import cache

import numpy as np
import pytest

import naive
import naive_settling
from plausibench import bench

TASK = bench.make("task", "digits")
BATCH = TASK.batch(32, seed=0)
SAMPLES = {"ours": 256, "naive": 16}
GOALS = {"brainprop": "mean_squared_error"}
RULES = (
    "backprop",
    "feedback_alignment",
    "direct_feedback_alignment",
    "weight_perturbation",
    "node_perturbation",
    "attention_gated",
    "brainprop",
    "dendritic_error",
)


@cache
def cell(name):
    """Rule, network, objective and state."""
    architecture = "dendritic" if name == "dendritic_error" else "mlp"
    network = bench.make("architecture", architecture, sizes=[64, 32, 32, 10], seed=0)
    objective = bench.make("objective", GOALS.get(name, "cross_entropy"))
    rule = bench.make("rule", name)
    return rule, network, objective, bench.initial_state(rule, network)


def naive_draw(name, network, objective, state, generator):
    """One estimate as the equation says, in plain numpy."""
    goal = GOALS.get(name, "cross_entropy")
    if name == "node_perturbation":
        xi = {p.name: generator.standard_normal((BATCH.size, p.size)) for p in network.populations}
        return naive.node_perturbation(network, goal, BATCH, xi)
    if name == "weight_perturbation":
        xi = {n: generator.standard_normal(w.shape) for n, w in network.parameters.items()}
        return naive.weight_perturbation(network, goal, BATCH, xi)
    output = naive.batch_forward(network, BATCH.inputs)[0][-1]
    if name in ("attention_gated", "brainprop"):
        policy = naive.softmax(output)
        if name == "brainprop":
            greedy = np.eye(output.shape[1])[output.argmax(axis=1)]
            policy = 0.98 * greedy + 0.02 * policy
        actions = [generator.choice(len(p), p=p / p.sum()) for p in policy]
        return getattr(naive, name)(network, BATCH, actions)
    error = objective.error(output, BATCH.targets)
    if name == "dendritic_error":
        return naive_settled(network, state, output, error)
    if name == "feedback_alignment":
        feedback = [state["layer2.weights"], state["layer3.weights"]]
        return naive.returned(network, BATCH, error, feedback=feedback)
    if name == "direct_feedback_alignment":
        return naive.returned(network, BATCH, error, direct=[state["layer1"], state["layer2"]])
    return naive.returned(network, BATCH, error)


def naive_settled(network, state, output, error):
    """The microcircuit's updates, one settled example after another."""
    rule, total = bench.make("rule", "dendritic_error"), {}
    for b in range(BATCH.size):
        update = naive_settling.update(network, rule, state, BATCH.inputs[b], (output - error)[b])
        for parameter, array in update.items():
            total[parameter] = total.get(parameter, 0) + array / BATCH.size
    return total


def ours(name, samples):
    """Relative variance by the engine, every sample drawn."""
    rule, network, objective, state = cell(name)
    if rule.randomness() & {"rule", "action"}:
        return bench.measure(
            rule, network, objective, BATCH, samples, state=state, method="sampled"
        ).value("variance")
    # Deterministic rules: the estimate itself is what takes time.
    for _ in range(samples):
        bench.estimates(rule, network, objective, BATCH, samples=1, state=state)
    return 0.0


def by_hand(name, samples):
    """Relative variance by the naive twin, every estimate formed."""
    rule, network, objective, state = cell(name)
    reference = bench.measure(rule, network, objective, BATCH, state=state, samples=16).reference
    running = naive.RunningStatistics(reference)
    generator = np.random.default_rng(0)
    for _ in range(samples):
        running.add(naive_draw(name, network, objective, state, generator))
    return running.relative()[1] if samples > 1 else 0.0


@pytest.mark.parametrize("name", ["node_perturbation", "attention_gated"])
def test_both_compute_the_same_statistics(name):
    rule, network, objective, state = cell(name)
    found = bench.measure(
        rule, network, objective, BATCH, 4000, state=state, method="sampled"
    ).frame
    row = found[(found["quantity"] == "variance") & (found["projection"] == "all")].iloc[0]
    half = (row["high"] - row["low"]) / 2
    samples = 400
    # The twin has a tenth of the samples, so about 3.2 times the error.
    assert abs(by_hand(name, samples) - row["value"]) < 2 * half * np.sqrt(1 + 4000 / samples)


@pytest.mark.parametrize("how", ["ours", "naive"])
@pytest.mark.parametrize("name", RULES)
def test_estimates_per_second(benchmark, name, how):
    function, samples = {"ours": ours, "naive": by_hand}[how], SAMPLES[how]
    if name == "dendritic_error":
        samples = {"ours": 16, "naive": 1}[how]
    function(name, 1)  # compiled before it is timed
    benchmark.extra_info["estimates"] = samples
    benchmark.group = name
    benchmark.pedantic(function, args=(name, samples), rounds=5, warmup_rounds=1)

"""Plain loops for neurons with escape noise and the rules that reward their spikes.

One trial, one neuron, one step after the other, with eligibility traces that go forwards.
"""

from itertools import product

import numpy as np


def run(network, x, draws):
    """Spikes (T, N), their probabilities and potentials, and outputs of a trial ``x`` (T, N_in)."""
    w, neurons = network.parameters, network.population("layer1").neurons
    size = len(w["layer1.bias"])
    potential, spikes, filtered = np.zeros(size), np.zeros(size), np.zeros(size)
    course = []
    for t, now in enumerate(x):
        seen = filtered.copy()
        drive = w["layer1.weights"] @ now + w["layer1.recurrent"] @ seen + w["layer1.bias"]
        potential = neurons.membrane * potential + drive - neurons.reset * spikes
        rate = np.exp((potential - neurons.threshold) / neurons.width)
        chance = 1 - np.exp(-rate)
        spikes = np.array([float(draws[t, i] < chance[i].real) for i in range(size)])
        before, filtered = filtered, neurons.kept * filtered + spikes
        output = w["layer2.weights"] @ filtered + w["layer2.bias"]
        course.append((now, seen, rate, chance, spikes, before, filtered, output))
    return course


def expected_pass(network, x):
    """Outputs where the probability of a spike stands in for the spike."""
    w, neurons = network.parameters, network.population("layer1").neurons
    potential, spikes, filtered, outputs = 0.0, 0.0, np.zeros(len(w["layer1.bias"])), []
    for now in x:
        drive = w["layer1.weights"] @ now + w["layer1.recurrent"] @ filtered + w["layer1.bias"]
        potential = neurons.membrane * potential + drive - neurons.reset * spikes
        spikes = 1 - np.exp(-np.exp((potential - neurons.threshold) / neurons.width))
        filtered = neurons.kept * filtered + spikes
        outputs.append(w["layer2.weights"] @ filtered + w["layer2.bias"])
    return np.array(outputs)


def squared(outputs, target):
    """Half the squared distance of the last output to a class."""
    return 0.5 * ((outputs[-1] - np.eye(len(outputs[-1]))[target]) ** 2).sum()


def draw(network, batch, uniform, baseline, kind, depression=0.0):
    """One estimate of R-max or R-STDP; ``uniform`` is (T, B, N). Squared error, last step."""
    neurons = network.population("layer1").neurons
    found = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        course = run(network, batch.inputs[b], uniform[:, b])
        outputs = [step[-1] for step in course]
        reward = -squared(outputs, batch.targets[b])
        expected = 0.0
        if baseline == "clean":
            expected = -squared(expected_pass(network, batch.inputs[b]), batch.targets[b])
        size, shown = len(course[0][4]), network.inputs
        potential = np.zeros(shown), np.zeros(size), 0.0
        trace = {n: np.zeros_like(w) for n, w in network.parameters.items() if "layer1" in n}
        for now, seen, rate, chance, spikes, before, _, _ in course:
            brought = (now, seen, 1.0)
            potential = tuple(
                neurons.membrane * old + new for old, new in zip(potential, brought, strict=True)
            )
            for i in range(size):
                slope = rate[i] * np.exp(-rate[i]) / neurons.width
                score = slope / chance[i] if spikes[i] else -rate[i] / neurons.width
                post = score if kind == "r_max" else spikes[i]
                pairs = zip(("weights", "recurrent", "bias"), potential, brought, strict=True)
                for name, filtered, direct in pairs:
                    trace[f"layer1.{name}"][i] += post * filtered
                    if kind != "r_max":
                        trace[f"layer1.{name}"][i] -= depression * before[i] * direct
        for name, array in trace.items():
            found[name] -= (reward - expected) * array / batch.size
        error = outputs[-1] - np.eye(len(outputs[-1]))[batch.targets[b]]
        found["layer2.weights"] += np.outer(error, course[-1][6]) / batch.size
        found["layer2.bias"] += error / batch.size
    return found


def expected_loss(network, batch):
    """Mean over trials of the loss expected over spikes, by every train of spikes."""
    size, steps = len(network.parameters["layer1.bias"]), batch.inputs.shape[1]
    total = 0.0
    for b in range(batch.size):
        for bits in product((0.0, 1.0), repeat=size * steps):
            course = run(network, batch.inputs[b], np.array(bits).reshape(steps, size))
            likely = 1.0
            for _, _, _, chance, spikes, _, _, _ in course:
                likely *= np.where(spikes == 1, chance, 1 - chance).prod()
            total += likely * squared([step[-1] for step in course], batch.targets[b]) / batch.size
    return total

"""Plain numpy twins of spiking networks and of regression discontinuity."""

from itertools import product

import numpy as np

import naive


def logistic(x):
    return 1 / (1 + np.exp(-x))


def grid(common, points=4001):
    """Values of the common noise and their weights: a fine grid out to 9 standard deviations."""
    if common == 0:
        return np.zeros(1), np.ones(1)
    values = np.linspace(-9, 9, points)
    weights = np.exp(-(values**2) / 2)
    return common * values, weights / weights.sum()


def stack(network, parameters):
    """Weights, bias and neurons of each layer."""
    found = []
    for population in network.populations:
        weights = parameters[f"{population.name}.weights"]
        bias = parameters.get(f"{population.name}.bias", np.zeros(len(weights)))
        found.append((weights, bias, population.neurons))
    return found


def expected_loss(network, objective, batch, parameters, points=4001):
    """Mean over examples of the loss expected over spikes, by recursion over patterns."""
    layers = stack(network, parameters)

    def beyond(level, sent, b):
        weights, bias, neurons = layers[level]
        drive = weights @ sent + bias
        if level == len(layers) - 1:
            output = naive.activation(neurons.activation)[0](drive)
            return objective.losses(output[None], batch.targets[b : b + 1])[0]
        values, chances = grid(neurons.common, points)
        excess = (drive + values[:, None] - neurons.threshold) / neurons.spread
        total = 0.0
        for pattern in product((0, 1), repeat=len(drive)):
            spikes = np.array(pattern)
            each = np.where(spikes, logistic(excess), logistic(-excess)).prod(axis=1)
            total += (chances @ each) * beyond(level + 1, spikes, b)
        return total

    return np.mean([beyond(0, batch.inputs[b], b) for b in range(batch.size)])


def readout_only(network, batch, noise):
    """Error of the output times the spikes of the last hidden layer; squared error."""
    found = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    *hidden, (weights, bias, _) = stack(network, network.parameters)
    top = network.output.name
    for b in range(batch.size):
        sent = batch.inputs[b]
        for (below, offset, neurons), disturbed in zip(hidden, noise.values(), strict=True):
            drive = below @ sent + offset + disturbed[b]
            sent = np.array([float(v >= neurons.threshold) for v in drive])
        error = weights @ sent + bias - np.eye(len(bias))[batch.targets[b]]
        found[f"{top}.weights"] += np.outer(error, sent) / batch.size
        found[f"{top}.bias"] += error / batch.size
    return found


def regression_discontinuity(network, objective, batch, rule, noise):
    """One draw; ``noise`` holds what is added to drives, ``(T, B, N)`` by population."""
    layers = stack(network, network.parameters)
    found = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    trials = rule.trials
    for b in range(batch.size):
        rows = []  # (sent, drive, distance from threshold) by layer, and loss and error
        for t in range(trials):
            sent, levels = batch.inputs[b], []
            for number, (weights, bias, neurons) in enumerate(layers[:-1], start=1):
                drive = weights @ sent + bias
                x = drive + noise[f"layer{number}"][t, b] - neurons.threshold
                levels.append((sent, drive, x))
                sent = (x >= 0).astype(float)
            weights, bias, neurons = layers[-1]
            drive = weights @ sent + bias
            f, slope = naive.activation(neurons.activation)
            target = batch.targets[b : b + 1]
            loss = objective.losses(f(drive)[None], target)[0]
            signal = objective.error(f(drive)[None], target)[0] * slope(drive)
            rows.append((levels, sent, loss, signal))
        losses = np.array([loss for _, _, loss, _ in rows])
        for number, (_, _, neurons) in enumerate(layers[:-1]):
            x = np.array([levels[number][2] for levels, _, _, _ in rows])
            drive = np.array([levels[number][1] for levels, _, _, _ in rows])
            sent = np.array([levels[number][0] for levels, _, _, _ in rows])
            values, chances = grid(neurons.common)
            for i in range(x.shape[1]):
                jump = discontinuity(x[:, i], losses, rule)
                excess = (drive[:, i, None] + values - neurons.threshold) / neurons.spread
                density = (logistic(excess) * logistic(-excess)) @ chances / neurons.spread
                add(found, number + 1, i, jump * density, sent, batch.size * trials)
        signal = np.array([one for _, _, _, one in rows])
        sent = np.array([one for _, one, _, _ in rows])
        for i in range(signal.shape[1]):
            add(found, len(layers), i, signal[:, i], sent, batch.size * trials)
    return found


def add(found, number, i, post, sent, count):
    found[f"layer{number}.weights"][i] += post @ sent / count
    if f"layer{number}.bias" in found:
        found[f"layer{number}.bias"][i] += post.sum() / count


def discontinuity(x, y, rule):
    """Fitted jump of y at x = 0."""
    limits = []
    for chosen in ((x >= 0) & (x < rule.window), (x < 0) & (x > -rule.window)):
        if not chosen.any():
            return 0.0
        line = rule.regression == "local_linear" and chosen.sum() >= 6
        limits.append(np.polyfit(x[chosen], y[chosen], 1 if line else 0)[-1])
    return limits[0] - limits[1]


def windowed_jump(network, objective, batch, unit, window, regression):
    """The jump fitted with endlessly many trials, for one example and one hidden layer."""
    above, below = windowed_fits(network, objective, batch, unit, window, regression)
    return above[-1] - below[-1]


def windowed_fits(network, objective, batch, unit, window, regression):
    """Coefficients fitted above and below threshold, highest power first.

    Above and below threshold, E[F | v] follows from the posterior of the common noise given v.
    """
    (weights, bias, neurons), (readout, offset, _) = stack(network, network.parameters)
    drive = weights @ batch.inputs[0] + bias
    values, chances = grid(neurons.common, 801)
    others = [j for j in range(len(drive)) if j != unit]
    excess = (drive + values[:, None] - neurons.threshold) / neurons.spread
    fits = []
    for spiking, side in ((1, 1.0), (0, -1.0)):
        given = np.zeros(len(values))  # E[F | spike or none, common noise]
        for pattern in product((0, 1), repeat=len(others)):
            spikes = np.zeros(len(drive))
            spikes[unit], spikes[others] = spiking, pattern
            loss = objective.losses((readout @ spikes + offset)[None], batch.targets[:1])[0]
            chance = np.where(pattern, logistic(excess[:, others]), logistic(-excess[:, others]))
            given += loss * chance.prod(axis=1)
        x = side * window * (np.arange(400) + 0.5) / 400
        own = (neurons.threshold + x[:, None] - drive[unit] - values) / neurons.spread
        joint = chances * logistic(own) * logistic(-own)
        density = joint.sum(axis=1)
        mean = joint @ given / density
        degree = 1 if regression == "local_linear" else 0
        fits.append(np.polyfit(x, mean, degree, w=np.sqrt(density)))
    return fits

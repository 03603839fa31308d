"""Plain numpy twins of the engine and the rules, readable beside the equations."""

import numpy as np


def activation(name):
    """The function and its derivative."""
    return {
        "identity": (lambda z: z, lambda z: np.ones_like(z)),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        "sigmoid": (
            lambda z: 1 / (1 + np.exp(-z)),
            lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
        ),
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
        "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
    }[name]


def layers(network):
    """(weights, bias, activation) of each layer, from the parameters' names alone."""
    found = []
    for population in network.populations:
        weights = network.parameters[f"{population.name}.weights"]
        bias = network.parameters.get(f"{population.name}.bias", np.zeros(len(weights)))
        found.append((weights, bias, population.neurons.activation))
    return found


def forward(network, x):
    """Activities a_0 ... a_L and drives z_1 ... z_L of one example."""
    activities, drives = [x], []
    for weights, bias, name in layers(network):
        drives.append(weights @ activities[-1] + bias)
        activities.append(activation(name)[0](drives[-1]))
    return activities, drives


def losses(name, output, target):
    """Loss of one example; the target is a class or a vector."""
    if name == "mean_squared_error":
        return 0.5 * np.sum((output - vector(target, output.size)) ** 2)
    probability = np.exp(output - output.max())
    probability /= probability.sum()
    if name == "cross_entropy":
        return -np.sum(vector(target, output.size) * np.log(probability))
    return -np.sum(probability * vector(target, output.size))


def vector(target, size):
    """A class as an indicator vector; a vector as it is."""
    if np.ndim(target) == 1:
        return target
    return (np.arange(size) == target).astype(float)


def finite_difference_gradient(network, loss, h=1e-6):
    """Central differences of ``loss(parameters)`` in every coordinate."""
    gradient = {}
    for name, array in network.parameters.items():
        gradient[name] = np.empty_like(array)
        for index in np.ndindex(array.shape):
            moved = {key: value.copy() for key, value in network.parameters.items()}
            moved[name][index] = array[index] + h
            above = loss(moved)
            moved[name][index] = array[index] - h
            gradient[name][index] = (above - loss(moved)) / (2 * h)
    return gradient


def backpropagate(network, x, output_error, feedback=None):
    """Post factors per layer of one example; ``feedback[l]`` replaces W_(l+1)^T if given."""
    stack = layers(network)
    _, drives = forward(network, x)
    signal = output_error * activation(stack[-1][2])[1](drives[-1])
    signals = [signal]
    for index in range(len(stack) - 2, -1, -1):
        matrix = stack[index + 1][0].T if feedback is None else feedback[index]
        signal = (matrix @ signal) * activation(stack[index][2])[1](drives[index])
        signals.insert(0, signal)
    return signals


def statistics(draws, reference):
    """Every quantity from individual draws (K, P), straight from the definitions."""
    count = len(draws)
    d = draws - reference
    mean = draws.mean(axis=0)
    g2 = reference @ reference
    variance = ((draws - mean) ** 2).sum() / (count - 1)
    # U-statistic: mean over pairs of different draws of d_i . d_j.
    products = d @ d.T
    bias = (products.sum() - np.trace(products)) / (count * (count - 1))
    mean2 = mean @ mean - variance / count
    along = draws @ reference
    along2 = along.mean() ** 2 - along.var(ddof=1) / count
    if mean2 <= 0:
        mean2 = np.nan  # the length of the mean is not resolved
    return {
        "bias_squared": bias / g2,
        "variance": variance / g2,
        "direction_bias": 1 - along.mean() / np.sqrt(g2 * mean2),
        "magnitude_bias": np.sqrt(mean2 / g2) - 1,
        "scale_free_bias": 1 - along2 / (g2 * mean2),
        "gain": along.mean() / g2,
        "progress": along2 / (g2 * np.sum(draws * draws) / count),
        "absolute_bias_squared": bias,
        "absolute_variance": variance,
    }

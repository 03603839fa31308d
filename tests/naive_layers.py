"""Plain numpy twins of rules whose layers have aims of their own, one example at a time."""

import numpy as np

import naive
from naive_feedback import collect, examples, output_error


def local_losses(network, objective, batch, readouts):
    """Error of each layer's own read-out ``(R, c)``, with the output's function, through R."""
    f, slope = naive.activation(naive.layers(network)[-1][2])

    def factors():
        given = zip(examples(network, objective, batch), batch.targets, strict=True)
        for (activities, slopes, delta), target in given:
            posts = []
            for (matrix, bias), a, own in zip(readouts, activities[1:-1], slopes, strict=False):
                drive = matrix @ a + bias
                error = output_error(objective, f(drive), target) * slope(drive)
                posts.append(matrix.T @ error * own)
            yield [*posts, delta], activities

    return collect(network, batch, factors())


def local_readouts(network, objective, batch, readouts, rate):
    """Read-outs after one step of the delta rule, relative to 1 plus the mean squared activity."""
    f, slope = naive.activation(naive.layers(network)[-1][2])
    learned = []
    for layer, (matrix, bias) in enumerate(readouts, start=1):
        by_matrix, by_bias, squares = np.zeros_like(matrix), np.zeros_like(bias), 0.0
        for x, target in zip(batch.inputs, batch.targets, strict=True):
            a = naive.forward(network, x)[0][layer]
            drive = matrix @ a + bias
            error = output_error(objective, f(drive), target) * slope(drive) / batch.size
            by_matrix, by_bias = by_matrix + np.outer(error, a), by_bias + error
            squares += a @ a / batch.size
        learned.append(
            (matrix - rate / (1 + squares) * by_matrix, bias - rate / (1 + squares) * by_bias)
        )
    return learned


def difference_targets(network, objective, batch, feedback, step):
    """Targets sent down by paths back that the slopes above gate, corrected by differences."""

    def factors():
        given = zip(examples(network, objective, batch), batch.targets, strict=True)
        for (activities, slopes, _), target in given:
            goal = activities[-1] - step * output_error(objective, activities[-1], target)
            posts = []
            for layer in range(len(slopes) - 1, -1, -1):
                a = activities[layer + 1]
                posts.insert(0, (a - goal) / step * slopes[layer])
                if layer:
                    back = feedback[layer - 1] * slopes[layer]
                    goal = activities[layer] + back @ goal - back @ a
            yield posts, activities

    return collect(network, batch, factors())


def reconstruction_loss(network, batch, layer, matrix, epsilon, eta, sigma):
    """Difference reconstruction loss of the path back below ``layer + 1``, summed over examples."""
    weights, bias, name = naive.layers(network)[layer]
    f, slope = naive.activation(name)
    total = 0.0
    for b, x in enumerate(batch.inputs):
        a = naive.forward(network, x)[0][layer]
        drive = weights @ a + bias
        gate = slope(drive)
        moved = f(weights @ (a + sigma * epsilon[b]) + bias) - f(drive)
        total -= 2 / sigma**2 * (sigma * epsilon[b]) @ (matrix @ (gate * moved))
        total += np.sum((matrix @ (gate * sigma * eta[b])) ** 2) / sigma**2
    return total


def soft_hebb(network, objective, batch, temperature, repel, gain):
    """Shares of a softmax times what a neuron does not say of its input; delta at the top."""
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    depth = len(naive.layers(network))
    for x, (activities, _, delta) in zip(
        batch.inputs, examples(network, objective, batch), strict=True
    ):
        _, drives = naive.forward(network, x)
        for layer in range(1, depth + 1):
            u = drives[layer - 1]
            share = np.exp(u / temperature) / np.exp(u / temperature).sum()
            for name, pre in (("weights", activities[layer - 1]), ("bias", 1.0)):
                w = network.parameters.get(f"layer{layer}.{name}")
                if w is None:
                    continue
                for k in range(u.size):
                    if layer == depth:
                        change = -delta[k] * pre
                    else:
                        sign = 1 if not repel or u[k] == u.max() else -1
                        change = gain * sign * share[k] * (pre - u[k] * w[k])
                    total[f"layer{layer}.{name}"][k] -= change / batch.size
    return total

"""Plain numpy twins of perturbation and score rules, one example and one unit at a time."""

from itertools import product

import numpy as np

import naive


def output_error(name, output, target):
    """Derivative of one example's loss with respect to the output."""
    y = naive.vector(target, output.size)
    if name == "mean_squared_error":
        return output - y
    policy = np.exp(output - output.max())
    policy /= policy.sum()
    if name == "cross_entropy":
        return policy - y
    return -policy * (y - policy @ y)


def tangent(network, x, change=None, noise=None):
    """Changes of drives, and of the output, for changed parameters or noise on the drives."""
    activity, moved, drives = x, np.zeros_like(x), []
    for population, (weights, bias, name) in zip(
        network.populations, naive.layers(network), strict=True
    ):
        f, slope = naive.activation(name)
        z = weights @ activity + bias
        dz = weights @ moved
        if change is not None:
            dz = dz + change[f"{population.name}.weights"] @ activity
            dz = dz + change.get(f"{population.name}.bias", 0)
        if noise is not None:
            dz = dz + noise[population.name]
        drives.append(dz)
        activity, moved = f(z), slope(z) * dz
    return drives, moved


def derivative(network, objective, x, target, **direction):
    """Directional derivative of one example's loss, and the changes of the drives."""
    drives, moved = tangent(network, x, **direction)
    output = naive.forward(network, x)[0][-1]
    return output_error(objective, output, target) @ moved, drives


def forward_gradient(network, objective, batch, xi, perturbing):
    """One draw: (grad F . xi) xi, or (sum_m delta_m . xi_m) xi_l a_(l-1) for each example."""
    examples = range(batch.size)
    if perturbing == "weights":
        slope = np.mean(
            [
                derivative(network, objective, batch.inputs[b], batch.targets[b], change=xi)[0]
                for b in examples
            ]
        )
        return {name: slope * drawn for name, drawn in xi.items()}
    posts = [np.zeros_like(xi[p.name]) for p in network.populations]
    for b in examples:
        own = {name: drawn[b] for name, drawn in xi.items()}
        slope, _ = derivative(network, objective, batch.inputs[b], batch.targets[b], noise=own)
        for post, p in zip(posts, network.populations, strict=True):
            post[b] = slope * own[p.name] / batch.size
    return naive.outer_products(network, posts, naive.batch_forward(network, batch.inputs)[0])


def noisy_drives(network, x, noise):
    """Drives with their noise, and the output."""
    activity, drives = x, []
    for population, (weights, bias, name) in zip(
        network.populations, naive.layers(network), strict=True
    ):
        drives.append(weights @ activity + bias + noise[population.name])
        activity = naive.activation(name)[0](drives[-1])
    return drives, activity


def activity_node_perturbation(network, objective, batch, xi, sigma, antithetic, matrices=None):
    """One draw: N dF dz_l / |dz|^2, times presynaptic activity or R^T R of it."""
    estimate = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        x, target = batch.inputs[b], batch.targets[b]

        def passed(factor, x=x, target=target, b=b):
            noise = {name: factor * sigma * drawn[b] for name, drawn in xi.items()}
            drives, output = noisy_drives(network, x, noise)
            return naive.losses(objective, output, target), np.concatenate(drives)

        (loss, above), (before, below) = passed(1), passed(-1 if antithetic else 0)
        dz = above - below
        post = dz.size * (loss - before) * dz / (dz @ dz) / batch.size
        activities, start = naive.forward(network, x)[0], 0
        for number, population in enumerate(network.populations):
            own = post[start : start + population.size]
            start += population.size
            pre = activities[number]
            if matrices is not None:
                pre = matrices[number].T @ (matrices[number] @ pre)
            estimate[f"{population.name}.weights"] += np.outer(own, pre)
            if f"{population.name}.bias" in estimate:
                estimate[f"{population.name}.bias"] += own
    return estimate


def decorrelate(matrix, activity, rate):
    """R - rate C R, with C_ij the mean of x*_i x*_j, i != j."""
    size = len(matrix)
    products = np.zeros((size, size))
    for x in activity:
        own = matrix @ x
        for i in range(size):
            for j in range(size):
                if i != j:
                    products[i, j] += own[i] * own[j] / len(activity)
    return matrix - rate * products @ matrix


def sampled(network, x, draws, sigma=None):
    """Activities and scores of one example; spikes unless ``sigma`` is given."""
    activities, drives, scores = [x], [], []
    stack = naive.layers(network)
    for number, (weights, bias, name) in enumerate(stack):
        z = weights @ activities[-1] + bias
        drives.append(z)
        if number == len(stack) - 1:
            activities.append(naive.activation(name)[0](z))
        elif sigma is None:
            rate = 1 / (1 + np.exp(-z))
            pairs = zip(draws[number], rate, strict=True)
            spikes = np.array([1.0 if u < p else 0.0 for u, p in pairs])
            activities.append(spikes)
            scores.append(spikes - rate)
        else:
            activities.append(naive.activation(name)[0](z + sigma * draws[number]))
            scores.append(draws[number] / sigma)
    return activities, drives, scores


def reinforce(network, objective, batch, draws, baseline, sigma=None, actions=None):
    """One draw: -(r - b) score times presynaptic activity; the output by its error or action."""
    estimate = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    slope = naive.activation(naive.layers(network)[-1][2])[1]
    for b in range(batch.size):
        own = [drawn[b] for drawn in draws]
        activities, drives, scores = sampled(network, batch.inputs[b], own, sigma)
        output, target = activities[-1], batch.targets[b]
        if actions is None:
            reward = -naive.losses(objective, output, target)
            error = output_error(objective, output, target)
        else:
            reward = naive.vector(target, output.size)[actions[b]]
            policy = np.exp(output) / np.exp(output).sum()
            error = -(reward - baseline[b]) * (naive.vector(actions[b], output.size) - policy)
        posts = [-(reward - baseline[b]) * score for score in scores]
        posts.append(error * slope(drives[-1]))
        add(estimate, network, posts, activities, batch.size)
    return estimate


def straight_through(network, objective, batch, draws):
    """One draw: errors return through spikes with the slope of the rate."""
    estimate = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    stack = naive.layers(network)
    for b in range(batch.size):
        own = [drawn[b] for drawn in draws]
        activities, drives, _ = sampled(network, batch.inputs[b], own)
        error = output_error(objective, activities[-1], batch.targets[b])
        posts = [error * naive.activation(stack[-1][2])[1](drives[-1])]
        for number in range(len(stack) - 2, -1, -1):
            rate = 1 / (1 + np.exp(-drives[number]))
            posts.insert(0, (stack[number + 1][0].T @ posts[0]) * rate * (1 - rate))
        add(estimate, network, posts, activities, batch.size)
    return estimate


def readout_only(network, objective, batch, draws, sigma=None):
    """One draw: the error of the output times what the last hidden layer drew."""
    estimate = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    slope = naive.activation(naive.layers(network)[-1][2])[1]
    for b in range(batch.size):
        own = [drawn[b] for drawn in draws]
        activities, drives, _ = sampled(network, batch.inputs[b], own, sigma)
        silent = [np.zeros(drive.size) for drive in drives[:-1]]
        error = output_error(objective, activities[-1], batch.targets[b])
        add(estimate, network, [*silent, error * slope(drives[-1])], activities, batch.size)
    return estimate


def add(estimate, network, posts, activities, size):
    """Add one example's outer products over the batch size."""
    for population, post, pre in zip(network.populations, posts, activities, strict=False):
        estimate[f"{population.name}.weights"] += np.outer(post, pre) / size
        if f"{population.name}.bias" in estimate:
            estimate[f"{population.name}.bias"] += post / size


def expected_loss(network, objective, batch, parameters):
    """Mean over the batch of the loss expected over the states of Bernoulli units."""
    network = network.with_parameters(parameters)
    hidden = [population.size for population in network.populations[:-1]]
    total = 0.0
    for b in range(batch.size):
        for state in product((0, 1), repeat=sum(hidden)):
            activity, chance, start = batch.inputs[b], 1.0, 0
            for number, (weights, bias, name) in enumerate(naive.layers(network)):
                z = weights @ activity + bias
                if number == len(hidden):
                    activity = naive.activation(name)[0](z)
                    continue
                rate = 1 / (1 + np.exp(-z))
                activity = np.array(state[start : start + hidden[number]], dtype=float)
                start += hidden[number]
                for s, p in zip(activity, rate, strict=True):
                    chance *= p if s else 1 - p
            total += chance * naive.losses(objective, activity, batch.targets[b]) / batch.size
    return total


def gaussian_loss(network, objective, batch, parameters, sigma, nodes):
    """Expected loss of gaussian units, by Gauss-Hermite quadrature with many nodes per unit."""
    network = network.with_parameters(parameters)
    hidden = [population.size for population in network.populations[:-1]]
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    total = 0.0
    for chosen in product(range(nodes), repeat=sum(hidden)):
        draws = np.split(points[list(chosen)], np.cumsum(hidden)[:-1])
        for b in range(batch.size):
            output = sampled(network, batch.inputs[b], draws, sigma)[0][-1]
            loss = naive.losses(objective, output, batch.targets[b])
            total += weights[list(chosen)].prod() * loss / batch.size
    return total

"""Plain numpy twins of the engine and the rules, readable beside the equations."""

import numpy as np
from scipy import stats


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
        "hard_sigmoid": (lambda z: np.clip(z, 0, 1), lambda z: ((z > 0) & (z < 1)).astype(float)),
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


def complex_step_gradient(network, loss, h=1e-30):
    """Derivatives of an analytic ``loss(parameters)`` to rounding: nothing is subtracted."""
    gradient = {}
    for name, array in network.parameters.items():
        gradient[name] = np.empty_like(array)
        for index in np.ndindex(array.shape):
            moved = {key: value.astype(complex) for key, value in network.parameters.items()}
            moved[name][index] += 1j * h
            gradient[name][index] = loss(moved).imag / h
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


def statistics(draws, reference, variance=None):
    """Every quantity from individual draws (K, P), straight from the definitions.

    Their variance may be given, where it is not that of the estimates whose mean they have.
    """
    count = len(draws)
    d = draws - reference
    mean = draws.mean(axis=0)
    g2 = reference @ reference
    spread = ((draws - mean) ** 2).sum() / (count - 1)
    variance = spread if variance is None else variance
    # U-statistic: mean over pairs of different draws of d_i . d_j.
    products = d @ d.T
    bias = (products.sum() - np.trace(products)) / (count * (count - 1))
    mean2 = mean @ mean - spread / count
    moment = mean2 + variance
    along = draws @ reference
    along2 = along.mean() ** 2 - along.var(ddof=1) / count
    squared_length = mean2
    if mean2 <= 0:
        mean2 = np.nan  # the length of the mean is not resolved
    if along.mean() <= 0:
        along2 = 0  # uphill no scalar and no step helps
    return {
        "bias_squared": bias / g2,
        "variance": variance / g2,
        "direction_bias": 1 - along.mean() / np.sqrt(g2 * mean2),
        "magnitude_bias": np.sqrt(mean2 / g2) - 1,
        "scale_free_bias": 1 - along2 / (g2 * mean2),
        "gain": along.mean() / g2,
        "progress": along2 / (g2 * moment),
        "absolute_bias_squared": bias,
        "absolute_variance": variance,
        "squared_length": squared_length / g2,
        "cosine": along.mean() / np.sqrt(g2 * mean2),
        "root": along.mean() / np.sqrt(g2 * moment),
    }


def jackknife(draws, reference, group, variance=lambda keep: None):
    """Value, half width of its interval and bias, of every number in ``statistics``."""
    everything, numbers = group >= 0, np.unique(group)
    value = statistics(draws, reference, variance(everything))
    left = [
        statistics(draws[keep], reference, variance(keep))
        for keep in (group != number for number in numbers)
    ]
    count, found = len(numbers), {}
    for name in value:
        each = np.array([one[name] for one in left])
        error = np.sqrt((count - 1) / count * ((each - each.mean()) ** 2).sum())
        half = stats.t.ppf(0.975, count - 1) * error
        found[name] = (value[name], half, (count - 1) * (each.mean() - value[name]))
    return found


def measured(draws, reference, group, variance=lambda keep: None):
    """Value and interval (value, low, high) of every quantity, as the definitions say."""
    found = jackknife(draws, reference, group, variance)
    ends = {name: (value, value - half, value + half) for name, (value, half, _) in found.items()}
    value, half, _ = found["squared_length"]
    if half < value / 2:
        for name in ("direction_bias", "magnitude_bias"):
            ends[name] = tuple(end - found[name][2] for end in ends[name])
        value, (_, low, high) = ends["scale_free_bias"][0], ends["cosine"]
        if low <= 0 <= high:
            ends["scale_free_bias"] = (value, min(value, 1 - min(high, 1) ** 2), max(value, 1))
    else:
        ends["scale_free_bias"] = (0.5, 0, 1)
    if ends["gain"][2] < 0:
        ends["scale_free_bias"] = (1, 1, 1)
    value, (_, low, high) = ends["progress"][0], ends["root"]
    low, high = np.clip((low, high), 0, 1) ** 2
    ends["progress"] = (value, min(value, low), max(value, high))
    return ends


def scale_free(parts, group):
    """Value and interval over slices (draws, reference), whose ``|g|^2`` are their weights."""
    total = sum(g @ g for _, g in parts)
    told, possible = [], np.zeros(3)
    for draws, g in parts:
        share, found = g @ g / total, jackknife(draws, g, group)
        value, half, _ = found["squared_length"]
        cosine, wide, _ = found["cosine"]
        gain, most, _ = found["gain"]
        if half >= value / 2 or abs(cosine) <= wide or gain + most < 0:
            possible += share * np.array(measured(draws, g, group)["scale_free_bias"])
        else:
            told.append((draws, g, share))
    if not told:
        return tuple(possible)

    def left_over(keep):
        each = [share * statistics(draws[keep], g)["scale_free_bias"] for draws, g, share in told]
        return sum(each)

    left = np.array([left_over(group != number) for number in np.unique(group)])
    error = np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, len(left) - 1) * error
    return tuple(possible + left_over(group >= 0) + half * np.array([0, -1, 1]))


def batch_forward(network, inputs, noise=None, parameters=None):
    """Activities and drives of a batch, one matrix product a layer; noise adds to the drives."""
    parameters = network.parameters if parameters is None else parameters
    activities, drives = [inputs], []
    for number, (_, _, name) in enumerate(layers(network), start=1):
        weights = parameters[f"layer{number}.weights"]
        bias = parameters.get(f"layer{number}.bias", 0)
        drives.append(activities[-1] @ weights.T + bias)
        disturbed = drives[-1] if noise is None else drives[-1] + noise[f"layer{number}"]
        activities.append(activation(name)[0](disturbed))
    return activities, drives


def batch_losses(name, output, targets):
    """Loss of each example."""
    return np.array([losses(name, o, t) for o, t in zip(output, targets, strict=True)])


def outer_products(network, posts, activities):
    """Gradient estimate from post factors (B, N) per layer and presynaptic activities."""
    estimate = {}
    for number, post in enumerate(posts, start=1):
        estimate[f"layer{number}.weights"] = post.T @ activities[number - 1]
        if f"layer{number}.bias" in network.parameters:
            estimate[f"layer{number}.bias"] = post.sum(axis=0)
    return estimate


def node_perturbation(network, objective, batch, xi, sigma=1e-3, antithetic=True):
    """One draw: change of each example's loss, times its noise, times presynaptic activity."""
    activities, _ = batch_forward(network, batch.inputs)

    def disturbed(sign):
        noise = {name: sign * sigma * drawn for name, drawn in xi.items()}
        output = batch_forward(network, batch.inputs, noise)[0][-1]
        return batch_losses(objective, output, batch.targets)

    if antithetic:
        change = (disturbed(1) - disturbed(-1)) / (2 * sigma)
    else:
        change = (disturbed(1) - disturbed(0)) / sigma
    posts = [change[:, None] * xi[p.name] / batch.size for p in network.populations]
    return outer_products(network, posts, activities)


def weight_perturbation(network, objective, batch, xi, sigma=1e-3, antithetic=True):
    """One draw: change of the batch's loss times the noise of each weight."""

    def disturbed(sign):
        moved = {name: w + sign * sigma * xi[name] for name, w in network.parameters.items()}
        output = batch_forward(network, batch.inputs, parameters=moved)[0][-1]
        return batch_losses(objective, output, batch.targets).mean()

    if antithetic:
        change = (disturbed(1) - disturbed(-1)) / (2 * sigma)
    else:
        change = (disturbed(1) - disturbed(0)) / sigma
    return {name: change * drawn for name, drawn in xi.items()}


def returned(network, batch, output_error, feedback=None, direct=None):
    """Estimate from an error on the outputs (B, N), returned by W^T, feedback, or directly."""
    stack = layers(network)
    activities, drives = batch_forward(network, batch.inputs)
    slopes = [activation(name)[1](z) for (_, _, name), z in zip(stack, drives, strict=True)]
    posts = [output_error * slopes[-1] / batch.size]
    for index in range(len(stack) - 2, -1, -1):
        if direct is not None:
            arriving = posts[-1] @ direct[index].T
        else:
            matrix = stack[index + 1][0].T if feedback is None else feedback[index]
            arriving = posts[0] @ matrix.T
        posts.insert(0, arriving * slopes[index])
    return outer_products(network, posts, activities)


def softmax(output):
    """Rows of probabilities."""
    shifted = np.exp(output - output.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def attention_gated(network, batch, actions):
    """One draw for chosen actions (B,): f = (1 - pi) / pi if rewarded, else -1."""
    policy = softmax(batch_forward(network, batch.inputs)[0][-1])
    error = np.zeros_like(policy)
    for b, action in enumerate(actions):
        chance = policy[b, action]
        error[b, action] = -(1 - chance) / chance if action == batch.targets[b] else 1.0
    return returned(network, batch, error)


def brainprop(network, batch, actions):
    """One draw for chosen actions (B,): the reward-prediction error of the chosen value."""
    values = batch_forward(network, batch.inputs)[0][-1]
    error = np.zeros_like(values)
    for b, action in enumerate(actions):
        error[b, action] = values[b, action] - (action == batch.targets[b])
    return returned(network, batch, error)


class RunningStatistics:
    """Bias and variance as they are usually measured: every estimate formed, summed, squared."""

    def __init__(self, reference):
        self.reference, self.count, self.squares = reference, 0, 0.0
        self.total = {name: np.zeros_like(g) for name, g in reference.items()}

    def add(self, estimate):
        self.count += 1
        for name, g in self.reference.items():
            d = estimate[name] - g
            self.total[name] += d
            self.squares += (d * d).sum()

    def relative(self):
        """Relative squared bias (U-statistic) and relative variance."""
        length = sum((total**2).sum() for total in self.total.values())
        g2 = sum((g**2).sum() for g in self.reference.values())
        k = self.count
        variance = (self.squares - length / k) / (k - 1)
        return (length - self.squares) / (k * (k - 1)) / g2, variance / g2


def realised_progress(draws, gradient, parameters, loss):
    """Best step along the draws against the best along the gradient, by trying many steps."""
    names = list(parameters)
    count = len(draws[names[0]])

    def decrease(direction, step):
        moved = {name: parameters[name] - step * direction[name] for name in names}
        return loss(parameters) - loss(moved)

    def best(directions):
        largest = -np.inf
        for step in np.geomspace(0.05, 5.0, 401) / longest(directions):
            total = 0.0
            for direction in directions:
                total += decrease(direction, step)
            largest = max(largest, total / len(directions))
        return largest

    def longest(directions):
        return max(np.sqrt(sum(np.sum(d[name] ** 2) for name in names)) for d in directions)

    slopes = [sum(np.sum(draws[n][k] * gradient[n]) for n in names) for k in range(count)]
    mean = sum(slopes) / count
    if mean <= 0:
        return 0.0
    # The square of a mean of draws is too large by the variance of the mean.
    excess = 0.0
    if count > 1:
        excess = sum((slope - mean) ** 2 for slope in slopes) / (count - 1) / count
    directions = [{name: draws[name][k] for name in names} for k in range(count)]
    return best(directions) * (mean**2 - excess) / mean**2 / best([gradient])

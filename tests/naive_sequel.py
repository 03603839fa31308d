"""Plain numpy twins of feedback by regression discontinuity, AuGMEnT, and spiking burstprop."""

import math
from itertools import product

import numpy as np

import naive
from naive_dendrites import logistic, lowest, outer_mean


def fitted_at_zero(x, y, line):
    """Intercept of a line, or a mean, by least squares."""
    columns = np.stack([np.ones_like(x), x], axis=1) if line else np.ones((len(x), 1))
    return np.linalg.lstsq(columns, y, rcond=None)[0][0]


def spiking_phase(network, feedback, drives, rule):
    """Feedback ``{l: B}`` after a phase in which ``drives[l]``, ``(T, N)``, made layer l spike."""
    stack, after = naive.layers(network), {}
    for index, matrix in feedback.items():
        weights, bias, name = stack[index]
        v, new = drives[index], matrix.copy()
        y = np.zeros((len(v), len(weights)))
        for t, one in enumerate(v):
            sent = np.where(one >= 0, rule.amplitude, 0.0)
            y[t] = weights @ sent
            if rule.response == "activity":
                y[t] = naive.activation(name)[0](y[t] + bias)
        for i in range(matrix.shape[0]):
            sides = [(v[:, i] >= 0) & (v[:, i] < rule.window)]
            sides.append((-rule.window < v[:, i]) & (v[:, i] < 0))
            if not all(side.any() for side in sides):
                continue
            for k in range(matrix.shape[1]):
                above, below = (
                    fitted_at_zero(
                        v[side, i], y[side, k], rule.regression == "local_linear" and side.sum() > 5
                    )
                    for side in sides
                )
                jump = (above - below) / rule.amplitude
                new[i, k] = (1 - rule.rate) * matrix[i, k] + rule.rate * jump
        after[index] = new
    return after


def value_gradient(network, x, action):
    """Value of the action, and its gradient in every parameter."""
    activities, drives = naive.forward(network, x)
    stack = naive.layers(network)
    signal = np.eye(len(activities[-1]))[action] * naive.activation(stack[-1][2])[1](drives[-1])
    found = {}
    for index in range(len(stack) - 1, -1, -1):
        found[f"layer{index + 1}.weights"] = np.outer(signal, activities[index])
        if f"layer{index + 1}.bias" in network.parameters:
            found[f"layer{index + 1}.bias"] = signal
        if index:
            slope = naive.activation(stack[index - 1][2])[1](drives[index - 1])
            signal = (stack[index][0].T @ signal) * slope
    return activities[-1][action], found


def augment(network, batch, actions, discount, trace):
    """Trials of one step: the chosen value, its gradient, and the reward less that value."""
    found = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for row in range(batch.size):
        value, gradient = value_gradient(network, batch.inputs[row], actions[row])
        error = float(actions[row] == batch.targets[row]) - value
        for name in found:
            found[name] -= error * gradient[name] / batch.size
    return found


def memory_trial(network, x):
    """Regular and memory units, their traces and action values in every step of ``x`` (T, N)."""
    w = network.parameters
    before, drive = np.zeros(x.shape[1]), np.zeros(len(w["memory.weights"]))
    brought, course = np.zeros(2 * x.shape[1]), []
    for now in x:
        gained = [max(a - b, 0.0) for a, b in zip(now, before, strict=True)]
        lost = [max(b - a, 0.0) for a, b in zip(now, before, strict=True)]
        changed = np.array(gained + lost)
        brought = brought + changed
        drive = drive + w["memory.weights"] @ changed
        regular = logistic(w["regular.weights"] @ now + w["regular.bias"])
        memory = logistic(drive)
        values = w["output.regular"] @ regular + w["output.memory"] @ memory + w["output.bias"]
        course.append((now, brought, regular, memory, values))
        before = now
    return course


def memory_gradient(network, step, action):
    """Gradient of a value by the paper's traces: what each synapse brought, times feedback."""
    now, brought, regular, memory, values = step
    w = network.parameters
    chosen = np.eye(len(values))[action]
    to_regular = w["output.regular"][action] * regular * (1 - regular)
    to_memory = w["output.memory"][action] * memory * (1 - memory)
    return {
        "regular.weights": np.outer(to_regular, now),
        "memory.weights": np.outer(to_memory, brought),
        "output.regular": np.outer(chosen, regular),
        "output.memory": np.outer(chosen, memory),
        "regular.bias": to_regular,
        "output.bias": chosen,
    }


def augment_in_time(network, batch, actions, discount, trace):
    """One draw: in every trial, tag, wait for the next value, change, decay.

    ``actions`` is (T, B); classes are (B, T), and the batch's mask says which steps count.
    """
    found = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        course = memory_trial(network, batch.inputs[b])
        counted = [t for t in range(len(course)) if batch.mask[b, t] > 0]
        tags = {name: np.zeros_like(w) for name, w in network.parameters.items()}
        for t, after in zip(counted, [*counted[1:], None], strict=True):
            value = course[t][-1][actions[t, b]]
            following = 0.0 if after is None else course[after][-1][actions[after, b]]
            reward = float(actions[t, b] == batch.targets[b, t])
            error = batch.mask[b, t] / batch.mask[b].sum()
            error *= reward + discount * following - value
            for name, gradient in memory_gradient(network, course[t], actions[t, b]).items():
                tags[name] = trace * discount * tags[name] + gradient
                found[name] -= error * tags[name] / batch.size
    return found


def augment_moments(network, batch, policy, discount, trace):
    """Mean, and variance summed over entries, by every sequence of actions of every trial.

    ``policy`` is (T, B, A). Trials are independent, and their variances add up.
    """
    steps, _, choices = policy.shape
    mean, variance = {}, {}
    for b in range(batch.size):
        alone = batch.take([b])
        first, square = {}, {}
        for actions in product(range(choices), repeat=steps):
            chance = np.prod([policy[t, b, a] for t, a in enumerate(actions)])
            drawn = augment_in_time(network, alone, np.array(actions)[:, None], discount, trace)
            for name, array in drawn.items():
                first[name] = first.get(name, 0) + chance * array / batch.size
                square[name] = square.get(name, 0) + chance * (array / batch.size) ** 2
        for name, array in first.items():
            mean[name] = mean.get(name, 0) + array
            spread = float((square[name] - array**2).sum())
            variance[name] = variance.get(name, 0) + spread
    return mean, variance


def expected_returns(rewards, values, policy, discount, trace):
    """Expected lambda-return of each action ``(T, A)``, backwards in time (Sutton & Barto)."""
    found, to_come = np.zeros_like(values), 0.0
    for t in range(len(values) - 1, -1, -1):
        found[t] = rewards[t] + to_come
        # What the step before sees of this one: its value, or what was really returned.
        value, returned = policy[t] @ values[t], policy[t] @ found[t]
        to_come = discount * ((1 - trace) * value + trace * returned)
    return found


def poisson(uniform, rate):
    """Smallest count whose cumulative probability exceeds ``uniform``."""
    count, cumulative = 0, math.exp(-rate)
    while cumulative <= uniform:
        count += 1
        cumulative += math.exp(count * math.log(rate) - rate - math.lgamma(count + 1))
    return count


def spiking_burstprop(network, batch, rule, state, output_error, uniform):
    """One draw; ``uniform[kind][layer]`` is ``(B, N)`` for single events and bursts.

    The spikes of the M neurons of an ensemble, Poisson each, are Poisson together.
    """
    stack = naive.layers(network)
    top = len(stack) - 1

    def one(b):
        activities, drives = naive.forward(network, batch.inputs[b])
        rates = [a - lowest(name) for a, (_, _, name) in zip(activities[1:], stack, strict=True)]

        def drawn(layer, p, taught):
            total = np.zeros_like(rates[layer])
            for i, e in enumerate(rates[layer]):
                bursting = min(max(taught[i], 0.0), e)
                bursts = poisson(uniform["burst"][layer][b, i], rule.units * bursting)
                single = poisson(uniform["event"][layer][b, i], rule.units * (e - bursting))
                total[i] += (bursts - p[i] * (bursts + single)) / rule.units
            return total

        slope = naive.activation(stack[top][2])[1](drives[top])
        delta = output_error(activities[-1], b) * slope
        change = -rule.nudging * rule.burst_probability * delta
        if stack[top][2] != "identity":
            p = np.full_like(delta, rule.burst_probability)
            below = p * rates[top]
            change = drawn(top, p, below + change)
        else:
            below = np.zeros_like(delta)  # cancelled by ideal inhibition
        posts = [-change]
        for layer in range(top - 1, -1, -1):
            e, weights = rates[layer], state[f"layer{layer + 2}.weights"]
            coupling = naive.activation(stack[layer][2])[1](drives[layer]) / e
            u = coupling * (weights @ below) * (rule.inhibition == "none")
            p, taught = logistic(u), logistic(u + coupling * (weights @ change)) * e
            change, below = drawn(layer, p, taught), p * e
            posts.insert(0, -change)
        if rule.scale == "declared":
            unit = rule.nudging * rule.burst_probability
            posts = [post * 4.0 ** (top - layer) / unit for layer, post in enumerate(posts)]
        return posts, activities[:-1]

    return outer_mean(network, batch, one)

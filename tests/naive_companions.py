"""Plain numpy twins of companions: what a perturbation rule would be if losses were straight."""

import numpy as np

import naive
import naive_perturbation
import naive_time


def slopes(network, objective, batch, xi):
    """Derivative of each example's loss along its noise on the drives, one tangent pass each."""
    return np.array(
        [
            naive_perturbation.derivative(
                network,
                objective,
                batch.inputs[b],
                batch.targets[b],
                noise={name: drawn[b] for name, drawn in xi.items()},
            )[0]
            for b in range(batch.size)
        ]
    )


def losses(network, objective, batch, xi, amplitude):
    """Loss of each example under noise on the drives."""
    noise = {name: amplitude * drawn for name, drawn in xi.items()}
    output = naive.batch_forward(network, batch.inputs, noise)[0][-1]
    return naive.batch_losses(objective, output, batch.targets)


def node_perturbation(network, objective, batch, xi, sigma, antithetic):
    """(delta_b . xi_b) xi_l a_(l-1), and one-sided what both signs of the noise have alike."""
    change = slopes(network, objective, batch, xi)
    if not antithetic:
        above, at, below = (
            losses(network, objective, batch, xi, sign * sigma) for sign in (1, 0, -1)
        )
        change = change + (above - 2 * at + below) / (2 * sigma)
    posts = [change[:, None] * xi[p.name] / batch.size for p in network.populations]
    return naive.outer_products(network, posts, naive.batch_forward(network, batch.inputs)[0])


def weight_perturbation(network, objective, batch, xi, sigma, antithetic):
    """(g . xi) xi, and one-sided what both signs of the noise have alike."""
    change = np.mean(
        [
            naive_perturbation.derivative(
                network, objective, batch.inputs[b], batch.targets[b], change=xi
            )[0]
            for b in range(batch.size)
        ]
    )

    def loss(amplitude):
        moved = {name: w + amplitude * xi[name] for name, w in network.parameters.items()}
        output = naive.batch_forward(network, batch.inputs, parameters=moved)[0][-1]
        return naive.batch_losses(objective, output, batch.targets).mean()

    if not antithetic:
        change += (loss(sigma) - 2 * loss(0) + loss(-sigma)) / (2 * sigma)
    return {name: change * drawn for name, drawn in xi.items()}


def moved(network, batch, xi):
    """Change dz of all drives of each example, laid end to end, for vanishing noise."""
    return [
        np.concatenate(
            naive_perturbation.tangent(
                network, batch.inputs[b], noise={name: drawn[b] for name, drawn in xi.items()}
            )[0]
        )
        for b in range(batch.size)
    ]


def activity_node_perturbation(network, objective, batch, xi, probes, matrices=None):
    """N (delta . xi) dz_l / |dz|^2; with hidden layers |dz|^2 is its mean over probes.

    ``matrices`` are those that decorrelate the presynaptic activity of each layer.
    """
    change, dz = slopes(network, objective, batch, xi), moved(network, batch, xi)
    many = [moved(network, batch, probe) for probe in probes]
    estimate = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        length = dz[b] @ dz[b]
        if len(network.populations) > 1:
            length = np.mean([one[b] @ one[b] for one in many])
        post = dz[b].size * change[b] * dz[b] / length / batch.size
        activities, start = naive.forward(network, batch.inputs[b])[0], 0
        for number, population in enumerate(network.populations):
            own = post[start : start + population.size]
            start += population.size
            pre = activities[number]
            if matrices is not None:
                pre = matrices[number].T @ (matrices[number] @ pre)
            estimate[f"{population.name}.weights"] += np.outer(own, pre)
            estimate[f"{population.name}.bias"] += own
    return estimate


def three_factor(network, objective, batch, xi, rule, baseline):
    """The slope of each loss and its even part meet the noise of their own trial alone."""
    scalars = slopes(network, objective, batch, xi)
    above, at, below = (
        losses(network, objective, batch, xi, sign * rule.sigma) for sign in (1, 0, -1)
    )
    expected = at if baseline is None else baseline
    scalars = scalars + ((above - expected) + (below - expected)) / (2 * rule.sigma)
    activities, _ = naive.batch_forward(network, batch.inputs)
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        for number, population in enumerate(network.populations, start=1):
            drawn = scalars[b] * xi[population.name][b] / batch.size
            total[f"layer{number}.weights"] += np.outer(drawn, activities[number - 1][b])
            total[f"layer{number}.bias"] += drawn
    return total


def trial(weights, x, noise, targets, counts, k, activation):
    """Derivatives of the loss of every step of one trial along the noise, as they count.

    ``noise`` holds that of the recurrent layer (T, N) and of the readout (T, N_out).
    """
    _, w_rec, b, w_out, _ = weights
    drives, _, outputs = naive_time.rate_trial(weights, x, k, activation)
    moved, found = np.zeros(len(b)), []
    for t in range(len(x)):
        du = w_rec @ moved + noise[0][t]
        moved = (1 - k) * moved + k * naive_time.slope(activation, drives[t]) * du
        found.append(counts[t] * (outputs[t] - targets[t]) @ (w_out @ moved + noise[1][t]))
    return np.array(found)


def straight_in_time(weights, x, noise, targets, counts, k, activation, rule):
    """One trial: the slope of each step's loss meets the noise of all steps in the trace."""
    _, rates, _ = naive_time.rate_trial(weights, x, k, activation)
    found = []
    for late, scalar in enumerate(trial(weights, x, noise, targets, counts, k, activation)):
        for step in range(len(x)):
            if late - step < -rule.delay:
                continue
            share = scalar * rule.decay ** (late - step)
            hidden, read = share * noise[0][step], share * noise[1][step]
            found.append(
                (
                    np.outer(hidden, x[step]),
                    np.outer(hidden, rates[step]),
                    hidden,
                    np.outer(read, rates[step + 1]),
                    read,
                )
            )
    return [np.sum(parts, axis=0) for parts in zip(*found, strict=True)]


def three_factor_in_time(weights, x, noise, targets, counts, k, activation, rule):
    """The same, and half the sum of what the rule makes of the noise, less of its opposite."""
    given = (targets, counts)
    total = straight_in_time(weights, x, noise, *given, k, activation, rule)
    for sign in (1, -1):
        own = [sign * part for part in noise]
        made = naive_time.three_factor(weights, x, *given, own, k, activation, rule, None)
        # What is even in the noise is odd once it is multiplied by the noise.
        total = [one + sign * other / 2 for one, other in zip(total, made, strict=True)]
    return total

"""Plain numpy twins of the rules that settle or aim at targets, one example at a time."""

import numpy as np
from scipy.optimize import root

import naive


def error(name, output, target):
    """Derivative of the loss of one example with respect to the output."""
    wanted = naive.vector(target, output.size)
    if name == "mean_squared_error":
        return output - wanted
    probability = np.exp(output - output.max())
    probability /= probability.sum()
    if name == "expected_reward":
        return -probability * (wanted - probability @ wanted)
    return probability - wanted


def mean_of_examples(network, batch, one):
    """Mean over the batch of ``one(x, target) -> [(dW, db) per layer]``, by parameter."""
    total = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    for x, target in zip(batch.inputs, batch.targets, strict=True):
        for number, (weights, bias) in enumerate(one(x, target), start=1):
            total[f"layer{number}.weights"] += weights / batch.size
            if f"layer{number}.bias" in total:
                total[f"layer{number}.bias"] += bias / batch.size
    return total


def predictive_coding(network, goal, batch, variant, step, steps, nudging):
    """The estimate, -e f(v)^T per layer; values and errors are lists from layer 1 up."""
    stack = naive.layers(network)
    top = len(stack) - 1
    functions = [naive.activation(name) for _, _, name in stack]

    def errors_of(x, v):
        below = [x] + [f(value) for (f, _), value in zip(functions, v, strict=True)]
        return below, [v[k] - stack[k][0] @ below[k] - stack[k][1] for k in range(top + 1)]

    def one(x, target):
        activities, drives = naive.forward(network, x)
        slope = functions[top][1](drives[top])
        delta = error(goal, activities[-1], target) * slope
        v = [drive.copy() for drive in drives]
        if variant == "fixed_prediction":
            e = [np.zeros_like(drive) for drive in drives]
            e[top] = -delta
            for _ in range(steps):
                moved = [
                    functions[k][1](drives[k]) * (stack[k + 1][0].T @ e[k + 1]) - e[k]
                    for k in range(top)
                ]
                for k in range(top):
                    e[k] = e[k] + step * moved[k]
            return [(-np.outer(e[k], activities[k]), -e[k]) for k in range(top + 1)]
        if variant != "nudged":
            v[top] = v[top] - delta
        found = [None] * (top + 1)
        for count in range(steps + 1):
            below, e = errors_of(x, v)
            if variant == "zero_divergence":
                if count > top:
                    break
                k = top - count
                found[k] = (-np.outer(e[k], below[k]), -e[k])
            elif count == steps:
                scale = nudging if variant == "nudged" else 1
                return [(-np.outer(e[k], below[k]) / scale, -e[k] / scale) for k in range(top + 1)]
            moved = [
                functions[k][1](v[k]) * (stack[k + 1][0].T @ e[k + 1]) - e[k] for k in range(top)
            ]
            if variant == "nudged":
                f, slope_of = functions[top]
                push = slope_of(v[top]) * error(goal, f(v[top]), target)
                moved.append(-e[top] - nudging * push)
            for k, change in enumerate(moved):
                v[k] = v[k] + step * change
        return found

    return mean_of_examples(network, batch, one)


def rest(network, x, feedback=1.0, current=None, clamp=None, start=None, sweeps=3000):
    """Fixed point of a_l = f(W a_(l-1) + feedback W^T a_(l+1) + b), all layers at once, damped."""
    stack = naive.layers(network)
    a = naive.forward(network, x)[0] if start is None else [layer.copy() for layer in start]
    for _ in range(sweeps):
        new = [x]
        for k, (weights, bias, name) in enumerate(stack, start=1):
            drive = weights @ a[k - 1] + bias
            if k < len(stack):
                drive = drive + feedback * stack[k][0].T @ a[k + 1]
            elif current is not None:
                drive = drive + current(a[k])
            asked = naive.activation(name)[0](drive)
            new.append(a[k] + 0.5 * (asked - a[k]))
        if clamp is not None:
            new[-1] = clamp
        moved = max(np.abs(one - two).max() for one, two in zip(a, new, strict=True))
        a = new
        if moved < 1e-15:
            break
    return a


def sweeps(network, x, start, count, feedback, objective=None, target=None, nudging=0.0):
    """Activities after ``count`` updates of every layer in turn, upwards, one example."""
    stack = naive.layers(network)
    a = [x, *(layer.copy() for layer in start)]
    for _ in range(count):
        for k, (weights, bias, name) in enumerate(stack, start=1):
            drive = weights @ a[k - 1] + bias
            if k < len(stack):
                drive = drive + feedback * stack[k][0].T @ a[k + 1]
            elif objective is not None:
                drive = drive - nudging * error(objective, a[k], target)
            asked, share = naive.activation(name)[0](drive), 1.0
            if k == len(stack) and objective is not None:
                share = 1 / (1 + max(nudging, 0))
            a[k] = a[k] + share * (asked - a[k])
    return a[1:]


def contrast(after, before, factors):
    """factor_l (after_l after_(l-1)^T - before_l before_(l-1)^T) per layer."""
    return [
        (
            factor * (np.outer(after[k], after[k - 1]) - np.outer(before[k], before[k - 1])),
            factor * (after[k] - before[k]),
        )
        for k, factor in enumerate(factors, start=1)
    ]


def equilibrium_propagation(network, goal, batch, nudging):
    """One-sided estimate."""
    depth = len(network.populations)

    def one(x, target):
        free = rest(network, x)
        nudged = rest(network, x, current=lambda a: -nudging * error(goal, a, target), start=free)
        return contrast(nudged, free, [-1 / nudging] * depth)

    return mean_of_examples(network, batch, one)


def counted_equilibrium_propagation(network, goal, batch, nudging, free, nudged):
    """One-sided estimate after counted steps from silence, in which all layers move at once."""
    stack, depth = naive.layers(network), len(network.populations)

    def moved(x, a, steps, force):
        for _ in range(steps):
            new = [x]
            for k, (weights, bias, name) in enumerate(stack, start=1):
                beside = stack[k][0].T @ a[k + 1] if k < depth else force(a[k])
                drive = weights @ a[k - 1] + bias + beside
                new.append(naive.activation(name)[0](drive))
            a = new
        return a

    def one(x, target):
        start = [x, *(np.zeros(len(bias)) for _, bias, _ in stack)]
        before = moved(x, start, free, lambda a: 0)
        after = moved(x, before, nudged, lambda a: -nudging * error(goal, a, target))
        return contrast(after, before, [-1 / nudging] * depth)

    return mean_of_examples(network, batch, one)


def contrastive_hebbian(network, goal, batch, feedback):
    """Minus the update of Xie & Seung 2003."""
    depth = len(network.populations)
    slope = naive.activation(naive.layers(network)[-1][2])[1]

    def one(x, target):
        free = rest(network, x, feedback)
        weights, bias, _ = naive.layers(network)[-1]
        delta = slope(weights @ free[-2] + bias) * error(goal, free[-1], target)
        clamped = rest(network, x, feedback, clamp=free[-1] - delta, start=free)
        return contrast(clamped, free, [-(feedback ** (k - depth)) for k in range(1, depth + 1)])

    return mean_of_examples(network, batch, one)


def back(network, state, k, activity):
    """g_k: what the path back makes of the activity of layer k + 1."""
    f = naive.activation(naive.layers(network)[k - 1][2])[0]
    return f(state[f"layer{k + 1}.weights"] @ activity + state[f"layer{k}.feedback_bias"])


def target_propagation(network, goal, batch, state, target_step, corrected):
    """Local errors towards targets."""
    stack = naive.layers(network)

    def one(x, target):
        a, z = naive.forward(network, x)
        t = a[-1] - target_step * error(goal, a[-1], target)
        found = []
        for k in range(len(stack), 0, -1):
            local = -(t - a[k]) / target_step * naive.activation(stack[k - 1][2])[1](z[k - 1])
            found.insert(0, (np.outer(local, a[k - 1]), local))
            if k > 1:
                t = back(network, state, k - 1, t)
                if corrected:
                    t = t + a[k - 1] - back(network, state, k - 1, a[k])
        return found

    return mean_of_examples(network, batch, one)


def reconstruction_error(network, state, disturbed):
    """Half the squared error of every path back; ``disturbed[k]`` is layer k of each example."""
    total = 0.0
    for k in range(1, len(network.populations)):
        weights, bias, name = naive.layers(network)[k]
        for h in disturbed[k]:
            above = naive.activation(name)[0](weights @ h + bias)
            total += 0.5 * np.sum((back(network, state, k, above) - h) ** 2)
    return total


def deep_feedback_control(network, goal, batch, state, target_step, leak, compared):
    """Control by a Jacobian of finite differences, then one pass under control."""
    stack = naive.layers(network)

    def output(x, extra):
        a, passed = x, []
        for k, (weights, bias, name) in enumerate(stack):
            drive = weights @ a + bias
            passed.append((a, drive))
            a = naive.activation(name)[0](drive + extra[k])
        return a, passed

    def one(x, target):
        none = [np.zeros(len(bias)) for _, bias, _ in stack]
        clean = output(x, none)[0]
        loop, h = leak * np.eye(clean.size), 1e-5
        for k, still in enumerate(none):
            jacobian = np.empty((clean.size, still.size))
            for n in range(still.size):
                move = [array.copy() for array in none]
                move[k][n] = h
                above = output(x, move)[0]
                move[k][n] = -h
                jacobian[:, n] = (above - output(x, move)[0]) / (2 * h)
            loop += jacobian @ state[f"layer{k + 1}"]
        u = np.linalg.solve(loop, -target_step * error(goal, clean, target))
        control = [state[f"layer{k + 1}"] @ u for k in range(len(stack))]
        found = []
        for k, (pre, drive) in enumerate(output(x, control)[1]):
            f = naive.activation(stack[k][2])[0]
            moved = control[k] if compared == "drive" else f(drive + control[k]) - f(drive)
            local = -(1 + leak) / target_step * moved
            found.append((np.outer(local, pre), local))
        return found

    return mean_of_examples(network, batch, one)


def averaged_predictive_coding(network, objective, inputs, targets, weight, step=0.1, steps=1000):
    """Predictive coding of a tanh chain with its loss in place of a clamp, in the energy.

    The energy is half the squared errors of hidden layers plus ``weight`` times the losses; the
    estimate, a mean over examples, is divided by the weight.
    """
    stack = naive.layers(network)
    weights, biases = [w for w, _, _ in stack], [b for _, b, _ in stack]
    values, below = [], inputs
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        values.append(below @ w.T + b)
        below = np.tanh(values[-1])
    for count in range(steps + 1):
        pre = [inputs, *map(np.tanh, values)]
        predicted = [a @ w.T + b for a, w, b in zip(pre, weights, biases, strict=True)]
        errors = [v - z for v, z in zip(values, predicted[:-1], strict=True)]
        errors.append(-weight * objective.error(predicted[-1], targets))
        if count < steps:
            for k in range(len(values)):
                pull = (1 - pre[k + 1] ** 2) * (errors[k + 1] @ weights[k + 1])
                values[k] = values[k] + step * (pull - errors[k])
    found, scale = {}, -1 / (weight * len(inputs))
    for k, (error, a) in enumerate(zip(errors, pre, strict=True), start=1):
        found[f"layer{k}.weights"] = scale * error.T @ a
        found[f"layer{k}.bias"] = scale * error.sum(axis=0)
    return found


def weighed_predictive_coding(network, goal, batch, options, step, steps):
    """Strict predictive coding of other energies, one example at a time.

    Hidden values v are drives or activities; w is the weight of the output's term.
    """
    stack = naive.layers(network)
    top = len(stack) - 1
    weight = options["precision"] / (batch.size if options["reduction"] == "mean" else 1)
    shown_as_is, loss = options["values"] == "activities", options["output"] == "loss"
    functions = [naive.activation(name) for _, _, name in stack]

    def one(x, target):
        a, z = naive.forward(network, x)
        f, slope = functions[top]
        push = error(goal, a[-1], target)
        clamp = a[-1] - push if shown_as_is else z[-1] - slope(z[-1]) * push
        v = [array.copy() for array in (a[1:-1] if shown_as_is else z[:-1])]
        for count in range(steps + 1):
            below = [x] + [
                value if shown_as_is else functions[k][0](value) for k, value in enumerate(v)
            ]
            u = [stack[k][0] @ below[k] + stack[k][1] for k in range(top + 1)]
            # d: errors on drives; e: errors of values.
            if shown_as_is:
                e = [v[k] - functions[k][0](u[k]) for k in range(top)]
                last = -error(goal, f(u[top]), target) if loss else clamp - f(u[top])
                d = [functions[k][1](u[k]) * e[k] for k in range(top)]
                d.append(weight * slope(u[top]) * last)
            else:
                e = [v[k] - u[k] for k in range(top)]
                last = -slope(u[top]) * error(goal, f(u[top]), target) if loss else clamp - u[top]
                d = [*e, weight * last]
            if count == steps:
                break
            pulls = [stack[k + 1][0].T @ d[k + 1] for k in range(top)]
            if not shown_as_is:
                pulls = [functions[k][1](v[k]) * pulls[k] for k in range(top)]
            v = [v[k] + step * (pulls[k] - e[k]) for k in range(top)]
        return [(-np.outer(d[k], below[k]) / weight, -d[k] / weight) for k in range(top + 1)]

    return mean_of_examples(network, batch, one)


def dual_propagation(network, goal, batch, nudging, alpha, sweeps=400):
    """Sweeps up and down through both states of every neuron, one example at a time."""
    stack = naive.layers(network)
    top = len(stack) - 1
    functions = [naive.activation(name)[0] for _, _, name in stack]

    def one(x, target):
        plus = naive.forward(network, x)[0]
        minus = [a.copy() for a in plus]

        def mean(k):
            return alpha * plus[k] + (1 - alpha) * minus[k]

        for _ in range(sweeps):
            for k in [*range(top + 1), *range(top - 1, -1, -1)]:
                weights, bias, _ = stack[k]
                z = weights @ mean(k) + bias
                if k == top:
                    push, pull = (-error(goal, s[-1], target) for s in (plus, minus))
                    up, down = alpha * nudging * push, (1 - alpha) * nudging * pull
                else:
                    back = stack[k + 1][0].T @ (plus[k + 2] - minus[k + 2])
                    up, down = alpha * back, (1 - alpha) * back
                plus[k + 1], minus[k + 1] = functions[k](z + up), functions[k](z - down)
        return [
            (
                -np.outer(plus[k + 1] - minus[k + 1], mean(k)) / nudging,
                -(plus[k + 1] - minus[k + 1]) / nudging,
            )
            for k in range(top + 1)
        ]

    return mean_of_examples(network, batch, one)


def holomorphic_equilibrium_propagation(network, goal, batch, nudging, points):
    """First Fourier coefficient of products of activity at rest under every nudge of a circle."""
    stack, depth = naive.layers(network), len(network.populations)

    def slope(output, target):
        wanted = naive.vector(target, output.size)
        if goal == "mean_squared_error":
            return output - wanted
        return np.exp(output) / np.exp(output).sum() - wanted

    def at_rest(x, beta, target):
        a = [x.astype(complex), *(np.zeros(len(bias), complex) for _, bias, _ in stack)]
        for _ in range(3000):
            new = [a[0]]
            for k, (weights, bias, name) in enumerate(stack, start=1):
                above = stack[k][0].T @ a[k + 1] if k < depth else -beta * slope(a[k], target)
                asked = naive.activation(name)[0](weights @ a[k - 1] + bias + above)
                new.append(0.5 * a[k] + 0.5 * asked)
            moved, a = max(np.abs(p - q).max() for p, q in zip(a, new, strict=True)), new
            if moved < 1e-16:
                break
        return a

    def one(x, target):
        total = [[0, 0] for _ in stack]
        for n in range(points):
            turn = np.exp(2j * np.pi * n / points)
            a = at_rest(x, nudging * turn, target)
            for k in range(depth):
                total[k][0] = total[k][0] + np.outer(a[k + 1], a[k]) / turn
                total[k][1] = total[k][1] + a[k + 1] / turn
        return [[-np.real(each) / (points * nudging) for each in pair] for pair in total]

    return mean_of_examples(network, batch, one)


def chain_of(network, inputs, targets, goal):
    """Batched weights, biases, and slope of the loss for a tanh chain with a linear output."""
    stack = naive.layers(network)

    def push(output):
        return np.array([error(goal, o, t) for o, t in zip(output, targets, strict=True)])

    return [w for w, _, _ in stack], [b for _, b, _ in stack], inputs, push


def formed(signals, pres, scale):
    """Sums over examples of post times pre, by parameter."""
    found = {}
    for k, (signal, pre) in enumerate(zip(signals, pres, strict=True), start=1):
        found[f"layer{k}.weights"] = scale * signal.T @ pre
        found[f"layer{k}.bias"] = scale * signal.sum(axis=0)
    return found


def lagrangian_predictive_coding(network, goal, batch, step, multiplier_step, coupling, steps):
    """Descent of values and ascent of multipliers in a tanh chain, all examples at once."""
    w, b, x, push = chain_of(network, batch.inputs, batch.targets, goal)
    top = len(w) - 1
    v, below = [], x
    for k in range(top):
        v.append(below @ w[k].T + b[k])
        below = np.tanh(v[-1])
    multipliers = [np.zeros_like(value) for value in v]
    for count in range(steps + 1):
        pre = [x, *map(np.tanh, v)]
        c = [v[k] - pre[k] @ w[k].T - b[k] for k in range(top)]
        if count:
            multipliers = [m + multiplier_step * e for m, e in zip(multipliers, c, strict=True)]
        s = [m + coupling * e for m, e in zip(multipliers, c, strict=True)]
        s.append(-push(pre[top] @ w[top].T + b[top]))
        if count < steps:
            v = [
                v[k] + step * ((1 - pre[k + 1] ** 2) * (s[k + 1] @ w[k + 1]) - s[k])
                for k in range(top)
            ]
    return formed(s, pre, -1 / batch.size)


def incremental_predictive_coding(network, goal, batch, step, steps, loss, precision):
    """Mean over steps of what errors ask of the weights, in a tanh chain."""
    w, b, x, push = chain_of(network, batch.inputs, batch.targets, goal)
    top = len(w) - 1
    v, below = [], x
    for k in range(top + 1):
        v.append(below @ w[k].T + b[k])
        below = np.tanh(v[-1])
    clamp = v[top] - push(v[top])
    v, total = v[:top], dict.fromkeys(network.parameters, 0)
    for _ in range(steps):
        pre = [x, *map(np.tanh, v)]
        u = [pre[k] @ w[k].T + b[k] for k in range(top + 1)]
        e = [v[k] - u[k] for k in range(top)]
        e.append(precision * (-push(u[top]) if loss else clamp - u[top]))
        now = formed(e, pre, -1 / (precision * steps * batch.size))
        total = {name: total[name] + now[name] for name in total}
        v = [
            v[k] + step * ((1 - pre[k + 1] ** 2) * (e[k + 1] @ w[k + 1]) - e[k]) for k in range(top)
        ]
    return total


def error_based_predictive_coding(network, goal, batch, step, steps, precision):
    """Errors that descend the energy of the pass to which they are added, in a tanh chain."""
    w, b, x, push = chain_of(network, batch.inputs, batch.targets, goal)
    top = len(w) - 1
    e = [np.zeros((batch.size, len(bias))) for bias in b[:-1]]
    for count in range(steps + 1):
        pre = [x]
        for k in range(top):
            pre.append(np.tanh(pre[k] @ w[k].T + b[k] + e[k]))
        delta = [push(pre[top] @ w[top].T + b[top])]
        for k in range(top - 1, -1, -1):
            delta.insert(0, (1 - pre[k + 1] ** 2) * (delta[0] @ w[k + 1]))
        if count < steps:
            e = [e[k] - step * (e[k] + precision * delta[k]) for k in range(top)]
    return formed([*(-each / precision for each in e), delta[top]], pre, 1 / batch.size)


def least_control(network, goal, batch, target_step):
    """Controls J^T u that bring the output's drive to its goal, as roots of all equations."""
    stack = naive.layers(network)
    top = len(stack) - 1
    functions = [naive.activation(name) for _, _, name in stack]
    ends = np.cumsum([len(bias) for _, bias, _ in stack])

    def one(x, target):
        a, z = naive.forward(network, x)
        aim = z[-1] - target_step * functions[top][1](z[-1]) * error(goal, a[-1], target)

        def controls(unknown):
            """Drives of hidden layers and the output's control; controls, and what is missing."""
            *v, u = np.split(unknown, ends[:-1])
            psi = [u]
            for k in range(top - 1, -1, -1):
                psi.insert(0, functions[k][1](v[k]) * (stack[k + 1][0].T @ psi[0]))
            below = [x, *(functions[k][0](v[k]) for k in range(top))]
            predicted = [stack[k][0] @ below[k] + stack[k][1] for k in range(top + 1)]
            reached = [*v, aim]
            missing = [reached[k] - predicted[k] - psi[k] for k in range(top + 1)]
            return psi, below, np.concatenate(missing)

        start = np.concatenate([*z[:-1], np.zeros(ends[-1] - (ends[-2] if top else 0))])
        found = root(lambda unknown: controls(unknown)[2], start, tol=1e-14)
        psi, below, missing = controls(found.x)
        assert np.abs(missing).max() < 1e-12
        return [
            (-np.outer(psi[k], below[k]) / target_step, -psi[k] / target_step)
            for k in range(top + 1)
        ]

    return mean_of_examples(network, batch, one)

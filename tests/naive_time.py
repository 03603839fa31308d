"""Naive twins of networks in time and of rules that assign credit through it.

Plain loops over trials, steps and neurons, for one recurrent layer and a linear readout without a
leak. Rules are in their online form, with traces that go forwards.
"""

import numpy as np


def slope(activation, u):
    return 1 - np.tanh(u) ** 2 if activation == "tanh" else 1 / (1 + np.exp(-u))


def function(activation, u):
    return np.tanh(u) if activation == "tanh" else np.log1p(np.exp(u))


def rate_trial(weights, x, k, activation):
    """Drives u_t, rates h_t (h_0 = 0 first) and readouts of one trial x (T, N_in)."""
    w_in, w_rec, b, w_out, c = weights
    h, drives, rates, outputs = np.zeros(len(b)), [], [np.zeros(len(b))], []
    for now in x:
        u = w_rec @ h + w_in @ now + b
        h = (1 - k) * h + k * function(activation, u)
        drives.append(u)
        rates.append(h)
        outputs.append(w_out @ h + c)
    return np.array(drives), np.array(rates), np.array(outputs)


def potential_trial(weights, x, k, activation):
    """Outputs of a trial where the potential leaks, in place of the rate."""
    w_in, w_rec, b, w_out, c = weights
    potential, outputs = np.zeros(len(b)), []
    for now in x:
        u = w_rec @ function(activation, potential) * (len(outputs) > 0) + w_in @ now + b
        potential = (1 - k) * potential + k * u
        outputs.append(w_out @ function(activation, potential) + c)
    return np.array(outputs)


def real_time(weights, x, errors, k, activation):
    """Real-time recurrent learning: the influence matrix P (N, weights) of every neuron."""
    w_in, w_rec, b, w_out, _ = weights
    n, size = len(b), w_in.size + w_rec.size + len(b)
    drives, rates, _ = rate_trial(weights, x, k, activation)
    influence, g = np.zeros((n, size)), np.zeros(size)
    for t, now in enumerate(x):
        f = slope(activation, drives[t])
        immediate = np.zeros((n, size))
        for i in range(n):
            own = np.zeros((n, w_in.shape[1])), np.zeros((n, n)), np.zeros(n)
            own[0][i], own[1][i], own[2][i] = k * f[i] * now, k * f[i] * rates[t], k * f[i]
            immediate[i] = np.concatenate([part.ravel() for part in own])
        # f scales the rows of W_rec.
        influence = ((1 - k) * np.eye(n) + k * f[:, None] * w_rec) @ influence + immediate
        g += (w_out.T @ errors[t]) @ influence
    a, r = w_in.size, w_rec.size
    return g[:a].reshape(w_in.shape), g[a : a + r].reshape(w_rec.shape), g[a + r :]


def traced(weights, x, errors, feedback, k, activation, own):
    """RFLO (own false) and e-prop (own true): a trace for each synapse, neuron by neuron."""
    w_in, w_rec, b, _, _ = weights
    n = len(b)
    drives, rates, _ = rate_trial(weights, x, k, activation)
    q, p, s = np.zeros_like(w_in), np.zeros_like(w_rec), np.zeros(n)
    found = [np.zeros_like(w_in), np.zeros_like(w_rec), np.zeros(n)]
    for t, now in enumerate(x):
        f = slope(activation, drives[t])
        for i in range(n):
            kept = 1 - k + (k * f[i] * w_rec[i, i] if own else 0)
            q[i] = kept * q[i] + k * f[i] * now
            p[i] = kept * p[i] + k * f[i] * rates[t]
            s[i] = kept * s[i] + k * f[i]
            signal = feedback[i] @ errors[t]
            found[0][i] += signal * q[i]
            found[1][i] += signal * p[i]
            found[2][i] += signal * s[i]
    return found


def total_factorisation(weights, x, errors, k, activation):
    """Traces of each neuron's own leak times the total derivative of the loss: the gradient."""
    _, w_rec, b, w_out, _ = weights
    drives, rates, _ = rate_trial(weights, x, k, activation)
    steps, n = len(x), len(b)
    later, total = np.zeros(n), np.zeros((steps, n))
    for t in reversed(range(steps)):
        # Everything but the neuron's own leak: errors now, and what it does to all neurons next.
        total[t] = w_out.T @ errors[t]
        if t + 1 < steps:
            total[t] += w_rec.T @ (k * slope(activation, drives[t + 1]) * later)
        later = total[t] + (1 - k) * later
    p, g = np.zeros((n, n)), np.zeros((n, n))
    for t in range(steps):
        p = (1 - k) * p + k * slope(activation, drives[t])[:, None] * rates[t]
        g += total[t][:, None] * p
    return g


def uoro(weights, x, errors, signs, k, activation, epsilon):
    """Unbiased online recurrent optimisation with given signs (T, N)."""
    w_in, w_rec, b, w_out, _ = weights
    n, size = len(b), w_in.size + w_rec.size + len(b)
    drives, rates, _ = rate_trial(weights, x, k, activation)
    s, theta, g = np.zeros(n), np.zeros(size), np.zeros(size)
    for t, now in enumerate(x):
        f = slope(activation, drives[t])
        forward = (1 - k) * s + k * f * (w_rec @ s)
        post = signs[t] * k * f
        immediate = np.concatenate(
            [np.outer(post, now).ravel(), np.outer(post, rates[t]).ravel(), post]
        )
        norm = np.linalg.norm
        r0 = np.sqrt((norm(theta) + epsilon) / (norm(forward) + epsilon))
        r1 = np.sqrt((norm(immediate) + epsilon) / (norm(signs[t]) + epsilon))
        s, theta = r0 * forward + r1 * signs[t], theta / r0 + immediate / r1
        g += (w_out.T @ errors[t]) @ s * theta
    a, r = w_in.size, w_rec.size
    return g[:a].reshape(w_in.shape), g[a : a + r].reshape(w_rec.shape), g[a + r :]


def immediate(pre, f, k):
    """Derivative (N, N, M) of all rates by the weights onto each neuron, at fixed rates before."""
    n = len(f)
    found = np.zeros((n, n, len(pre)))
    for i in range(n):
        found[i, i] = k * f[i] * pre
    return found


def presynaptic(x, rates):
    """What the weights onto the layer see in each step: inputs, rates a step before, 1."""
    return [np.concatenate([now, rates[t], [1.0]]) for t, now in enumerate(x)]


def apart(g, weights):
    """Gradients of input weights, recurrent weights and biases, from those (N, M) of all."""
    m, n = weights[0].shape[1], len(weights[2])
    return g[:, :m], g[:, m : m + n], g[:, m + n]


def kf_rtrl(weights, x, errors, signs, k, activation, epsilon):
    """Kronecker-factored real-time recurrent learning with a given sign for each step."""
    _, w_rec, b, w_out, _ = weights
    drives, rates, _ = rate_trial(weights, x, k, activation)
    n, norm = len(b), np.linalg.norm
    a, u, g = np.zeros((n, n)), 0.0, 0.0
    for t, z in enumerate(presynaptic(x, rates)):
        f = slope(activation, drives[t])
        forward = ((1 - k) * np.eye(n) + k * f[:, None] * w_rec) @ a
        fresh = np.diag(k * f)
        p1 = np.sqrt((norm(forward) + epsilon) / (norm(u) + epsilon))
        p2 = np.sqrt((norm(fresh) + epsilon) / (norm(z) + epsilon))
        u = p1 * u + signs[t] * p2 * z
        a = forward / p1 + signs[t] * fresh / p2
        g = g + np.outer((w_out.T @ errors[t]) @ a, u)
    return apart(g, weights)


def within(w_rec, order):
    """Whether rate i is reached from the weights onto j in so many steps, walked one by one."""
    n = len(w_rec)
    reached = np.eye(n, dtype=bool)
    for j in range(n):
        for _ in range(order - 1):
            for i in np.flatnonzero(reached[:, j].copy()):
                reached[:, j] |= w_rec[:, i] != 0
    return reached


def snap(weights, x, errors, k, activation, order):
    """Real-time recurrent learning with the influences within so many steps alone."""
    _, w_rec, b, w_out, _ = weights
    drives, rates, _ = rate_trial(weights, x, k, activation)
    kept, influence, g = within(w_rec, order)[:, :, None], 0.0, 0.0
    for t, z in enumerate(presynaptic(x, rates)):
        f = slope(activation, drives[t])
        jacobian = (1 - k) * np.eye(len(b)) + k * f[:, None] * w_rec
        carried = np.einsum("il,ljm->ijm", jacobian, influence) if t else 0.0
        influence = kept * (carried + immediate(z, f, k))
        g = g + np.einsum("i,ijm->jm", w_out.T @ errors[t], influence)
    return apart(g, weights)


def kernl(weights, x, errors, beta, kappa, k, activation):
    """Traces of pre that decay with kappa, times errors of all rates through beta."""
    w_out = weights[3]
    drives, rates, _ = rate_trial(weights, x, k, activation)
    trace, g = 0.0, 0.0
    for t, z in enumerate(presynaptic(x, rates)):
        f = slope(activation, drives[t])
        trace = kappa[:, None] * trace + np.outer(k * f, z)
        g = g + (beta.T @ (w_out.T @ errors[t]))[:, None] * trace
    return apart(g, weights)


def kernl_step(weights, x, xi, sigma, beta, kappa, k, activation):
    """Descent of half the squared error of predicted rates, for beta and kappa, of one trial."""
    w_in, w_rec, b, _, _ = weights
    n = len(b)
    drives, rates, _ = rate_trial(weights, x, k, activation)
    noisy, trace, by_kappa = np.zeros(n), np.zeros(n), np.zeros(n)
    for_beta, for_kappa = np.zeros((n, n)), np.zeros(n)
    for t, now in enumerate(x):
        u = w_rec @ noisy + w_in @ now + b + sigma * xi[t]
        noisy = (1 - k) * noisy + k * function(activation, u)
        by_kappa = kappa * by_kappa + trace
        trace = kappa * trace + k * slope(activation, drives[t]) * xi[t]
        moved = (noisy - rates[t + 1]) / sigma
        for i in range(n):
            off = sum(beta[i, j] * trace[j] for j in range(n)) - moved[i]
            for j in range(n):
                for_beta[i, j] += off * trace[j]
                for_kappa[j] += off * beta[i, j] * by_kappa[j]
    return for_beta, for_kappa


def dni(weights, x, errors, guess, window, k, activation):
    """Backpropagation through windows, with a guess (matrix, bias) of what comes after each.

    ``guess`` is of the gradient in the units of ``errors``. Also what each guess is to be.
    """
    _, w_rec, b, w_out, _ = weights
    drives, rates, _ = rate_trial(weights, x, k, activation)
    pre, g, goals = presynaptic(x, rates), np.zeros((len(b), len(x[0]) + len(b) + 1)), []
    for first in range(0, len(x), window):
        last = min(first + window, len(x)) - 1
        back = np.zeros(len(b))
        if last + 1 < len(x):
            back = guess[0] @ rates[last + 1] + guess[1]
        for t in range(last, first - 1, -1):
            total = w_out.T @ errors[t] + back
            post = k * slope(activation, drives[t]) * total
            g += np.outer(post, pre[t])
            back = (1 - k) * total + w_rec.T @ post
        if first:
            goals.append((rates[first], back))
    return apart(g, weights), goals


def by_types(w_rec, kinds):
    """Weights averaged over all pairs of neurons of the same two types."""
    found = np.zeros_like(w_rec)
    for i in range(len(w_rec)):
        for j in range(len(w_rec)):
            pairs = [
                w_rec[p, q]
                for p in range(len(w_rec))
                for q in range(len(w_rec))
                if kinds[p] == kinds[i] and kinds[q] == kinds[j]
            ]
            found[i, j] = sum(pairs) / len(pairs)
    return found


def mod_prop(weights, x, errors, kinds, k, activation, variant, mean):
    """Modulators by cell types; ``mean`` is the slope of all, None for that of each neuron.

    The credit of a later step is filtered by what the steps in between leave of it, one matrix for
    each number of steps where slopes are alike.
    """
    _, w_rec, b, w_out, _ = weights
    drives, rates, _ = rate_trial(weights, x, k, activation)
    average, n, g = by_types(w_rec, kinds), len(b), 0.0
    pre = presynaptic(x, rates)

    def told(t):
        return np.full(n, mean) if mean is not None else slope(activation, drives[t])

    for t in range(len(x)):
        credit, taps = np.zeros(n), np.eye(n)
        for later in range(t, len(x)):
            credit += taps.T @ (w_out.T @ errors[later])
            if later + 1 == len(x):
                break
            passed = k * told(later + 1)[:, None] * average
            if variant == "modprop":
                taps = ((1 - k) * np.eye(n) + passed) @ taps
            else:
                direct = w_out.T @ errors[later + 1]
                credit += (1 - k) ** (later - t) * passed.T @ direct
                taps = (1 - k) * taps
        g = g + np.outer(k * slope(activation, drives[t]) * credit, pre[t])
    return apart(g, weights)


def spiking_trial(w_in, w_rec, x, filtering, refractory, beta, reset="to_zero"):
    """Spikes, filtered spikes and potentials of a trial of integrate-and-fire neurons.

    Besides distances to threshold, the gates of the potential and what a spike takes off it.
    """
    dt, tau_a = 2.0, 200.0
    a_s, a_m, a_d, a_r = (np.exp(-dt / tau) for tau in (10.0, 20.0, 30.0, 2.0))
    a_a, n = np.exp(-dt / tau_a), len(w_rec)
    current, potential, s, h, r, a = np.zeros((6, n))
    last = np.full(n, -(10**6))
    spikes, filtered, distances, gates, charges = [], [], [], [], []
    for t, now in enumerate(x):
        drive = w_in @ now + w_rec @ r
        gate, charge, before = np.zeros(n), np.zeros(n), s.copy()
        for i in range(n):
            current[i] = a_s * current[i] + drive[i]
            gate[i] = 1.0 if t > last[i] + refractory else 0.0
            held = gate[i] * (a_m * potential[i] + (1 - a_m) * current[i])
            charge[i] = 1.0 if reset == "subtract" else held
            potential[i] = held - charge[i] * s[i]
            if filtering == "single":
                r[i] = a_d * r[i] + dt / 30.0 * s[i]
            elif filtering == "double":
                h[i] = a_r * h[i] + s[i]
                r[i] = a_d * r[i] + (1 - a_d) * h[i]
            else:
                h[i] = a_r * h[i] + dt / (30.0 * 2.0) * s[i]
                r[i] = a_d * r[i] + dt * h[i]
            a[i] = a_a * a[i] + s[i]
        s = (potential - 1 - beta * a > 0).astype(float)
        last[s > 0] = t
        spikes.append(s.copy())
        filtered.append(r.copy())
        distances.append(potential - 1 - beta * a)
        gates.append(gate if reset == "subtract" else gate * (1 - before))
        charges.append(charge)
    return tuple(map(np.array, (spikes, filtered, distances, gates, charges)))


def spiking_traces(
    w_in, w_rec, w_out, x, errors, filtering, refractory, beta, pseudo, detach, reset="to_zero"
):
    """e-prop of integrate-and-fire neurons without synapses onto themselves.

    The trace of a synapse is the derivative of its neuron's whole state (I, U, s, h, r, a) by the
    weight, with the pseudo-derivative in place of that of the spike and the reset included.
    """
    dt, tau_a = 2.0, 200.0
    a_s, a_m, a_d, a_r = (np.exp(-dt / tau) for tau in (10.0, 20.0, 30.0, 2.0))
    a_a = np.exp(-dt / tau_a)
    _, filtered, distances, gates, charges = spiking_trial(
        w_in, w_rec, x, filtering, refractory, beta, reset
    )
    n, before = len(w_rec), np.vstack([np.zeros(len(w_rec)), filtered[:-1]])
    found = np.zeros_like(w_in), np.zeros_like(w_rec)
    for pre, g in zip((x, before), found, strict=True):
        for i in range(n):
            for j in range(pre.shape[1]):
                current = potential = s = h = r = a = 0.0
                for t in range(len(x)):
                    current = a_s * current + pre[t, j]
                    taken = 0.0 if detach else charges[t, i]
                    potential = gates[t, i] * (a_m * potential + (1 - a_m) * current) - taken * s
                    if filtering == "single":
                        r = a_d * r + dt / 30.0 * s
                    elif filtering == "double":
                        h = a_r * h + s
                        r = a_d * r + (1 - a_d) * h
                    else:
                        h = a_r * h + dt / 60.0 * s
                        r = a_d * r + dt * h
                    a = a_a * a + s
                    s = pseudo(distances[t, i]) * (potential - beta * a)
                    g[i, j] += (w_out.T @ errors[t])[i] * r
    return found


def potential_traces(layers, x, errors, leak):
    """Online training through time, forwards: tanh layers whose potentials leak, linear readout.

    ``layers`` holds weights, recurrent weights and bias of every hidden layer, and weights and bias
    of the readout last.
    """
    *hidden, (w_out, _) = layers
    sizes = [len(b) for _, _, b in hidden]
    potentials, rates = [np.zeros(n) for n in sizes], [np.zeros(n) for n in sizes]
    traces = [[np.zeros(w.shape[1]), np.zeros(len(b)), 0.0] for w, _, b in hidden]
    found = [[np.zeros_like(part) for part in layer] for layer in layers]
    for t, now in enumerate(x):
        below, slopes = now, []
        for number, (w, recurrent, b) in enumerate(hidden):
            before = rates[number].copy()
            drive = w @ below + recurrent @ before + b
            potentials[number] = (1 - leak) * potentials[number] + leak * drive
            brought = (below, before, 1.0)
            traces[number] = [
                (1 - leak) * old + leak * new
                for old, new in zip(traces[number], brought, strict=True)
            ]
            rates[number] = np.tanh(potentials[number])
            slopes.append(1 - rates[number] ** 2)
            below = rates[number]
        found[-1][0] += np.outer(errors[t], below)
        found[-1][1] += errors[t]
        signal = w_out.T @ errors[t]
        for number in range(len(hidden) - 1, -1, -1):
            on_potential = slopes[number] * signal
            for total, trace in zip(found[number], traces[number], strict=True):
                total += np.multiply.outer(on_potential, trace)
            signal = hidden[number][0].T @ (leak * on_potential)
    return found


def three_factor(weights, x, targets, counts, noise, k, activation, rule, baseline):
    """One trial of three-factor learning: traces of steps that decay, scalars that come late.

    ``noise`` holds that of the recurrent layer (T, N) and of the readout (T, N_out), ``counts``
    how much the loss of each step counts; the baseline is that of a step, None for the loss
    without noise.
    """
    w_in, w_rec, b, w_out, c = weights
    _, rates, outputs = rate_trial(weights, x, k, activation)
    h, losses, clean = np.zeros(len(b)), [], []
    for t, now in enumerate(x):
        u = w_rec @ h + w_in @ now + b + rule.sigma * noise[0][t]
        h = (1 - k) * h + k * function(activation, u)
        y = w_out @ h + c + rule.sigma * noise[1][t]
        losses.append(((y - targets[t]) ** 2).sum() / 2)
        clean.append(((outputs[t] - targets[t]) ** 2).sum() / 2)
    traces = [np.zeros_like(w) for w in weights]
    found = [np.zeros_like(w) for w in weights]
    for time in range(len(x) + rule.delay):
        traces = [rule.decay * trace for trace in traces]
        if time < len(x):
            hidden, read = noise[0][time], noise[1][time]
            new = (
                np.outer(hidden, x[time]),
                np.outer(hidden, rates[time]),
                hidden,
                np.outer(read, rates[time + 1]),
                read,
            )
            traces = [trace + part for trace, part in zip(traces, new, strict=True)]
        if time >= rule.delay:
            then = time - rule.delay
            expected = clean[then] if baseline is None else baseline
            scalar = counts[then] * (losses[then] - expected) / rule.sigma
            for g, trace in zip(found, traces, strict=True):
                g += scalar * trace / rule.decay**rule.delay
    return found

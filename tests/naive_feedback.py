"""Plain numpy twins of the feedback-pathway and local rules, one example at a time."""

import numpy as np

import naive


def output_error(objective, output, target):
    """Derivative of one example's loss with respect to the output."""
    y = naive.vector(target, output.size)
    if objective == "mean_squared_error":
        return output - y
    probability = np.exp(output - output.max())
    return probability / probability.sum() * y.sum() - y


def examples(network, objective, batch):
    """Activities, slopes and the output delta of every example."""
    names = [activation for _, _, activation in naive.layers(network)]
    for x, target in zip(batch.inputs, batch.targets, strict=True):
        activities, drives = naive.forward(network, x)
        slopes = [naive.activation(f)[1](z) for f, z in zip(names, drives, strict=True)]
        yield activities, slopes, output_error(objective, activities[-1], target) * slopes[-1]


def collect(network, batch, factors):
    """Mean over examples of post times pre; ``factors`` yields (posts, pres) per example."""
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for posts, pres in factors:
        for number, (post, pre) in enumerate(zip(posts, pres, strict=False), start=1):
            total[f"layer{number}.weights"] += np.outer(post, pre) / batch.size
            if f"layer{number}.bias" in total:
                total[f"layer{number}.bias"] += post / batch.size
    return total


def layerwise(network, objective, batch, feedback):
    """Feedback alignment: ``feedback[l]`` in place of W_(l+2)^T."""

    def factors():
        for activities, slopes, delta in examples(network, objective, batch):
            posts = [delta]
            for index in range(len(slopes) - 2, -1, -1):
                posts.insert(0, feedback[index] @ posts[0] * slopes[index])
            yield posts, activities

    return collect(network, batch, factors())


def indirect(network, objective, batch, entering):
    """Indirect feedback alignment: the error enters layer 1 and goes up."""
    stack = naive.layers(network)

    def factors():
        for activities, slopes, delta in examples(network, objective, batch):
            posts = []
            for index in range(len(stack) - 1):
                arriving = entering @ delta if index == 0 else stack[index][0] @ posts[-1]
                posts.append(arriving * slopes[index])
            yield [*posts, delta], activities

    return collect(network, batch, factors())


def target_projection(network, objective, batch, matrices):
    """Direct random target projection."""

    def factors():
        given = zip(examples(network, objective, batch), batch.targets, strict=True)
        for (activities, slopes, delta), target in given:
            y = naive.vector(target, delta.size)
            posts = [m @ y * slope for m, slope in zip(matrices, slopes, strict=False)]
            yield [*posts, delta], activities

    return collect(network, batch, factors())


def pepita(network, objective, batch, matrix, gain):
    """Two passes, the second on x + F delta."""

    def factors():
        given = zip(examples(network, objective, batch), batch.inputs, strict=True)
        for (activities, _, delta), x in given:
            modulated, _ = naive.forward(network, x + matrix @ delta)
            posts = [
                gain * (one - two)
                for one, two in zip(activities[1:-1], modulated[1:-1], strict=True)
            ]
            yield [*posts, delta], modulated

    return collect(network, batch, factors())


def hebb(network, objective, batch, readout=False, gain=1.0):
    """Minus post times pre; in the last layer delta times pre where it is a delta rule."""

    def factors():
        for activities, _, delta in examples(network, objective, batch):
            posts = [-gain * a for a in activities[1:]]
            yield [*posts[:-1], delta if readout else posts[-1]], activities

    return collect(network, batch, factors())


def readout_only(network, objective, batch):
    """Delta times pre in the last layer, nothing below."""

    def factors():
        for activities, slopes, delta in examples(network, objective, batch):
            yield [*[np.zeros(slope.size) for slope in slopes[:-1]], delta], activities

    return collect(network, batch, factors())


def oja(network, objective, batch, variant):
    """Minus post times (pre less what is predicted of it), neuron by neuron."""
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for activities, _, _ in examples(network, objective, batch):
        for number, post in enumerate(activities[1:], start=1):
            for name, pre in (("weights", activities[number - 1]), ("bias", 1.0)):
                w = network.parameters.get(f"layer{number}.{name}")
                if w is None:
                    continue
                for i in range(post.size):
                    predicting = {
                        "single": [i],
                        "subspace": range(post.size),
                        "ordered": range(i + 1),
                    }[variant]
                    left = pre - sum(post[k] * w[k] for k in predicting)
                    total[f"layer{number}.{name}"][i] -= post[i] * left / batch.size
    return total


def three_factor(network, objective, batch, xi, rule, baseline):
    """Trials of one step: noise times presynaptic activity times a scalar of the same trial."""
    activities, _ = naive.batch_forward(network, batch.inputs)
    noise = {name: rule.sigma * drawn for name, drawn in xi.items()}
    disturbed = naive.batch_forward(network, batch.inputs, noise)[0][-1]
    losses = naive.batch_losses(objective, disturbed, batch.targets)
    clean = naive.batch_losses(objective, activities[-1], batch.targets)
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}
    for b in range(batch.size):
        scalar = (losses[b] - (clean[b] if baseline is None else baseline)) / rule.sigma
        for number, population in enumerate(network.populations, start=1):
            drawn = scalar * xi[population.name][b] / batch.size
            total[f"layer{number}.weights"] += np.outer(drawn, activities[number - 1][b])
            if f"layer{number}.bias" in total:
                total[f"layer{number}.bias"] += drawn
    return total


def mirror(network, feedback, noise, rate, amplitude, bias):
    """Feedback matrices ``{l: B}`` after a mirror phase with unit noise ``{l: (n, N)}``."""
    stack, after = naive.layers(network), {}
    for index, matrix in feedback.items():
        weights, offset, name = stack[index]
        x = amplitude * noise[index]
        drive = [weights @ one + (offset if bias else 0) for one in x]
        y = np.array([naive.activation(name)[0](z) for z in drive])
        covariance = np.zeros_like(matrix)
        for one, response in zip(x, y, strict=True):
            covariance += np.outer(one, response - y.mean(axis=0)) / (len(x) - 1)
        after[index] = (1 - rate) * matrix + rate * covariance / amplitude**2
    return after


def regression(network, objective, batches, xis, feedback, sigma, ridge):
    """Feedback by ridge regression on everything seen so far, solved anew after every batch."""
    first = [matrix.copy() for matrix in feedback]
    seen = [([], []) for _ in feedback]
    for batch, xi in zip(batches, xis, strict=True):
        # All signals of a batch return through the feedback before it.
        for b, (activities, slopes, delta) in enumerate(examples(network, objective, batch)):
            signals = [delta]
            for index in range(len(slopes) - 2, -1, -1):
                signals.insert(0, feedback[index] @ signals[0] * slopes[index])
            a = batch.inputs[b]
            for index, (weights, bias, name) in enumerate(naive.layers(network)):
                a = naive.activation(name)[0](weights @ a + bias)
                if index < len(feedback):
                    a = a + sigma * xi[index][b]
            target = batch.targets[b]
            before = naive.losses(objective, activities[-1], target)
            change = (naive.losses(objective, a, target) - before) / sigma
            for index in range(len(feedback)):
                seen[index][0].append(signals[index + 1])
                seen[index][1].append(change * xi[index][b])
        solved = []
        for start, (regressors, answers) in zip(first, seen, strict=True):
            # The ridge is one more row for each error: the first B is its answer.
            rows = np.vstack([np.array(regressors), ridge**0.5 * np.eye(start.shape[1])])
            wanted = np.vstack([np.array(answers), ridge**0.5 * start.T])
            solved.append(np.linalg.lstsq(rows, wanted, rcond=None)[0].T)
        feedback = solved
    return feedback


def forward_forward(network, objective, batch, wrong, threshold, normalise):
    """Both passes of every example with the wrong labels given; the readout sees the clean one."""
    stack = naive.layers(network)
    outputs = len(stack[-1][0])
    total = {name: np.zeros_like(w) for name, w in network.parameters.items()}

    def add(number, post, pre):
        total[f"layer{number}.weights"] += np.outer(post, pre) / batch.size
        if f"layer{number}.bias" in total:
            total[f"layer{number}.bias"] += post / batch.size

    for b, (activities, _, delta) in enumerate(examples(network, objective, batch)):
        add(len(stack), delta, activities[-2])
        for label, right in ((batch.targets[b], True), (wrong[b], False)):
            pre = batch.inputs[b].copy()
            pre[:outputs] = np.arange(outputs) == label
            for number, (weights, bias, name) in enumerate(stack[:-1], start=1):
                f, slope = naive.activation(name)
                z = weights @ pre + bias
                a = f(z)
                excess = a @ a - threshold * a.size
                chance = 1 / (1 + np.exp(excess)) if right else 1 / (1 + np.exp(-excess))
                add(number, (-chance if right else chance) * 2 * a * slope(z), pre)
                pre = a / np.sqrt(a @ a) if normalise else a
    return total


def direct_learning(network, objective, batch, feedback, rate, decay):
    """Broadcast matrices after a step: each is what weights straight to the output would be."""
    after = [(1 - decay) * matrix for matrix in feedback]
    for activities, _, delta in examples(network, objective, batch):
        for matrix, activity in zip(after, activities[1:-1], strict=True):
            for i in range(activity.size):
                for k in range(delta.size):
                    matrix[i, k] -= rate * activity[i] * delta[k] / batch.size
    return after


def product_learning(fixed, learned, change, decay):
    """R of a layer after its weights changed: ``fixed`` B (N_out, M), ``learned`` R (M, N_in)."""
    after = (1 - decay) * learned
    for m in range(after.shape[0]):
        for i in range(after.shape[1]):
            after[m, i] += sum(fixed[k, m] * change[k, i] for k in range(len(fixed)))
    return after


def spike_pairs(weights, sent, unrest, fast, slow, membrane, amplitude, activity, reset):
    """Sum of traces at the spikes of each target and their number, from pairs of spikes.

    Spikes of the sources ``sent`` and noise of the targets ``unrest`` are (steps, windows, N).
    """
    quick, late, kept = np.exp(-1 / fast), np.exp(-1 / slow), np.exp(-1 / membrane)
    level = (1 - late) / (1 - quick)
    steps, windows, sources = sent.shape
    total, count = np.zeros((len(weights), sources)), np.zeros(len(weights))
    for window in range(windows):
        for k, onto in enumerate(weights):
            last = -1  # the step of its last spike
            for now in range(steps):
                potential = 0.0 if last < 0 or not reset else -(kept ** (now - last))
                for then in range((last + 1) if reset else 0, now + 1):
                    arrived = amplitude * sum(onto * sent[then, window])
                    potential += kept ** (now - then) * arrived
                if potential + unrest[now, window, k] < 1:
                    continue
                last = now
                count[k] += 1
                for i in range(sources):
                    before = activity / (1 - quick)
                    trace = before * (quick ** (now + 1) - late ** (now + 1))
                    for then in range(now + 1):
                        lag = now - then
                        trace += sent[then, window, i] * (quick**lag - level * late**lag)
                    total[k, i] += trace
    return total, count


def phaseless(network, batch, feedback, noise, rule):
    """Feedback matrices after a step; white noise ``noise[l]`` of layer l+1 is (steps, B, N)."""
    stack, steps = naive.layers(network), rule.steps
    white = (1 - rule.memory**2) ** 0.5
    after, kappa = [], 0.0
    for now in range(steps):
        passed = [
            1.0 if lag == 0 else (rule.passing - 1) * rule.passing ** (lag - 1)
            for lag in range(now + 1)
        ]
        kappa += sum(p * rule.memory**lag for lag, p in enumerate(passed)) / steps
    seen = [np.zeros_like(matrix) for matrix in feedback]
    lost = [np.zeros_like(matrix) for matrix in feedback]
    for b, x in enumerate(batch.inputs):
        activities, drives = naive.forward(network, x)
        slopes = [naive.activation(f)[1](z) for (_, _, f), z in zip(stack, drives, strict=True)]
        xi = [[each[0, b]] for each in noise]
        for now in range(1, steps):
            for each, course in zip(noise, xi, strict=True):
                course.append(rule.memory * course[-1] + white * each[now, b])
        courses = []
        for now in range(steps):
            a, course = x, []
            for number, (weights, bias, name) in enumerate(stack):
                z = weights @ a + bias
                if number < len(xi):
                    z = z + rule.amplitude * xi[number][now]
                a = naive.activation(name)[0](z)
                course.append(a)
            courses.append(course)
        for index, matrix in enumerate(feedback):
            for now in range(steps):
                changed = np.zeros(matrix.shape[1])
                for then in range(now + 1):
                    lag = now - then
                    share = 1.0 if lag == 0 else (rule.passing - 1) * rule.passing ** (lag - 1)
                    changed += share * (courses[then][index + 1] - activities[index + 2])
                scale = steps * batch.size * rule.amplitude * kappa
                seen[index] += np.outer(xi[index][now], changed) / scale
            if rule.decay == "slopes":
                slope = np.outer(slopes[index], slopes[index + 1])
                lost[index] += slope * matrix / batch.size
    for matrix, what, gone in zip(feedback, seen, lost, strict=True):
        gone = gone if rule.decay == "slopes" else matrix
        after.append(matrix + rule.rate * (what - gone))
    return after

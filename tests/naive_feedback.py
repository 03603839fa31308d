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


def hebb(network, objective, batch):
    """Minus post times pre."""

    def factors():
        for activities, _, _ in examples(network, objective, batch):
            yield [-a for a in activities[1:]], activities

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

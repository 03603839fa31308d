"""Identification of neurons in plain loops: placed kernels, masks, optimisers, scores."""

import numpy as np


def placed(kernel, side):
    """Matrix whose columns are the kernel at every place of an image, row by row."""
    patch = len(kernel)
    across = side - patch + 1
    columns = []
    for row in range(across):
        for column in range(across):
            image = np.zeros((side, side))
            image[row : row + patch, column : column + patch] = kernel
            columns.append(image.reshape(-1))
    return np.array(columns).T


def bilinear(image, position):
    """Value of an image between its pixels; a position is row and column in [-1, 1]."""
    rows, columns = image.shape
    down, right = (
        (min(max(p, -1), 1) + 1) / 2 * (n - 1)
        for p, n in zip(position, (rows, columns), strict=True)
    )
    total = 0.0
    for r in range(rows):
        for c in range(columns):
            total += max(0, 1 - abs(down - r)) * max(0, 1 - abs(right - c)) * image[r, c]
    return total


def adam(values, gradient, mean, square, count, rate, penalty):
    """One step of Adam with the subgradient of the penalty on absolute values."""
    g = gradient + penalty * np.sign(values)
    mean = 0.9 * mean + 0.1 * g
    square = 0.999 * square + 0.001 * g**2
    step = rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
    return values - step, mean, square


def shrink(values, gradient, last, size, penalty, push):
    """One accelerated step of proximal gradient descent."""
    moved = values - size * gradient
    new = np.sign(moved) * np.maximum(np.abs(moved) - size * penalty, 0)
    return new + push * (new - last), new


def squared_error(kernels, masks, features, images, responses):
    """Mean squared error of factorised readouts, summed over neurons."""
    side = round(images.shape[1] ** 0.5)
    maps = [images @ placed(kernel, side) for kernel in kernels]
    total = 0.0
    for n in range(responses.shape[1]):
        predicted = np.zeros(len(images))
        for k in range(len(kernels)):
            predicted += features[k, n] * (maps[k] @ masks[:, n])
        total += ((predicted - responses[:, n]) ** 2).mean()
    return total

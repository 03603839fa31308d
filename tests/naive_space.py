"""Wire of networks on a plane, by plain loops and by trying every swap."""

import numpy as np


def grid(rows, columns):
    return [((c + 0.5) / columns, (r + 0.5) / rows) for r in range(rows) for c in range(columns)]


def edge(count, x):
    return [(x, (k + 0.5) / count) for k in range(count)]


def apart(one, other):
    return ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5


def length(recurrent, own, ends=()):
    """Wire of weights (N, N) between places, and of weights to further places.

    ``ends`` are pairs of weights (N, M) and M places.
    """
    total = 0.0
    for i, here in enumerate(own):
        for j, there in enumerate(own):
            total += abs(recurrent[i][j]) * apart(here, there)
        for weights, places in ends:
            for k, there in enumerate(places):
                total += abs(weights[i][k]) * apart(here, there)
    return total


def swapped(recurrent, ends, j, k):
    order = np.arange(len(recurrent))
    order[[j, k]] = k, j
    return recurrent[np.ix_(order, order)], [(weights[order], places) for weights, places in ends]


def changes(recurrent, own, ends=()):
    """Change of the wire by every swap."""
    before, size = length(recurrent, own, ends), len(own)
    table = np.zeros((size, size))
    for j in range(size):
        for k in range(size):
            if j != k:
                moved, others = swapped(recurrent, ends, j, k)
                table[j, k] = length(moved, own, others) - before
    return table


def modularity(weights, labels):
    """Q of directed weighted graphs, term by term."""
    size = len(weights)
    a = [[abs(weights[i][j]) for j in range(size)] for i in range(size)]
    m = sum(sum(row) for row in a)
    total = 0.0
    for i in range(size):
        for j in range(size):
            if labels[i] == labels[j]:
                received, sent = sum(a[i]), sum(row[j] for row in a)
                total += a[i][j] - received * sent / m
    return total / m

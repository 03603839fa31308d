"""Plain twins of synapses with receptive fields: loops over positions, channels and pixels."""

import numpy as np

import naive


def connections(windows):
    """For each window, pairs of (its pixel (i, j, c), the flat number of that input)."""
    found = []
    for row in range(windows.rows):
        for column in range(windows.columns):
            pairs = []
            for i in range(windows.kernel):
                for j in range(windows.kernel):
                    y = row * windows.stride + i - windows.padding
                    x = column * windows.stride + j - windows.padding
                    if 0 <= y < windows.height and 0 <= x < windows.width:
                        for c in range(windows.channels):
                            flat = (y * windows.width + x) * windows.channels + c
                            pairs.append(((i, j, c), flat))
            found.append(pairs)
    return found


def dense(synapse, weights):
    """Matrix (N_out, N_in) that does what the synapse does."""
    matrix = np.zeros(synapse.factors)
    shared = weights.ndim == 4
    for position, pairs in enumerate(connections(synapse.windows)):
        here = weights if shared else weights[position]
        for channel in range(synapse.channels):
            for pixel, flat in pairs:
                matrix[position * synapse.channels + channel, flat] = here[channel][pixel]
    return matrix


def outer(synapse, post, pre):
    """Sum over examples, positions and pixels of post times pre."""
    total = np.zeros(synapse.shape)
    shared = total.ndim == 4
    for signal, activity in zip(post, pre, strict=True):
        for position, pairs in enumerate(connections(synapse.windows)):
            here = total if shared else total[position]
            for channel in range(synapse.channels):
                for pixel, flat in pairs:
                    here[channel][pixel] += (
                        signal[position * synapse.channels + channel] * activity[flat]
                    )
    return total


def averages(image, kernel, stride, padding, counted, partial):
    """Averages over windows of an image (height, width, channels)."""
    height, width, channels = image.shape

    def starts(size):
        """First places of the windows along one side."""
        found = [-padding]
        while True:
            over = found[-1] + kernel >= size + padding
            start = found[-1] + stride
            fits = start + kernel <= size + padding
            if not fits and (not partial or over or start >= size):
                return found
            found.append(start)

    rows, columns = starts(height), starts(width)
    result = np.zeros((len(rows), len(columns), channels))
    for n, top in enumerate(rows):
        for m, left in enumerate(columns):
            places, total = 0, np.zeros(channels)
            for y in range(top, top + kernel):
                for x in range(left, left + kernel):
                    inside = 0 <= y < height and 0 <= x < width
                    if inside:
                        total += image[y, x]
                    if inside or (counted and y < height + padding and x < width + padding):
                        places += 1
            result[n, m] = total / places
    return result


def competition(image, kernel, stride, activation):
    """Activity of a map (H, W, C) whose windows let the largest drive through alone, and maxima."""
    height, width, channels = image.shape
    active = np.zeros_like(image)
    rows, columns = (1 + (side - kernel) // stride for side in (height, width))
    maxima = np.zeros((rows, columns, channels))
    for row in range(rows):
        for column in range(columns):
            for channel in range(channels):
                best = None
                for down in range(row * stride, row * stride + kernel):
                    for right in range(column * stride, column * stride + kernel):
                        drive = image[down, right, channel]
                        if best is None or drive > image[(*best, channel)]:
                            best = (down, right)
                value = naive.activation(activation)[0](image[(*best, channel)])
                active[(*best, channel)] = maxima[row, column, channel] = value
    return active, maxima

"""Synapses with receptive fields: windows on an image, with shared or with separate weights.

Images, and the feature maps that populations form of them, are flat with the channel running
fastest: ``(..., B, height * width * channels)``.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from plausibench.architectures.synapses import Synapse
from plausibench.kernels.buffers import empty
from plausibench.kernels.compiled import kernel
from plausibench.kernels.threads import by_rows, product, spread

Array = np.ndarray

NEAR = 1 << 16
"""Numbers that windows see at a time, so that they are used before they leave the cache."""


@kernel
def add_windows(parts: Array, down: int, right: int, images: Array) -> None:
    """Add what is in each window ``(n, rows, columns, k, run)`` to ``images`` (n, height, run).

    ``down`` and ``right`` are the steps from one window to the next along the axes of an image.
    """
    examples, rows, columns, height, run = parts.shape
    for n in range(examples):
        for row in range(rows):
            for column in range(columns):
                for i in range(height):
                    image, part = images[n, row * down + i], parts[n, row, column, i]
                    first = column * right
                    for j in range(run):
                        image[first + j] += part[j]


@kernel
def see_windows(images: Array, down: int, right: int, parts: Array) -> None:
    """Copy what is in each window of ``images`` (n, height, run): the adjoint of `add_windows`."""
    examples, rows, columns, height, run = parts.shape
    for n in range(examples):
        for row in range(rows):
            for column in range(columns):
                for i in range(height):
                    image, part = images[n, row * down + i], parts[n, row, column, i]
                    first = column * right
                    for j in range(run):
                        part[j] = image[first + j]


@dataclass(frozen=True)
class Windows:
    """Square windows on an image: where receptive fields are.

    Parameters
    ----------
    height, width, channels
        Of the image.
    kernel
        Height and width of a window.
    stride
        Pixels from one window to the next.
    padding
        Zeros around the image.
    """

    height: int
    width: int
    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def columns(self) -> int:
        """Windows from left to right."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def positions(self) -> int:
        """Number of windows P."""
        return self.rows * self.columns

    @property
    def patch(self) -> tuple[int, int, int]:
        """Shape of what is seen through one window."""
        return (self.kernel, self.kernel, self.channels)

    @property
    def inputs(self) -> int:
        """Pixels times channels of the image."""
        return self.height * self.width * self.channels

    def gather(self, images: Array) -> Array:
        """What is seen through each window, ``(..., N)`` -> ``(..., P, K)``."""
        lead = images.shape[:-1]
        padded = images
        if self.padding or not images.flags.c_contiguous:
            padded = self._padded(lead, images.dtype)
            inner = self._inner(padded)
            inner[...] = images.reshape(inner.shape)
        patches = empty((*lead, self.positions, prod(self.patch)), images.dtype)
        see_windows(self._rows(padded), *self._steps, patches.reshape(-1, *self._grid))
        return patches

    def scatter(self, patches: Array) -> Array:
        """Sum over windows of what is put into each: the adjoint of :meth:`gather`."""
        lead = patches.shape[:-2]
        padded = self._padded(lead, patches.dtype)
        parts = np.ascontiguousarray(patches).reshape(-1, *self._grid)
        add_windows(parts, *self._steps, self._rows(padded))
        return self._inner(padded).reshape(*lead, self.inputs)

    @property
    def _grid(self) -> tuple[int, int, int, int]:
        """Windows down and across, and a window's rows of pixels that lie side by side."""
        return (self.rows, self.columns, self.kernel, self.kernel * self.channels)

    @property
    def _steps(self) -> tuple[int, int]:
        """Numbers from one window to the next, down and across."""
        return (self.stride, self.stride * self.channels)

    def _rows(self, padded: Array) -> Array:
        """Images with padding as rows of pixels, ``(n, height, width * channels)``."""
        width = (self.width + 2 * self.padding) * self.channels
        return padded.reshape(-1, self.height + 2 * self.padding, width)

    def _padded(self, lead: tuple[int, ...], dtype: np.dtype) -> Array:
        """Zeros of the size of the image with its padding, with rows of channels."""
        height, width = (side + 2 * self.padding for side in (self.height, self.width))
        return np.zeros((*lead, height, width * self.channels), dtype)

    def _inner(self, padded: Array) -> Array:
        first = self.padding
        left = first * self.channels
        return padded[..., first : first + self.height, left : left + self.width * self.channels]


@dataclass(frozen=True)
class ReceptiveFields(Synapse):
    """Neurons that each see one window: ``channels`` neurons at every position.

    Parameters
    ----------
    windows
        On the presynaptic image.
    channels
        Neurons at each position.
    """

    windows: Windows
    channels: int

    @property
    def factors(self) -> tuple[int, int]:
        return (self.windows.positions * self.channels, self.windows.inputs)

    @property
    def separable(self) -> bool:
        """Neurons at different positions do not have the same presynaptic neurons."""
        return False

    @property
    def inflow(self) -> int:
        """Synapses onto each neuron."""
        return prod(self.windows.patch)

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = examples * self.windows.positions * self.channels * self.inflow
        return direct, direct  # there is no way round it

    def pre_gram(self, pre: Array) -> Array:
        """Mean over the neurons of the inner products of what each sees."""
        seen = self.windows.gather(pre)
        rows = seen.reshape(*seen.shape[:-2], -1)
        return rows @ rows.swapaxes(-1, -2) / self.windows.positions


@dataclass(frozen=True)
class ConvolutionalSynapse(ReceptiveFields):
    """The same weights at every position, ``(channels, kernel, kernel, channels below)``.

    Sharing is not local: a synapse's update sums over all positions.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, *self.windows.patch)

    def drive(self, weights: Array, pre: Array) -> Array:
        matrix = self._matrix(weights)
        if matrix.ndim > 2:
            drive = self._seen(pre) @ matrix.swapaxes(-1, -2)
            return drive.reshape(*drive.shape[:-2], pre.shape[-2], self.factors[0])
        images = pre.reshape(-1, pre.shape[-1])
        positions = self.windows.positions
        drive = empty((len(images), positions, self.channels), np.result_type(pre, matrix))

        def fill(part: slice) -> None:
            seen = self.windows.gather(images[part]).reshape(-1, self.inflow)
            np.matmul(seen, matrix.T, out=drive[part].reshape(-1, self.channels))

        spread(fill, self._blocks(len(images)))
        return drive.reshape(*pre.shape[:-1], self.factors[0])

    def feedback(self, weights: Array, post: Array) -> Array:
        matrix, positions = self._matrix(weights), self.windows.positions
        if matrix.ndim > 2:
            sent = self._sides(post) @ matrix
            shape = (*sent.shape[:-2], post.shape[-2], positions, self.inflow)
            return self.windows.scatter(sent.reshape(shape))
        signals = post.reshape(-1, post.shape[-1])
        returned = empty((len(signals), self.factors[1]), np.result_type(post, matrix))

        def fill(part: slice) -> None:
            sent = signals[part].reshape(-1, self.channels) @ matrix
            returned[part] = self.windows.scatter(sent.reshape(-1, positions, self.inflow))

        spread(fill, self._blocks(len(signals)))
        return returned.reshape(*post.shape[:-1], self.factors[1])

    def transpose(self, weights: Array) -> Array:
        return self._matrix(weights).swapaxes(-1, -2)

    def untranspose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2).reshape(*weights.shape[:-2], *self.shape)

    def outer(self, post: Array, pre: Array) -> Array:
        if post.ndim > 2 or pre.ndim > 2:
            formed = self._sides(post).swapaxes(-1, -2) @ self._seen(pre)
            return formed.reshape(*formed.shape[:-2], *self.shape)
        blocks = self._blocks(len(pre))
        parts = np.empty((len(blocks), self.channels, self.inflow), np.result_type(post, pre))

        def fill(number: int) -> None:
            block = blocks[number]
            seen = self.windows.gather(pre[block]).reshape(-1, self.inflow)
            np.matmul(post[block].reshape(-1, self.channels).T, seen, out=parts[number])

        spread(fill, range(len(blocks)))
        total = np.zeros((self.channels, self.inflow), parts.dtype)
        for part in parts:  # in this order, whoever was first
            total += part
        return total.reshape(self.shape)

    def _blocks(self, images: int) -> list[slice]:
        """Images to be treated together: what all their windows see stays in a near cache."""
        size = max(1, NEAR // (self.windows.positions * self.inflow))
        return [slice(first, first + size) for first in range(0, images, size)]

    def _matrix(self, weights: Array) -> Array:
        return weights.reshape(*weights.shape[:-4], self.channels, self.inflow)

    def _sides(self, post: Array) -> Array:
        """Post factor with examples and positions on one axis, ``(..., B P, channels)``."""
        return post.reshape(*post.shape[:-2], -1, self.channels)

    def _seen(self, pre: Array) -> Array:
        """What neurons see with examples and positions on one axis, ``(..., B P, K)``."""
        return self.windows.gather(pre).reshape(*pre.shape[:-2], -1, self.inflow)


@dataclass(frozen=True)
class LocallyConnectedSynapse(ReceptiveFields):
    """Weights of their own at every position, ``(P, channels, kernel, kernel, below)``."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.windows.positions, self.channels, *self.windows.patch)

    def drive(self, weights: Array, pre: Array) -> Array:
        seen = self.windows.gather(pre).swapaxes(-3, -2)
        drive = (seen @ self._matrices(weights).swapaxes(-1, -2)).swapaxes(-3, -2)
        return drive.reshape(*drive.shape[:-2], -1)

    def feedback(self, weights: Array, post: Array) -> Array:
        sent = self._by_position(post) @ self._matrices(weights)
        return self.windows.scatter(sent.swapaxes(-3, -2))

    def transpose(self, weights: Array) -> Array:
        return self._matrices(weights).swapaxes(-1, -2)

    def untranspose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2).reshape(*weights.shape[:-3], *self.shape)

    def outer(self, post: Array, pre: Array) -> Array:
        seen = self.windows.gather(pre).swapaxes(-3, -2)
        formed = self._by_position(post).swapaxes(-1, -2) @ seen
        return formed.reshape(*formed.shape[:-3], *self.shape)

    def _matrices(self, weights: Array) -> Array:
        return weights.reshape(
            *weights.shape[:-5], self.windows.positions, self.channels, self.inflow
        )

    def _by_position(self, post: Array) -> Array:
        """Neurons by position, ``(..., P, B, channels)``."""
        return post.reshape(*post.shape[:-1], -1, self.channels).swapaxes(-3, -2)


@dataclass(frozen=True)
class ChannelBias(Synapse):
    """One bias for all neurons of a channel, weights ``(channels,)``."""

    positions: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels,)

    @property
    def factors(self) -> tuple[int, int]:
        return (self.positions * self.channels, 1)

    @property
    def separable(self) -> bool:
        """Neurons share their weight, which sums over their signals."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        tiled = np.tile(weights, self.positions)[..., None, :]
        if tiled.ndim > 2 or pre.ndim > 2:
            return tiled * pre
        drive = empty((len(pre), tiled.shape[-1]), np.result_type(tiled, pre))
        by_rows(lambda pre, out: np.multiply(tiled, pre, out=out), pre, drive)
        return drive

    def feedback(self, weights: Array, post: Array) -> Array:
        return (np.tile(weights, self.positions)[..., None, :] * post).sum(axis=-1, keepdims=True)

    def transpose(self, weights: Array) -> Array:
        return weights

    def untranspose(self, weights: Array) -> Array:
        return weights

    def outer(self, post: Array, pre: Array) -> Array:
        total = product(pre.swapaxes(-1, -2), post)[..., 0, :]
        return total.reshape(*total.shape[:-1], self.positions, self.channels).sum(axis=-2)

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = examples * self.positions * self.channels
        return direct, direct

    def pre_gram(self, pre: Array) -> Array:
        return pre @ pre.swapaxes(-1, -2)

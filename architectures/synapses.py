"""Synapses: bilinear maps from presynaptic activity to postsynaptic drive.

A synapse differs from another in these operations only, so a learning rule that is written
with them runs on every architecture.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from plausibench.kernels.buffers import empty
from plausibench.kernels.threads import TILE, product

Array = np.ndarray

NEAR = 1 << 17
"""Weights that are treated together, so that they are used before they leave the cache."""


class Synapse(ABC):
    """A bilinear map ``(weights, pre) -> drive`` with its adjoint and its outer product.

    So ``<post, drive(weights, pre)> = <outer(post, pre), weights>``.

    ``weights`` may carry a leading sample axis S; ``pre`` and ``post`` are ``(..., B, N)``.
    """

    axes: ClassVar[tuple[str, ...]] = ()
    """What each axis of the weights runs over: the neurons of the ``target`` or the ``source``.

    Empty where the weights are not one for each pair of neurons.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""

    @property
    @abstractmethod
    def factors(self) -> tuple[int, int]:
        """Sizes of the postsynaptic and the presynaptic factor of the outer product."""

    @property
    def parts(self) -> tuple[tuple[slice, slice], ...]:
        """Postsynaptic neurons, and the weights onto them alone, laid flat: parts of all weights.

        So ``outer(post[:, neurons], pre)`` are those weights of ``outer(post, pre)``.
        """
        return ((slice(None), slice(None)),)

    @property
    def separable(self) -> bool:
        """Whether ``<outer(p, a), outer(q, c)> = <p, q> <a, c>`` for single examples.

        So it is where every neuron has the same presynaptic neurons and weights of its own.
        """
        return True

    @abstractmethod
    def drive(self, weights: Array, pre: Array) -> Array:
        """Postsynaptic drive, in a new array."""

    @abstractmethod
    def feedback(self, weights: Array, post: Array) -> Array:
        """Presynaptic signal that ``post`` sends back, a new array; takes any weights."""

    @abstractmethod
    def transpose(self, weights: Array) -> Array:
        """Weights in the layout of a feedback matrix, from postsynaptic to presynaptic.

        Undone by :meth:`untranspose`.
        """

    @abstractmethod
    def untranspose(self, weights: Array) -> Array:
        """Feedback matrix in the layout of the forward weights."""

    @abstractmethod
    def outer(self, post: Array, pre: Array) -> Array:
        """Sum over the batch of post times pre: ``(*shape,)`` or ``(S, *shape)``."""

    @abstractmethod
    def outer_cost(self, examples: int) -> tuple[int, int]:
        """Multiplications per sample to form the outer product, and to avoid it by Gram.

        Only a separable synapse can do with the Gram matrix: others give the same number twice.
        """

    @abstractmethod
    def pre_gram(self, pre: Array) -> Array:
        """Inner products between the examples' presynaptic factors, ``(..., B, B)``.

        The mean over neurons where they have different presynaptic neurons.
        """


@dataclass(frozen=True)
class DenseSynapse(Synapse):
    """All-to-all connections, weights ``(N_out, N_in)``."""

    outputs: int
    inputs: int

    axes: ClassVar[tuple[str, ...]] = ("target", "source")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.outputs, self.inputs)

    @property
    def factors(self) -> tuple[int, int]:
        return (self.outputs, self.inputs)

    @cached_property
    def parts(self) -> tuple[tuple[slice, slice], ...]:
        """Equal parts of about a size that stays in a near cache while they are used."""
        count = -(-self.outputs * self.inputs // NEAR)
        rows = -(-self.outputs // (count * TILE)) * TILE
        starts = range(0, self.outputs, rows)
        ends = [min(start + rows, self.outputs) for start in starts]
        return tuple(
            (slice(start, end), slice(start * self.inputs, end * self.inputs))
            for start, end in zip(starts, ends, strict=True)
        )

    def drive(self, weights: Array, pre: Array) -> Array:
        if weights.ndim == 2 and pre.ndim > 2:
            # One large product is several times faster than one small product per sample.
            drive = empty((*pre.shape[:-1], self.outputs), np.result_type(pre, weights))
            rows = drive.reshape(-1, self.outputs)
            np.matmul(pre.reshape(-1, self.inputs), weights.T, out=rows)
            return drive
        return product(pre, weights.swapaxes(-1, -2))

    def feedback(self, weights: Array, post: Array) -> Array:
        if weights.ndim == 2 and post.ndim > 2:
            signal = empty((*post.shape[:-1], self.inputs), np.result_type(post, weights))
            rows = signal.reshape(-1, self.inputs)
            np.matmul(post.reshape(-1, self.outputs), weights, out=rows)
            return signal
        return product(post, weights)

    def transpose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def untranspose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def outer(self, post: Array, pre: Array) -> Array:
        return product(post.swapaxes(-1, -2), pre)

    def outer_cost(self, examples: int) -> tuple[int, int]:
        return examples * self.outputs * self.inputs, examples * examples * self.outputs

    def pre_gram(self, pre: Array) -> Array:
        return pre @ pre.swapaxes(-1, -2)


@dataclass(frozen=True)
class BiasSynapse(Synapse):
    """One weight per neuron from a constant presynaptic activity of 1, weights ``(N_out,)``."""

    outputs: int

    axes: ClassVar[tuple[str, ...]] = ("target",)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.outputs,)

    @property
    def factors(self) -> tuple[int, int]:
        return (self.outputs, 1)

    def drive(self, weights: Array, pre: Array) -> Array:
        return weights[..., None, :] * pre

    def feedback(self, weights: Array, post: Array) -> Array:
        return (weights[..., None, :] * post).sum(axis=-1, keepdims=True)

    def transpose(self, weights: Array) -> Array:
        return weights

    def untranspose(self, weights: Array) -> Array:
        return weights

    def outer(self, post: Array, pre: Array) -> Array:
        return (pre.swapaxes(-1, -2) @ post)[..., 0, :]

    def outer_cost(self, examples: int) -> tuple[int, int]:
        return examples * self.outputs, examples * examples * self.outputs

    def pre_gram(self, pre: Array) -> Array:
        return pre @ pre.swapaxes(-1, -2)


@dataclass(frozen=True)
class OneToOneSynapse(Synapse):
    """Each neuron connected to its partner only, weights ``(N,)``."""

    neurons: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.neurons,)

    @property
    def factors(self) -> tuple[int, int]:
        return (self.neurons, self.neurons)

    @property
    def separable(self) -> bool:
        """Every neuron has a presynaptic neuron of its own."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        return weights[..., None, :] * pre

    def feedback(self, weights: Array, post: Array) -> Array:
        return weights[..., None, :] * post

    def transpose(self, weights: Array) -> Array:
        return weights

    def untranspose(self, weights: Array) -> Array:
        return weights

    def outer(self, post: Array, pre: Array) -> Array:
        return (post * pre).sum(axis=-2)

    def outer_cost(self, examples: int) -> tuple[int, int]:
        return examples * self.neurons, examples * self.neurons

    def pre_gram(self, pre: Array) -> Array:
        return pre @ pre.swapaxes(-1, -2) / self.neurons

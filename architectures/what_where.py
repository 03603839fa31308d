"""What a neuron computes and where it looks: a shared core and one readout for each neuron."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import Layer, stacked
from plausibench.architectures.convolution import ConvolutionalSynapse, Windows
from plausibench.architectures.network import Network
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.synapses import BiasSynapse, DenseSynapse, Synapse
from plausibench.architectures.vision import Vision
from plausibench.kernels.errors import choose, number, positive, refusal
from plausibench.kernels.streams import generator

Array = np.ndarray

READOUTS = ("factorised", "dense", "fixed_mask")
PLACES = "a row and a column for each output"


@dataclass(frozen=True)
class WhereSynapse(Synapse):
    """Each neuron's sum over positions of a map of its own, weights ``(N, P)``.

    The maps are flat with the neuron running fastest, ``(..., B, P * N)``.
    """

    neurons: int
    positions: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.neurons, self.positions)

    @property
    def factors(self) -> tuple[int, int]:
        return (self.neurons, self.positions * self.neurons)

    @property
    def separable(self) -> bool:
        """Every neuron has a map of its own."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        return np.einsum("...np,...bpn->...bn", weights, self._maps(pre))

    def feedback(self, weights: Array, post: Array) -> Array:
        sent = post[..., None, :] * weights.swapaxes(-1, -2)[..., None, :, :]
        return sent.reshape(*sent.shape[:-2], -1)

    def transpose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def untranspose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def outer(self, post: Array, pre: Array) -> Array:
        return np.einsum("...bn,...bpn->...np", post, self._maps(pre))

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = examples * self.neurons * self.positions
        return direct, direct

    def pre_gram(self, pre: Array) -> Array:
        return pre @ pre.swapaxes(-1, -2) / self.neurons

    def _maps(self, pre: Array) -> Array:
        return pre.reshape(*pre.shape[:-1], self.positions, self.neurons)


@dataclass(frozen=True, eq=False)
class FixedMaskSynapse(Synapse):
    """Each neuron's mixture of features, seen through a mask that is not learned.

    Weights are ``(N, K)``.

    Parameters
    ----------
    masks
        ``(N, P)``.
    channels
        Features K at each position.
    """

    masks: Array = field(repr=False)
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.masks), self.channels)

    @property
    def factors(self) -> tuple[int, int]:
        neurons, positions = self.masks.shape
        return (neurons, positions * self.channels)

    @property
    def separable(self) -> bool:
        """Every neuron has a mask of its own."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        return np.einsum("...nk,...bnk->...bn", weights, self._seen(pre))

    def feedback(self, weights: Array, post: Array) -> Array:
        sent = post[..., None] * weights[..., None, :, :]
        masks = self.masks.astype(post.dtype, copy=False)
        maps = masks.T @ sent
        return maps.reshape(*maps.shape[:-2], -1)

    def transpose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def untranspose(self, weights: Array) -> Array:
        return weights.swapaxes(-1, -2)

    def outer(self, post: Array, pre: Array) -> Array:
        return np.einsum("...bn,...bnk->...nk", post, self._seen(pre))

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = examples * self.masks.size * self.channels
        return direct, direct

    def pre_gram(self, pre: Array) -> Array:
        seen = self._seen(pre)
        rows = seen.reshape(*seen.shape[:-2], -1)
        return rows @ rows.swapaxes(-1, -2) / len(self.masks)

    def _seen(self, pre: Array) -> Array:
        """Features through each mask, ``(..., B, N, K)``."""
        maps = pre.reshape(*pre.shape[:-1], -1, self.channels)
        return self.masks.astype(pre.dtype, copy=False) @ maps


@dataclass(frozen=True)
class WhatWhere(Vision):
    """Convolutional core shared by all neurons, and what and where each reads (Klindt 2017).

    The factorised readout of neuron n is ``sum_p M[p, n] sum_k V[k, n] A[p, k]``: features mixed
    by V at every position (the population ``what``), then summed over positions by M (the
    population ``where``). For the other options see
    :class:`~plausibench.architectures.vision.Vision`.

    Parameters
    ----------
    readout
        ``factorised``; ``dense``, a weight for each position and feature; or ``fixed_mask``, a
        gaussian of space that is given and features that are learned.
    places
        Row and column on the core's map of each fixed mask; by default they are drawn.
    width
        Standard deviation of fixed masks in positions of the map.
    """

    stride: Sequence[int] | int = 1
    readout: str = "factorised"
    places: Sequence[Sequence[float]] = ()
    width: float = 1.0

    summary: ClassVar[str] = "shared convolutional core, readouts factorised in what and where"
    cites: ClassVar[str] = "Klindt, Ecker, Euler & Bethge 2017"
    equation: ClassVar[str] = "z_n = sum_p M[p, n] sum_k V[k, n] A[p, k] + b_n"

    def __post_init__(self) -> None:
        super().__post_init__()
        choose("readout", self.readout, READOUTS)
        positive("width", self.width)
        try:
            places = tuple(tuple(number("places", one) for one in each) for each in self.places)
        except TypeError as error:
            raise refusal("places", self.places, PLACES) from error
        if any(len(each) != 2 for each in places):
            raise refusal("places", self.places, PLACES)
        object.__setattr__(self, "places", places)

    def build(self, seed: int = 0) -> Network:
        if self.places and len(self.places) != self.outputs:
            raise refusal("places", self.places, f"{PLACES}, of which there are {self.outputs}")
        layers, last = self.core(), self.windows()[-1]
        rows, columns, features = last.rows, last.columns, self.channels[-1]
        neurons = Pointwise(self.output)
        bias = BiasSynapse(self.outputs) if self.bias else None
        if self.readout == "factorised":
            mix = ConvolutionalSynapse(Windows(rows, columns, features, 1), self.outputs)
            where = WhereSynapse(self.outputs, rows * columns)
            layers.append(Layer("what", Pointwise("identity"), mix, features, None))
            layers.append(Layer("where", neurons, where, rows * columns, bias))
        elif self.readout == "dense":
            inflow = rows * columns * features
            dense = DenseSynapse(self.outputs, inflow)
            layers.append(Layer("readout", neurons, dense, inflow, bias))
        else:
            fixed = FixedMaskSynapse(self._masks(rows, columns, seed), features)
            layers.append(Layer("readout", neurons, fixed, features, bias))
        return stacked("what_where", prod(self.shape), layers, seed)

    def _masks(self, rows: int, columns: int, seed: int) -> Array:
        """Gaussians on the map that sum to 1, ``(N, P)``."""
        places = np.array(self.places)
        if not places.size:
            drawn = generator(seed, "init", "places").uniform(0, 1, (self.outputs, 2))
            places = drawn * (rows - 1, columns - 1)
        grid = np.argwhere(np.ones((rows, columns)))
        squares = ((places[:, None] - grid) ** 2).sum(axis=-1)
        # From the nearest position, so that a narrow mask does not vanish.
        squares -= squares.min(axis=1, keepdims=True)
        masks: Array = np.exp(-squares / (2 * self.width**2))
        return masks / masks.sum(axis=1, keepdims=True)

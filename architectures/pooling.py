"""Average and max pooling, and the wires by which activity arrives without synapses.

All are fixed: a signal returns through them as it does within a neuron, and no weights have to be
known on the way back.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from plausibench.architectures.neurons import Neurons, Pointwise
from plausibench.architectures.synapses import Synapse
from plausibench.kernels.compiled import kernel
from plausibench.kernels.errors import InputError

Array = np.ndarray


@kernel
def mark_winners(drive: Array, members: Array, won: Array) -> None:
    """Mark by 1 in ``won`` (n, N) the largest drive (n, N) among the members of each window.

    ``members`` (M, K) are places of neurons, -1 where a window has fewer. The first of equal ones
    wins.
    """
    for n in range(drive.shape[0]):
        for window in range(members.shape[0]):
            best = members[window, 0]
            for k in range(1, members.shape[1]):
                place = members[window, k]
                if place >= 0 and (best < 0 or drive[n, place] > drive[n, best]):
                    best = place
            if best >= 0:
                won[n, best] = 1


@dataclass(frozen=True, eq=False)
class AveragePool:
    """Averages over rectangles of a map; maps are flat with the channel running fastest.

    A rectangle is rows times columns, so that an average over it is one over columns of averages
    over rows.

    Parameters
    ----------
    rows, columns
        Weight of each row and column of the map in each row and column of averages, ``(rows above,
        rows below)`` and ``(columns above, columns below)``.
    channels
        Of both maps.
    """

    rows: Array = field(repr=False)
    columns: Array = field(repr=False)
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the averages."""
        return (len(self.rows), len(self.columns), self.channels)

    @property
    def below(self) -> tuple[int, int, int]:
        """Height, width and channels of the map."""
        return (self.rows.shape[1], self.columns.shape[1], self.channels)

    def average(self, maps: Array) -> Array:
        """Averages of maps, ``(..., N)`` -> ``(..., M)``, in a new array."""
        return _through(self.rows, self.columns, maps, self.below)

    def spread(self, signals: Array) -> Array:
        """Signal on the map for one on its averages: the adjoint of :meth:`average`."""
        return _through(self.rows.T, self.columns.T, signals, self.shape)

    def after(self, first: "AveragePool | None") -> "AveragePool":
        """Averages of the averages of ``first``."""
        if first is None:
            return self
        return AveragePool(self.rows @ first.rows, self.columns @ first.columns, self.channels)


@dataclass(frozen=True, eq=False)
class Competition(Neurons):
    """Neurons of a map that compete within windows: who has the largest drive is active alone.

    The sum over a window is its maximum, as activations do not fall, and a signal returns to the
    winner only. So ``windows`` is max pooling of the map, seen by what is above as sums.

    Parameters
    ----------
    windows
        Sums over the windows: an :class:`AveragePool` of weights 0 and 1.
    activation
        Of the winners.

    Raises
    ------
    InputError
        If windows overlap, where a neuron could win in one and lose in another.
    """

    windows: AveragePool
    activation: str = "identity"

    def __post_init__(self) -> None:
        Pointwise(self.activation)
        if any((side.sum(axis=0) > 1).any() for side in (self.windows.rows, self.windows.columns)):
            raise InputError("windows: they overlap; allowed are windows apart from one another")

    @property
    def rate(self) -> Pointwise:
        """Activity of a winner."""
        return Pointwise(self.activation)

    @property
    def gain(self) -> float:
        """As for pointwise neurons of the same activation."""
        return self.rate.gain

    @cached_property
    def members(self) -> Array:
        """Places of the neurons in each window, -1 where it has fewer, int64 ``(M, K)``."""
        height, width, channels = self.windows.below
        places = np.arange(height * width * channels).reshape(height, width, channels)
        listed = [
            places[down > 0][:, right > 0, channel].ravel()
            for down in self.windows.rows
            for right in self.windows.columns
            for channel in range(channels)
        ]
        table = np.full((len(listed), max(map(len, listed))), -1, np.int64)
        for row, window in zip(table, listed, strict=True):
            row[: len(window)] = window
        return table

    def winners(self, drive: Array) -> Array:
        """1 for neurons that win, 0 for others."""
        won = np.zeros_like(drive, order="C")
        rows = np.ascontiguousarray(drive).reshape(-1, drive.shape[-1])
        mark_winners(rows, self.members, won.reshape(rows.shape))
        return won

    def activate(self, drive: Array) -> Array:
        return self.rate.activate(drive) * self.winners(drive)

    def perturb(self, drive: Array, noise: Array, amplitude: float) -> Array:
        return self.activate(drive + drive.dtype.type(amplitude) * noise)

    def slope(self, drive: Array, activity: Array) -> Array:
        won = self.winners(drive)
        return self.rate.slope(drive, activity) * won


def _through(rows: Array, columns: Array, maps: Array, shape: tuple[int, int, int]) -> Array:
    lead, (height, width, channels) = maps.shape[:-1], shape
    rows, columns = (matrix.astype(maps.dtype, copy=False) for matrix in (rows, columns))
    by_row = rows @ maps.reshape(*lead, height, width * channels)
    whole = columns @ by_row.reshape(*lead, len(rows), width, channels)
    return whole.reshape(*lead, -1)


def windows_of_average(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    *,
    counted: bool = True,
    partial: bool = False,
) -> Array:
    """Weights of the places along one side of a map in averages over windows.

    Parameters
    ----------
    size
        Places.
    kernel, stride, padding
        Places of a window, from one window to the next, and zeros at both ends.
    counted
        Whether the zeros count as places.
    partial
        Whether a last window may reach over the end.
    """
    span = size + 2 * padding - kernel
    above = (-(-span // stride) if partial else span // stride) + 1
    if (above - 1) * stride >= size + padding:
        above -= 1  # it would see nothing but zeros
    weights = np.zeros((above, size))
    for number in range(above):
        start = number * stride - padding
        first, last = max(start, 0), min(start + kernel, size)
        # Zeros at the far end count as far as there are any.
        places = min(start + kernel, size + padding) - start if counted else last - first
        weights[number, first:last] = 1 / places
    return weights


def parts_of_average(size: int, parts: int) -> Array:
    """Weights of the places along one side of a map in averages over so many parts of it.

    Parts overlap where they do not come out even, from ``floor(n size / parts)`` to
    ``ceil((n + 1) size / parts)``.
    """
    weights = np.zeros((parts, size))
    for number in range(parts):
        first, last = number * size // parts, -(-(number + 1) * size // parts)
        weights[number, first:last] = 1 / (last - first)
    return weights


@dataclass(frozen=True, eq=False)
class PooledSynapse(Synapse):
    """Synapses that see averages of a map, or whose drive is averaged, or both.

    Averaging is fixed, so that the weights are those of ``synapse`` alone.

    Parameters
    ----------
    synapse
        With the weights.
    seen
        Averages that it sees; None for the activity itself.
    summed
        Averages of its drive that arrive; None for the drive itself.
    """

    synapse: Synapse
    seen: AveragePool | None = None
    summed: AveragePool | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.synapse.shape

    @property
    def factors(self) -> tuple[int, int]:
        outputs, inputs = self.synapse.factors
        return (
            outputs if self.summed is None else prod(self.summed.shape),
            inputs if self.seen is None else prod(self.seen.below),
        )

    @property
    def separable(self) -> bool:
        """Averages have neurons in common."""
        return False

    def drive(self, weights: Array, pre: Array) -> Array:
        drive = self.synapse.drive(weights, self._seen(pre))
        return drive if self.summed is None else self.summed.average(drive)

    def feedback(self, weights: Array, post: Array) -> Array:
        signal = self.synapse.feedback(weights, self._sent(post))
        return signal if self.seen is None else self.seen.spread(signal)

    def transpose(self, weights: Array) -> Array:
        return self.synapse.transpose(weights)

    def untranspose(self, weights: Array) -> Array:
        return self.synapse.untranspose(weights)

    def outer(self, post: Array, pre: Array) -> Array:
        return self.synapse.outer(self._sent(post), self._seen(pre))

    def outer_cost(self, examples: int) -> tuple[int, int]:
        direct = self.synapse.outer_cost(examples)[0]
        return direct, direct

    def pre_gram(self, pre: Array) -> Array:
        return self.synapse.pre_gram(self._seen(pre))

    def _seen(self, pre: Array) -> Array:
        return pre if self.seen is None else self.seen.average(pre)

    def _sent(self, post: Array) -> Array:
        return post if self.summed is None else self.summed.spread(post)


@dataclass(frozen=True, eq=False)
class Wire:
    """Activity that arrives without synapses, each neuron's at its partner, or its averages.

    It is part of the drive of the target, and no rule changes it: the shortcut of a residual
    network (He et al. 2016).

    Parameters
    ----------
    source, target
        Populations; the source may be the input.
    pool
        Averages that arrive; None for the activity itself.
    """

    source: str
    target: str
    pool: AveragePool | None = None

    def carry(self, activity: Array) -> Array:
        """Drive that arrives, in a new array."""
        return activity.copy() if self.pool is None else self.pool.average(activity)

    def send_back(self, signal: Array) -> Array:
        """Signal that returns to the activity of the source, in a new array."""
        return signal.copy() if self.pool is None else self.pool.spread(signal)
